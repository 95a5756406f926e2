"""A suite: a directory with programs, and whatever else they read."""

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import DiagnosticError, error

_MAGIC: Final = (b"\x7fELF", b"#!")
_MAGIC_BYTES: Final = 4
_MAX_FIRST_LINE: Final = 256
"""Linux, `include/uapi/linux/binfmts.h`: BINPRM_BUF_SIZE."""


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

        What a killed run left there goes away first.

        Raises:
            DiagnosticError: another run, or another user, has the path.
        """
        lock = self._locked()
        try:
            self.restore()
            yield
        finally:
            shutil.rmtree(self.root, ignore_errors=True)
            os.close(lock)

    def is_touched(self) -> bool:
        """Whether programs changed the copy: names, modes, links, sizes and times of files."""
        return _facts(self.root) != _facts(self.directory)

    def restore(self) -> None:
        """Make the copy what it was, without what programs did to it."""
        if not self.is_touched():
            return
        for entry in list(self.root.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        shutil.copytree(self.directory, self.root, symlinks=True, dirs_exist_ok=True)

    def _locked(self) -> int:
        """The directory at the path, opened and locked; no lock outlives a process."""
        with suppress(FileExistsError):
            self.root.mkdir(mode=0o700)
        try:
            lock = os.open(self.root, os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as problem:
            raise self._taken("it cannot be opened") from problem
        try:
            if os.fstat(lock).st_uid != os.geteuid():
                raise self._taken("it belongs to another user")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise self._taken("the suite runs there just now") from None
        except DiagnosticError:
            os.close(lock)
            raise
        return lock

    def _taken(self, why: str) -> DiagnosticError:
        helps = ("wait until that run has ended, or remove what is there",)
        return DiagnosticError(
            error("OB0704", f"`{self.root}` is there already", notes=(why,), helps=helps)
        )


def _facts(top: Path) -> dict[str, tuple[object, ...]]:
    """What `is_touched` looks at, by the path below a directory."""
    facts: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(folder, name)
            facts[path.relative_to(top).as_posix()] = _facts_of(path)
    return facts


def _facts_of(path: Path) -> tuple[object, ...]:
    try:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            return (status.st_mode, status.st_size, status.st_mtime_ns)
        if stat.S_ISLNK(status.st_mode):
            return (status.st_mode, path.readlink())
    except FileNotFoundError:  # a program removed it meanwhile
        return ()
    return (status.st_mode,)


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


def interpreters(directory: Path, path: str) -> tuple[str, ...]:
    """The programs of the host that start the scripts of a suite, where there are any.

    A script names one in its first line, or has `env` look for one in `path`.
    """
    found = dict.fromkeys(
        tool
        for name in sorted(_executables(directory))
        for tool in _interpreters(directory / name, path)
    )
    return tuple(tool for tool in found if Path(tool).is_file())


def _interpreters(script: Path, path: str) -> Iterator[str]:
    with script.open("rb") as file:
        line = file.readline(_MAX_FIRST_LINE)
    if not line.startswith(b"#!"):
        return
    words = [os.fsdecode(word) for word in line[2:].split()]
    if words and words[0].startswith("/"):
        yield words[0]
    if len(words) > 1 and Path(words[0]).name == "env":
        wanted = [word for word in words[1:] if not word.startswith("-") and "=" not in word]
        yield from filter(None, (shutil.which(word, path=path) for word in wanted[:1]))


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
