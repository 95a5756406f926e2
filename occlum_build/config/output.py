"""Writing a result: whole or not at all."""

import os
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import DiagnosticError, Span, error

_PLAIN_FILE_MODE: Final = 0o644


def replace_file(path: Path, text: str) -> None:
    """Put `text` at `path`; what was there stays until all of the new text is written.

    The mode does not depend on the umask.
    """
    path = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.exists() and not path.is_file():
        raise DiagnosticError(
            error("OB0291", f"cannot write `{path.name}`: it is no file", Span(str(path)))
        )
    # The name is known before the file is there, so that an interruption leaves nothing.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        with temporary.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
            os.fchmod(file.fileno(), _PLAIN_FILE_MODE)
        temporary.replace(path)
    except OSError as problem:
        raise DiagnosticError(
            error("OB0291", f"cannot write `{path.name}`: {problem.strerror}", Span(str(path)))
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
