"""Digests of source files: a file is read again only if its stat says that it may differ."""

import marshal
import os
import stat
import time
from pathlib import Path
from typing import Final

from occlum_build.execution.files import (
    Identity,
    file_digest,
    identity,
    is_executable,
    write_atomically,
)

_VERSION: Final = 2
_RACY_NS: Final = 50_000_000
"""A file changed this shortly ago could change again without its time stamps showing it."""


class SourceDigests:
    """The digest of each source file, remembered between runs.

    `stats` afterwards holds the identity of everything that was looked at.
    """

    def __init__(self, file: Path) -> None:
        """Remember in `file`."""
        self._file = file
        self._known: dict[str, tuple[Identity, str]] = _read(file)
        self._is_changed = False
        self.stats: dict[str, Identity] = {}

    def line(self, path: Path) -> str:
        """What a key says of a source: content, execute bit, and the link that leads to it.

        Raises:
            OSError: the file cannot be read.
        """
        text = str(path)
        status = os.stat(text)  # noqa: PTH116  # thousands of times
        mode = "x" if is_executable(status) else "-"
        link = ""
        if stat.S_ISLNK(os.lstat(text).st_mode):
            link = f" -> {os.readlink(text)}"  # noqa: PTH115
        return f"{mode} {self._digest(text, status)}{link}"

    def digest(self, path: Path) -> str:
        """The digest of a file's content alone."""
        text = str(path)
        return self._digest(text, os.stat(text))  # noqa: PTH116

    def save(self) -> None:
        """Remember for the next run."""
        if self._is_changed:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(str(self._file), marshal.dumps((_VERSION, self._known)))

    def _digest(self, path: str, status: os.stat_result) -> str:
        now = identity(status)
        self.stats[path] = now
        known = self._known.get(path)
        if known is not None and known[0] == now:
            return known[1]
        digest = file_digest(path)
        if time.time_ns() - status.st_ctime_ns > _RACY_NS:
            self._known[path] = (now, digest)
            self._is_changed = True
        return digest


def _read(file: Path) -> dict[str, tuple[Identity, str]]:
    try:
        version, known = marshal.loads(file.read_bytes())  # noqa: S302  # our own cache
    except (OSError, ValueError, EOFError, TypeError):
        return {}
    return known if version == _VERSION and isinstance(known, dict) else {}
