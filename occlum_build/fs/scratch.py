"""Temporary files and directories beside an output, on its file system."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from occlum_build.output_file import unwritable

_BUFFER_BYTES: Final = 1 << 20


@contextmanager
def scratch(beside: Path) -> Iterator[IO[bytes]]:
    """A nameless temporary file on the file system of `beside`, gone when the block ends."""
    try:
        with tempfile.TemporaryFile(dir=beside.parent, buffering=_BUFFER_BYTES) as file:
            yield file
    except OSError as failure:
        raise unwritable(beside, failure) from failure


@contextmanager
def scratch_directory(beside: Path) -> Iterator[Path]:
    """An empty directory on the file system of `beside`, gone when the block ends."""
    try:
        with tempfile.TemporaryDirectory(dir=beside.parent, prefix=".occlum-build.") as folder:
            yield Path(folder)
    except OSError as failure:
        raise unwritable(beside, failure) from failure
