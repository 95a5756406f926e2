"""Files that appear whole or not at all.

Each output is written under a temporary name in its own directory and renamed at the end.
Whatever goes wrong before (a bad input, a full disk, an interrupt) removes the temporary file and
leaves what stood there untouched.
"""

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final, NoReturn

from occlum_build.diagnostic import DiagnosticError, Span, error

UNWRITABLE: Final = "OB0591"
"""The code of the diagnostic: an output cannot be written."""
_PLAIN_FILE_MODE: Final = 0o644
_BUFFER_BYTES: Final = 1 << 20
_SIGNAL_STATUS: Final = 128
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def replacing(path: Path, mode: int = _PLAIN_FILE_MODE) -> Iterator[BinaryIO]:
    """A file to write and read; it becomes `path` when the block ends without an exception.

    Its mode does not depend on the umask. A link stays, and leads to the new file; what is no
    file (a device, a pipe) is refused, as it would be gone.

    Raises:
        DiagnosticError: it cannot be written.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file():
        message = f"cannot write `{path.name}`: it is not a regular file"
        raise DiagnosticError(error(UNWRITABLE, message, Span(str(path))))
    temporary = temporary_beside(path)
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "w+b", buffering=_BUFFER_BYTES) as file:  # noqa: PTH123
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
        temporary.replace(path)
    except OSError as problem:
        raise unwritable(path, problem) from problem
    finally:
        with suppress(OSError):
            temporary.unlink()


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path`, as `replacing` does."""
    with replacing(path) as file:
        file.write(content)


def temporary_beside(path: Path) -> Path:
    """A name for what will be renamed to `path`, known before the file is there.

    Whoever is interrupted at any moment can then remove it.
    """
    return path.with_name(f".occlum-build.{token_hex(8)}")


def unwritable(path: Path, problem: OSError) -> DiagnosticError:
    """What to say of a result that cannot be written, whatever it is."""
    helps = []
    if problem.errno in _FULL:
        helps = [f"free space in `{path.parent}`, or lift its quota or file size limit"]
    elif problem.errno == errno.ENOENT:
        helps = [f"make the directory `{path.parent}` first"]
    message = f"cannot write `{path.name}`: {problem.strerror}"
    return DiagnosticError(error(UNWRITABLE, message, Span(str(path)), helps=helps))


def unwind_on_signals() -> None:
    """Let whatever asks this program to end do so as an exception: nothing half-written stays.

    A signal that whoever started it wants ignored (`nohup`) stays ignored.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _unwind)


def _unwind(number: int, _frame: object) -> NoReturn:
    raise SystemExit(_SIGNAL_STATUS + number)
