"""Run cargo on declared sources alone: pinned compiler, pinned linker, pinned crates, no network.

Nothing of the machine reaches the compiler: not the user's cargo settings, nor an environment
variable, nor the path of the checkout. Work is kept in the store between runs and reused by
content (see `mirror`).
"""

import argparse
import hashlib
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mirror
import vendor
import zig
from program import WRONG_INPUT, ProgramError, capture, replacing, start
from store import Store

TRIPLE: Final = "x86_64-unknown-linux-gnu"
_DIGITS: Final = 16
# zig has its own names for targets, and traps on behaviour that libFuzzer's C++ relies on.
_CXX: Final = """\
#!/bin/sh
for word; do
    shift
    case "$word" in --target=*) ;; *) set -- "$@" "$word" ;; esac
done
exec "{zig}" c++ -target {target} -fno-sanitize=undefined "$@"
"""
_HOST_PATH: Final = ":/usr/sbin:/usr/bin:/sbin:/bin"  # a test may compare with the host's tools


def main() -> int:
    """Run one cargo command; of `build`, copy the program to `--output`."""
    options = _arguments()
    store: Store = options.store
    compiler = zig.unpacked(store, options.zig_wheel, options.zig_lock)
    crates = vendor.unpacked(store, options.crates.absolute())
    with workshop(options, compiler) as place:
        mirror.refresh(
            place.source, _sources(options.root, options.sources), products=place.products
        )
        try:
            status = _run_cargo(options, place, compiler, crates)
        finally:
            mirror.mark_used(place.products)
        if status == 0 and options.output:
            _deliver(place.products / TRIPLE / options.profile / options.binary, options.output)
    return status


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    zig.add_arguments(parser)
    parser.add_argument("--store", type=Store.at, required=True)
    parser.add_argument("--rust", type=Path, required=True, help="home of the Rust toolchain")
    parser.add_argument("--crates", type=Path, required=True, help="what fetch_crates made")
    parser.add_argument("--libc", required=True, help="target of the linker, for zig")
    parser.add_argument("--workshop", required=True, help="name of the kept directory")
    parser.add_argument("--root", default="", help="directory of the workspace's Cargo.toml")
    parser.add_argument("--sources", type=Path, required=True, help="a file that lists them")
    parser.add_argument("--profile", choices=("release", "debug"), default="release")
    parser.add_argument("--rustflag", action="append", default=[])
    parser.add_argument("--setting", action="append", default=[], help="a cargo setting, k=v")
    parser.add_argument("--settings-file", action="append", default=[])
    parser.add_argument("--binary", help="name of the program that `--output` gets")
    parser.add_argument("--output", type=Path)
    parser.add_argument("command", choices=("build", "test", "clippy", "fmt"))
    parser.add_argument("words", nargs=argparse.REMAINDER)
    return parser.parse_args()


@dataclass(frozen=True)
class Workshop:
    """The kept directory of one target: sources, products and cargo's own files."""

    home: Path

    @property
    def source(self) -> Path:
        """The copy of the workspace."""
        return self.home / "source"

    @property
    def products(self) -> Path:
        """What cargo made."""
        return self.home / "target"

    @property
    def cargo_home(self) -> Path:
        """Settings of ours, in the place of the user's."""
        return self.home / "cargo"


@contextmanager
def workshop(options: argparse.Namespace, compiler: zig.Zig) -> Iterator[Workshop]:
    """The workshop of these tools and crates, held alone until the block ends.

    What cargo does not look at when it decides what to make anew is in the name.
    """
    store: Store = options.store
    identity = hashlib.sha256(
        "\0".join(
            [_toolchain_identity(options.rust), str(compiler.program), options.libc]
        ).encode()
    )
    identity.update(options.crates.read_bytes())
    key = f"{options.workshop}-{identity.hexdigest()[:_DIGITS]}"
    with store.lock(f"cargo-{key}"):
        yield Workshop(store.directory(f"cargo/{key}"))


