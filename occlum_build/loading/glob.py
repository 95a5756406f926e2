"""`glob()`: the files of one package that match patterns, in a fixed order."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from occlum_build.loading.workspace import BUILD_FILE, MARKER, OUTPUT_DIRECTORY, STATE_DIRECTORY

_OWN: Final = frozenset({OUTPUT_DIRECTORY, STATE_DIRECTORY})


class BadGlobError(ValueError):
    """A pattern that no file could ever match."""


def package_files(
    directory: Path, *, is_root: bool, note: Callable[[Path], None] | None = None
) -> Iterator[str]:
    """Each file of the package, relative to it, sorted; never one of a package below it.

    Links to directories are not followed. `note` is told of each directory before it is listed.
    """
    yield from sorted(_walk(directory, "", is_root=is_root, note=note))


def glob(files: Sequence[str], include: Sequence[str], exclude: Sequence[str]) -> list[str]:
    """Those of `files` that match a pattern of `include` and none of `exclude`.

    Raises:
        BadGlobError: a pattern is absolute, empty, or leaves the package.
    """
    wanted = [_compiled(pattern) for pattern in include]
    refused = [_compiled(pattern) for pattern in exclude]
    return [
        file
        for file in files
        if any(one.fullmatch(file) for one in wanted)
        and not any(one.fullmatch(file) for one in refused)
    ]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = pattern.split("/")
    if pattern.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise BadGlobError(f"`{pattern}` is no clean relative path")
    if any("**" in part and part != "**" for part in parts):
        raise BadGlobError(f"`**` stands alone between slashes, unlike in `{pattern}`")
    text = "".join(
        (r"(?:[^/]+/)*" if index < len(parts) - 1 else r"(?:[^/]+/)*[^/]+")
        if part == "**"
        else _part(part) + ("/" if index < len(parts) - 1 else "")
        for index, part in enumerate(parts)
    )
    return re.compile(text)


def _part(part: str) -> str:
    return "".join(
        "[^/]*" if char == "*" else "[^/]" if char == "?" else re.escape(char) for char in part
    )


def _walk(
    directory: Path, prefix: str, *, is_root: bool, note: Callable[[Path], None] | None
) -> Iterator[str]:
    if note is not None:
        note(directory)
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_root and not prefix and entry.name in _OWN:
                continue
            if entry.is_dir(follow_symlinks=False):
                below = directory / entry.name
                if not is_boundary(below):
                    yield from _walk(below, f"{prefix}{entry.name}/", is_root=is_root, note=note)
            elif not (entry.is_symlink() and entry.is_dir()):
                yield f"{prefix}{entry.name}"


def is_boundary(directory: Path) -> bool:
    """Whether another package, another workspace or a version control's store begins here."""
    return (
        (directory / BUILD_FILE).is_file()
        or (directory / MARKER).is_file()
        or directory.name in {".git", "__pycache__"}
    )
