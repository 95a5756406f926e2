"""Writing a result: whole or not at all."""

import os
import tempfile
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
    the new file. The mode does not depend on the umask.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as problem:
        raise _unwritable(path, problem) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), mode)
        Path(name).replace(path)
    except OSError as problem:
        Path(name).unlink(missing_ok=True)
        raise _unwritable(path, problem) from None
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _unwritable(path: Path, problem: OSError) -> DiagnosticError:
    return DiagnosticError(
        error("OB0591", f"cannot write `{path.name}`: {problem.strerror}", Span(str(path)))
    )