def _toolchain_identity(rust: Path) -> str:
    """Version and files of the Rust toolchain; the action's key holds their contents."""
    version = capture(
        [rust / "bin" / "rustc", "-vV"], env={"LC_ALL": "C"}, cwd=Path("/"), name="rustc -vV"
    )
    lines = [f"{rust}", version]
    for path in sorted((rust / "lib").rglob("*.*")):
        if path.suffix in {".so", ".rlib"}:
            status = path.stat()
            lines.append(f"{path} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(lines)


def _sources(root: str, listing: Path) -> dict[str, Path]:
    """The listed files, by their path below the workspace's root."""
    lines = listing.read_text(encoding="utf-8").splitlines()
    return {_below(root, line): Path(line) for line in lines}


def _below(root: str, path: str) -> str:
    """The path as the workspace of cargo sees it."""
    name = os.path.relpath(path, root or ".")
    if name.startswith("../"):
        raise ProgramError(f"source `{path}` is not below `{root}`", status=WRONG_INPUT)
    return name


def _run_cargo(
    options: argparse.Namespace, place: Workshop, compiler: zig.Zig, crates: Path
) -> int:
    rust: Path = options.rust.absolute()
    scratch = place.home / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    linker = scratch / "linker"
    linker.write_text(
        f'#!/bin/sh\nexec "{compiler.program}" cc -target {options.libc} "$@"\n', encoding="utf-8"
    )
    linker.chmod(linker.stat().st_mode | stat.S_IXUSR)
    cxx = scratch / "c++"
    cxx.write_text(_CXX.format(zig=compiler.program, target=options.libc), encoding="utf-8")
    cxx.chmod(cxx.stat().st_mode | stat.S_IXUSR)
    place.cargo_home.mkdir(exist_ok=True)
    words = [
        rust / "bin" / "cargo",
        options.command,
        "--manifest-path",
        place.source / "Cargo.toml",
        *_settings(options, place, crates),
        *options.words,
    ]
    environment = {
        **compiler.environment(scratch),
        "HOME": str(scratch),
        "PATH": f"{rust}/bin{_HOST_PATH if options.command == 'test' else ''}",
        "CARGO_HOME": str(place.cargo_home),
        "CARGO_TARGET_DIR": str(place.products),
        "CARGO_INCREMENTAL": "0",
        "CARGO_TERM_COLOR": "never",
        "CXX": str(cxx),
        "CXXSTDLIB": "c++",
        f"CARGO_TARGET_{TRIPLE.upper().replace('-', '_')}_LINKER": str(linker),
        "RUSTC": str(rust / "bin" / "rustc"),
        "RUSTDOC": str(rust / "bin" / "rustdoc"),
    }
    # cargo reads the settings of every directory above the one it runs in: above `/` is none.
    return subprocess.run(words, env=environment, cwd="/").returncode  # noqa: PLW1510


def _settings(options: argparse.Namespace, place: Workshop, crates: Path) -> list[str]:
    """The options of every command that compiles: crates from our directory, nothing else.

    Flags are settings, not an environment variable, because those of several settings add up.
    With `--target` they apply to the program and not to the build scripts of its crates.
    """
    if options.command == "fmt":
        return []
    flags = [*_path_flags(place, crates, options.rust.absolute()), *options.rustflag]
    files = [place.source / _below(options.root, one) for one in options.settings_file]
    settings = [
        *(str(one) for one in files),
        'source.crates-io.replace-with="occlum-build"',
        f"source.occlum-build.directory={json.dumps(str(crates))}",
        f"target.{TRIPLE}.rustflags={json.dumps(flags)}",
        *options.setting,
    ]
    words = [word for one in settings for word in ("--config", one)]
    return ["--locked", "--offline", "--target", TRIPLE, *words]


def _path_flags(place: Workshop, crates: Path, rust: Path) -> list[str]:
    """Keep the places of this machine out of messages and debug information."""
    names = {place.source: "/source", place.products: "/target", crates: "/crates", rust: "/rust"}
    return [f"--remap-path-prefix={path}={name}" for path, name in names.items()]


def _deliver(program: Path, output: Path) -> None:
    if not program.is_file():
        raise ProgramError(f"cargo made no program `{program.name}`", status=WRONG_INPUT)
    with replacing(output) as partial:
        shutil.copyfile(program, partial)
        partial.chmod(0o755)


if __name__ == "__main__":
    start(main)
