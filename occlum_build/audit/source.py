"""A source tree to audit: a directory or a commit, copied to where nothing else is."""

import errno
import os
import shutil
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import DiagnosticError, error

MARKER: Final = "WORKSPACE.occlum"
_MADE: Final = frozenset({".occlum-build", "out"})
"""What a build makes at the top of a workspace: with it there, an audit would build nothing."""
_OF_THE_COPY: Final = frozenset({errno.EDQUOT, errno.ENOSPC, errno.EROFS})
"""Errors of the disk that the copy is on."""
_NO_SOURCE: Final = frozenset({".git", "__pycache__"})


@dataclass(frozen=True)
class Source:
    """What is built: `title` is how the user named it."""

    title: str
    directory: Path | None
    commit: str = ""

    @classmethod
    def find(cls, text: str, here: Path) -> "Source":
        """The directory or commit that `text` names, seen from `here`.

        Raises:
            DiagnosticError: it is neither.
        """
        path = here / text
        if path.is_dir():
            return cls(text, path.resolve())
        found = _git(here, "rev-parse", "--verify", "--quiet", f"{text}^{{commit}}")
        if found.returncode:
            notes = [line for line in found.stderr.decode(errors="replace").splitlines() if line]
            raise DiagnosticError(
                error(
                    "OB0810",
                    f"`{text}` is neither a directory nor a commit of the repository here",
                    notes=notes[:1],
                    helps=(
                        "`--source` takes the top of a workspace, a branch, a tag or a commit",
                    ),
                )
            )
        return cls(text, None, found.stdout.decode().strip())

    def copy_to(self, target: Path, here: Path, *, backwards: bool = False) -> None:
        """Make `target` hold the source, and nothing that was made from it.

        Files get 0644 or 0755 less the umask, and are made in the opposite order if
        `backwards`, so that a directory lists them in another one.

        Raises:
            DiagnosticError: it cannot be read, or is no workspace.
        """
        if self.directory is not None:
            self._need_marker(self.directory)  # before a whole disk is copied
        target.mkdir(parents=True)
        if self.directory is not None:
            names = filter(_is_source, _files(self.directory))
            for name in _ordered(names, backwards=backwards):
                self._copy(name, target)
        else:
            self._extract(target, here, backwards=backwards)
        self._need_marker(target)

    def _need_marker(self, folder: Path) -> None:
        if not (folder / MARKER).is_file():
            raise DiagnosticError(
                error(
                    "OB0811",
                    f"`{self.title}` has no `{MARKER}`: it is not the top of a workspace",
                    helps=("name the directory that the bundle's label counts from",),
                )
            )

    def _copy(self, name: str, target: Path) -> None:
        """Copy a file of the directory; a full disk is no fault of it."""
        assert self.directory is not None  # noqa: S101  # who calls has looked
        try:
            _copy(self.directory / name, target / name)
        except OSError as problem:
            if problem.errno in _OF_THE_COPY:
                raise
            message = f"`{name}` of `{self.title}` cannot be read: {problem.strerror}"
            helps = (
                "an audit reads every file of the source that version control does not ignore",
            )
            raise DiagnosticError(error("OB0810", message, helps=helps)) from None

    def _extract(self, target: Path, here: Path, *, backwards: bool) -> None:
        with tempfile.TemporaryFile() as spool:
            top = _git(here, "rev-parse", "--show-toplevel").stdout.decode().strip()
            done = subprocess.run(
                [_program(), "-C", top, "archive", "--format=tar", self.commit],
                stdout=spool,
                stderr=subprocess.PIPE,
                check=False,
            )
            if done.returncode:
                why = done.stderr.decode(errors="replace").strip()
                raise DiagnosticError(
                    error("OB0810", f"git gives no files of `{self.title}`", notes=(why,))
                )
            spool.seek(0)
            with tarfile.open(fileobj=spool) as archive:
                members = {one.name: one for one in archive if one.isfile() or one.issym()}
                for name in _ordered(filter(_is_source, members), backwards=backwards):
                    _unpack(archive, members[name], target)


def _files(folder: Path) -> list[str]:
    """The files of a directory, as version control knows them if it does."""
    listed = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = listed.stdout.decode("utf-8", "surrogateescape").split("\0")
    # A directory that is itself ignored has no file that git knows.
    if listed.returncode == 0 and MARKER in names:
        return [one for one in names if one and os.path.lexists(folder / one)]
    found = []
    for top, folders, names in os.walk(folder):
        made = _MADE if top == os.fspath(folder) else frozenset[str]()
        folders[:] = [one for one in folders if one not in _NO_SOURCE | made]
        found += [os.path.relpath(Path(top, name), folder) for name in names]
    return found


def _is_source(name: str) -> bool:
    return name.partition("/")[0] not in _MADE


def _ordered(names: Iterable[str], *, backwards: bool) -> list[str]:
    return sorted(names, reverse=backwards)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_file():
        shutil.copyfile(source, target)
        if source.stat().st_mode & stat.S_IXUSR:
            _let_execute(target)


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    path = target / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    content = archive.extractfile(member)
    if content is not None:
        with path.open("wb") as file:
            shutil.copyfileobj(content, file)
    if member.mode & stat.S_IXUSR:
        _let_execute(path)


def _let_execute(path: Path) -> None:
    """What `chmod +x` does: for all who can read it."""
    mode = path.stat().st_mode
    path.chmod(mode | (mode & 0o444) >> 2)


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run([_program(), "-C", folder, *words], capture_output=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, b"", b"git is not installed")


def _program() -> str:
    return shutil.which("git") or "/usr/bin/git"
