"""Writing a result: whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from occlum_build.diagnostic import DiagnosticError, Span, error

_PLAIN_FILE_MODE: Final = 0o644


@contextmanager
def replacing(path: Path, mode: int = _PLAIN_FILE_MODE) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends without an exception.

    Until then `path` keeps what it had; after an exception nothing is left of
    the new file. The mode does not depend on the umask. A link stays, and leads to the
    new file; what is no file (a device, a pipe) is refused, as it would be gone.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file():
        raise DiagnosticError(
            error("OB0591", f"cannot write `{path.name}`: it is not a regular file", _span(path))
        )
    temporary = temporary_beside(path)
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
        temporary.replace(path)
    except OSError as problem:
        raise unwritable(path, problem) from None
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A name for what will be renamed to `path`, known before the file is there.

    Whoever is interrupted at any moment can then remove it.
    """
    return path.with_name(f".{path.name}.{os.getpid()}")


def unwritable(path: Path, problem: OSError) -> DiagnosticError:
    """What to say of a result that cannot be written, whatever it is."""
    return DiagnosticError(
        error("OB0591", f"cannot write `{path.name}`: {problem.strerror}", _span(path))
    )


def _span(path: Path) -> Span:
    return Span(str(path))
