"""A suite: a directory with programs, and whatever else they read."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import DiagnosticError, error

_MAGIC: Final = (b"\x7fELF", b"#!")
_MAGIC_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Suite:
    """A directory of programs, and the path that it has while they run.

    The path is the same on the host, where a copy lies there that programs may write to, and
    in the enclave, so that a program that says where it is says the same.
    """

    directory: Path

    @property
    def key(self) -> str:
        """What tells this suite from others on this machine."""
        return hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]

    @property
    def root(self) -> Path:
        """The path."""
        return Path(f"/var/tmp/occlum-suite-{self.key}")  # noqa: S108  # refused if another's

    @contextmanager
    def copied(self) -> Iterator[None]:
        """The copy on the host, for as long as the block lasts.

        Raises:
            DiagnosticError: another run, or another user, has the path.
        """
        try:
            self.root.mkdir(mode=0o700)
        except FileExistsError:
            raise DiagnosticError(
                error(
                    "OB0704",
                    f"`{self.root}` is there already",
                    notes=("the suite runs twice at once, or an earlier run was killed",),
                    helps=(f"if nothing runs: `rm -r {self.root}`",),
                )
            ) from None
        try:
            shutil.copytree(self.directory, self.root, symlinks=True, dirs_exist_ok=True)
            yield
        finally:
            shutil.rmtree(self.root, ignore_errors=True)


def find_programs(directory: Path, patterns: Sequence[str]) -> tuple[str, ...]:
    """The executable files of a suite that match a pattern, by their paths in it.

    A program is an ELF executable or a script that its owner may execute; shared libraries
    (`*.so`, `*.so.*`) are none.

    Raises:
        DiagnosticError: there is none, or one has a name that no line of a list can hold.
    """
    found = [
        name
        for name in sorted(_executables(directory))
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    ]
    if not found:
        wanted = ", ".join(f"`{pattern}`" for pattern in patterns)
        raise DiagnosticError(
            error(
                "OB0701",
                f"`{directory}` has no program that matches {wanted}",
                helps=("a program is an ELF file or a script with execute permission",),
            )
        )
    odd = [name for name in found if not name.isprintable()]
    if odd:
        raise DiagnosticError(
            error(
                "OB0701",
                f"`{odd[0]}` has a name that no line of a list can hold",
                helps=("give it another name, or choose programs with `--program`",),
            )
        )
    return tuple(found)


def _executables(directory: Path) -> Iterator[str]:
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if name.endswith(".so") or ".so." in name or path.is_symlink():
                continue
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or not status.st_mode & stat.S_IXUSR:
                continue
            with path.open("rb") as file:
                if file.read(_MAGIC_BYTES).startswith(_MAGIC):
                    yield path.relative_to(directory).as_posix()
