"""Fetch every crate that a `Cargo.lock` names into one archive, each checked by SHA-256.

cargo does the talking, with the user's own registry settings. It is given a package of
ours that depends on exactly the locked versions, so that the lock file alone decides what
is fetched and an edit of a manifest or a source fetches nothing.
"""

import argparse
import os
import tarfile
from pathlib import Path
from typing import Any, Final

import cratelock
from cratelock import CRATES_IO, Crate
from program import ProgramError, capture, network_environment, persist, replacing, say, start
from store import Store, sha256_of

_PACKAGE: Final = "occlum-build-fetches"


def main() -> int:
    """Write a tar file of the `.crate` archives to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cargo", type=Path, required=True)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--store", type=Store.at, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    store: Store = options.store
    lock: Path = options.lock.absolute()
    crates = cratelock.read(lock)
    with store.lock("crates"):
        missing = [crate for crate in crates if not _is_kept(store, crate)]
        if missing:
            say(f"fetching {len(missing)} crates from the registry")
            with store.scratch() as folder:
                persist(lambda: _fetch(options.cargo.absolute(), lock, crates, folder))
                for crate in missing:
                    _keep(store, crate, folder)
    _write_archive([(crate, _kept(store, crate)) for crate in crates], options.output)
    return 0


def _kept(store: Store, crate: Crate) -> Path:
    return store.directory("sha256") / crate.sha256


def _is_kept(store: Store, crate: Crate) -> bool:
    kept = _kept(store, crate)
    return kept.exists() and sha256_of(kept) == crate.sha256


def _fetch(cargo: Path, lock: Path, crates: tuple[Crate, ...], folder: Path) -> None:
    """Let cargo download all crates below `folder`."""
    package = folder / "package"
    (package / "src").mkdir(parents=True, exist_ok=True)
    (package / "src" / "lib.rs").touch()
    (package / "Cargo.toml").write_text(_manifest(crates), encoding="utf-8")
    (package / "Cargo.lock").write_text(_seeded_lock(lock, crates), encoding="utf-8")
    capture(
        [cargo, "fetch", "--quiet", *_user_settings(),
         "--manifest-path", package / "Cargo.toml"],
        env={**network_environment(), "CARGO_HOME": str(folder / "home"),
             "PATH": f"{cargo.parent}:{os.environ.get('PATH', os.defpath)}"},
        cwd=Path("/"),
        name="cargo fetch",
    )  # fmt: skip


def _user_settings() -> list[str]:
    """Where the user keeps cargo's settings: a registry mirror may be named there."""
    home = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    found = [home / name for name in ("config.toml", "config") if (home / name).is_file()]
    return [word for path in found[:1] for word in ("--config", str(path))]


def _manifest(crates: tuple[Crate, ...]) -> str:
    """A package that depends on each crate, under a name of its own, in exactly one version."""
    dependencies = "".join(
        f'crate{index} = {{ package = "{crate.name}", version = "={crate.version}",'
        " default-features = false }\n"
        for index, crate in enumerate(crates)
    )
    return (
        f'[package]\nname = "{_PACKAGE}"\nversion = "0.0.0"\nedition = "2021"\n\n'
        f"[workspace]\n\n[dependencies]\n{dependencies}"
    )


def _seeded_lock(lock: Path, crates: tuple[Crate, ...]) -> str:
    """A lock file that holds the versions in place, so that a yanked one is still found."""
    wanted = {(crate.name, crate.version) for crate in crates}
    tables = [
        _table(entry)
        for entry in cratelock.entries(lock)
        if (entry["name"], entry["version"]) in wanted and entry.get("source") == CRATES_IO
    ]
    root = {
        "name": _PACKAGE,
        "version": "0.0.0",
        "dependencies": [f"{crate.name} {crate.version}" for crate in crates],
    }
    return "version = 4\n" + "".join([*tables, _table(root)])  # fmt: skip


def _table(entry: dict[str, Any]) -> str:
    keys = [key for key in ("name", "version", "source", "checksum") if key in entry]
    lines = ["", "[[package]]", *(f'{key} = "{entry[key]}"' for key in keys)]
    if entry.get("dependencies"):
        lines += ["dependencies = [", *(f' "{one}",' for one in entry["dependencies"]), "]"]
    return "\n".join([*lines, ""])


def _keep(store: Store, crate: Crate, folder: Path) -> None:
    """Move a fetched archive into the store, if it is the one that was meant."""
    found = sorted(folder.glob(f"home/registry/cache/*/{crate.file_name}"))
    if not found:
        raise ProgramError(f"cargo fetched no `{crate.file_name}`")
    digest = sha256_of(found[0])
    if digest != crate.sha256:
        raise ProgramError(
            f"`{crate.file_name}` has SHA-256 {digest}, but Cargo.lock says {crate.sha256}"
        )
    found[0].replace(_kept(store, crate))


def _write_archive(crates: list[tuple[Crate, Path]], output: Path) -> None:
    """Write the same bytes for the same crates, whoever runs this and whenever."""
    with (
        replacing(output) as partial,
        tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for crate, path in crates:
            member = tarfile.TarInfo(crate.file_name)
            member.size = path.stat().st_size
            member.mode = 0o444
            with path.open("rb") as file:
                tar.addfile(member, file)


if __name__ == "__main__":
    start(main)
