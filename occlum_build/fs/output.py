"""Files that appear whole or not at all.

Each output is written under a temporary name in its own directory and renamed
at the end. Whatever goes wrong before (a bad input, a full disk, an interrupt)
removes the temporary file and leaves what stood there untouched.
"""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, BinaryIO, Final

from occlum_build.fs.problem import Code, reason, refusal

_MODE: Final = 0o644
_BUFFER_BYTES: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write; it becomes `path` when the block ends without an exception.

    Its mode is 0644 whatever the umask.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file():
        raise refusal(Code.UNWRITABLE, f"cannot write `{path}`: it is no file")
    # named before it exists: an interrupt at any point finds the name to remove
    temporary = path.with_name(f".occlum-build.{token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with open(descriptor, "w+b", buffering=_BUFFER_BYTES) as file:  # noqa: PTH123
            yield file
            file.flush()
            os.fchmod(descriptor, _MODE)
        temporary.replace(path)
    except OSError as failure:
        raise _unwritable(path, failure) from failure
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def scratch(beside: Path) -> Iterator[IO[bytes]]:
    """A nameless temporary file on the file system of `beside`, gone when the block ends."""
    try:
        with tempfile.TemporaryFile(dir=beside.parent, buffering=_BUFFER_BYTES) as file:
            yield file
    except OSError as failure:
        raise _unwritable(beside, failure) from failure


@contextmanager
def scratch_directory(beside: Path) -> Iterator[Path]:
    """An empty directory on the file system of `beside`, gone when the block ends."""
    try:
        with tempfile.TemporaryDirectory(dir=beside.parent, prefix=".occlum-build.") as folder:
            yield Path(folder)
    except OSError as failure:
        raise _unwritable(beside, failure) from failure


def _unwritable(path: Path, failure: OSError) -> Exception:
    helps = []
    if failure.errno in _FULL:
        helps = [f"free space in `{path.parent}`, or lift its quota or file size limit"]
    elif failure.errno == errno.ENOENT:
        helps = [f"make the directory `{path.parent}` first"]
    return refusal(Code.UNWRITABLE, f"cannot write `{path}`: {reason(failure)}", helps=helps)
