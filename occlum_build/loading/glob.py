"""`glob()`: the files of one package that match patterns, in a fixed order.

As in a shell, `*`, `?` and `**` match no name that begins with a dot: caches and editors'
files are no inputs unless a pattern names them.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from occlum_build.loading.workspace import BUILD_FILE, MARKER, OUTPUT_DIRECTORY, STATE_DIRECTORY

_SKIPPED: Final = frozenset({".git", "__pycache__"})
_OWN: Final = frozenset({OUTPUT_DIRECTORY, STATE_DIRECTORY})
_ANY_DEPTH: Final = 1 << 16


class BadGlobError(ValueError):
    """A pattern that no file could ever match."""


class PackageFiles:
    """The files of one package; never one of a package or workspace below it.

    A directory is listed when a pattern needs it, once. Links to directories are not
    followed.
    """

    def __init__(
        self, directory: Path, *, is_root: bool, note: Callable[[Path], None] = lambda _path: None
    ) -> None:
        """Look in `directory`; `note` is told of each directory before it is listed."""
        self._directory = directory
        self._is_root = is_root
        self._note = note
        self._listings: dict[str, tuple[list[str], list[str]]] = {}

    def glob(self, include: Sequence[str], exclude: Sequence[str] = ()) -> list[str]:
        """The files that match a pattern of `include` and none of `exclude`, sorted.

        Raises:
            BadGlobError: a pattern is absolute, empty, or leaves the package.
        """
        refused = [compiled(pattern) for pattern in exclude]
        found = {file for pattern in include for file in self._matching(pattern)}
        return sorted(file for file in found if not any(one.fullmatch(file) for one in refused))

    def _matching(self, pattern: str) -> Iterator[str]:
        expression = compiled(pattern)
        folders = pattern.split("/")[:-1]
        start: list[str] = []
        for folder in folders:
            if set(folder) & set("*?"):
                break
            start.append(folder)
        if not all(
            folder in self._listing("".join(f"{one}/" for one in start[:index]))[1]
            for index, folder in enumerate(start)
        ):
            return
        depth = _ANY_DEPTH if "**" in pattern else len(folders) - len(start)
        for file in self._below("".join(f"{one}/" for one in start), depth):
            if expression.fullmatch(file):
                yield file

    def _below(self, prefix: str, depth: int) -> Iterator[str]:
        files, folders = self._listing(prefix)
        yield from (f"{prefix}{file}" for file in files)
        if depth:
            for folder in folders:
                yield from self._below(f"{prefix}{folder}/", depth - 1)

    def _listing(self, prefix: str) -> tuple[list[str], list[str]]:
        """The files and directories of one directory of the package."""
        if prefix not in self._listings:
            directory = self._directory / prefix
            self._note(directory)
            files: list[str] = []
            folders: list[str] = []
            with os.scandir(directory) as entries:
                for entry in entries:
                    if self._is_root and not prefix and entry.name in _OWN:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if not _is_boundary(directory / entry.name):
                            folders.append(entry.name)
                    elif not (
                        entry.is_symlink() and Path(entry).is_dir()
                    ):  # a link in a loop is none
                        files.append(entry.name)
            self._listings[prefix] = (sorted(files), sorted(folders))
        return self._listings[prefix]


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as an expression that a file's whole path matches.

    Raises:
        BadGlobError: it is absolute, empty, or leaves the package.
    """
    parts = pattern.split("/")
    if pattern.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise BadGlobError(f"`{pattern}` is no clean relative path")
    if any("**" in part and part != "**" for part in parts):
        raise BadGlobError(f"`**` stands alone between slashes, unlike in `{pattern}`")
    *folders, last = parts
    text = "".join(r"(?:(?!\.)[^/]+/)*" if one == "**" else f"{_part(one)}/" for one in folders)
    text += r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+" if last == "**" else _part(last)
    return re.compile(text, re.DOTALL)


def _part(part: str) -> str:
    hidden = r"(?!\.)" if part[0] in "*?" else ""
    return hidden + "".join(
        "[^/]*" if char == "*" else "[^/]" if char == "?" else re.escape(char) for char in part
    )


def _is_boundary(directory: Path) -> bool:
    """Whether another package, another workspace or a version control's store begins here."""
    return (
        directory.name in _SKIPPED
        or (directory / BUILD_FILE).is_file()
        or (directory / MARKER).is_file()
    )
