"""Unpack fetched crates into a directory that cargo takes instead of the registry."""

import json
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Final

from program import ProgramError
from store import Store, sha256_of

_DIGITS: Final = 16


def unpacked(store: Store, crates: Path) -> Path:
    """The directory of the crates in the archive `crates`, unpacked on first use.

    Each crate keeps the digest of its `.crate` file, which cargo compares with the lock
    file of whoever uses it.
    """
    name = f"crates/{sha256_of(crates)[:_DIGITS]}"
    return store.tree(name, lambda folder: _unpack_all(crates, folder))


def _unpack_all(crates: Path, folder: Path) -> None:
    with tarfile.open(crates) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is None or "/" in member.name:
                raise ProgramError(f"`{crates}` holds `{member.name}`, which is no crate")
            packed = folder / member.name
            packed.write_bytes(file.read())
            _unpack(packed, folder)
            packed.unlink()


def _unpack(packed: Path, folder: Path) -> None:
    """Unpack one crate: regular files only, all below the directory of its name."""
    stem = packed.name.removesuffix(".crate")
    with tarfile.open(packed) as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            if path.parts[:1] != (stem,) or ".." in path.parts:
                raise ProgramError(f"crate `{stem}` has a file `{member.name}` outside itself")
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise ProgramError(f"crate `{stem}` has `{member.name}`, which is no plain file")
            _write(folder / path, file)
    checksum = {"files": {}, "package": sha256_of(packed)}
    (folder / stem / ".cargo-checksum.json").write_text(json.dumps(checksum), encoding="utf-8")


def _write(path: Path, file: IO[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.read())
