"""The store: downloads and unpacked tools, kept by what they hold and shared by all builds.

Nothing in it is named by a path or a date, so it may be deleted at any moment, and two
checkouts may share one. A file is checked when it comes in; who can write to the store
can change a build, as who can write to the compiler can.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from program import ProgramError, replacing


@dataclass(frozen=True)
class Store:
    """A directory that holds files by their SHA-256, and directories by a key."""

    root: Path

    @classmethod
    def at(cls, path: str) -> Self:
        """The store at `path`, wherever the process goes afterwards."""
        return cls(Path(path).absolute())

    def directory(self, name: str) -> Path:
        """The directory `name`, made if it does not exist."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold `name` alone among all processes that use this store."""
        path = self.directory("locks") / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def deliver(self, sha256: str, output: Path, fetch: Callable[[Path], Path]) -> None:
        """Write the file of digest `sha256` to `output`, fetching it if the store has none.

        `fetch` gets an empty directory and returns the file that it put there.

        Raises:
            ProgramError: what was fetched has another digest.
        """
        kept = self.directory("sha256") / sha256
        with self.lock(sha256):
            if not kept.exists() or sha256_of(kept) != sha256:
                self._fetch(sha256, kept, fetch)
        with replacing(output) as partial:
            shutil.copyfile(kept, partial)

    def _fetch(self, sha256: str, kept: Path, fetch: Callable[[Path], Path]) -> None:
        with self.scratch() as scratch:
            fetched = fetch(scratch)
            found = sha256_of(fetched)
            if found != sha256:
                raise ProgramError(
                    f"`{fetched.name}` has SHA-256 {found}, but the lock file says {sha256}",
                    "if the publisher replaced the file on purpose, review it, then pin it anew",
                )
            fetched.chmod(0o444)
            fetched.replace(kept)

    def tree(self, name: str, fill: Callable[[Path], None]) -> Path:
        """The directory `name`, which `fill` filled once, completely or not at all."""
        path = self.root / name
        if path.exists():
            return path
        with self.lock(name.replace("/", "-")):
            if not path.exists():
                with self.scratch() as scratch:
                    partial = scratch / "tree"
                    partial.mkdir()
                    fill(partial)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    partial.rename(path)
        return path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty directory on the store's own disk, gone afterwards."""
        path = self.directory("scratch") / uuid4().hex
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
