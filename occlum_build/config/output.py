"""Writing a result: whole or not at all."""

import tempfile
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import DiagnosticError, Span, error

_PLAIN_FILE_MODE: Final = 0o644


def replace_file(path: Path, text: str) -> None:
    """Put `text` at `path`; what was there stays until all of the new text is written.

    The mode does not depend on the umask.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix=f".{path.name}.", dir=path.parent, delete=False
        ) as file:
            temporary = Path(file.name)
            file.write(text)
        temporary.chmod(_PLAIN_FILE_MODE)
        temporary.replace(path)
    except OSError as problem:
        raise DiagnosticError(
            error("OB0291", f"cannot write `{path.name}`: {problem.strerror}", Span(str(path)))
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
