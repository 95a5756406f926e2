"""Reading what evidence is about."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from occlum_build.diagnostic import DiagnosticError, Span, error

_MAX_JSON_BYTES: Final = 256 << 20

T = TypeVar("T")


def sha256_of(path: Path) -> str:
    """The digest of a file; raises `DiagnosticError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise unreadable(path, problem) from None


def read_json(path: Path) -> Any:
    """The value in a JSON file; raises `DiagnosticError` if it is none."""
    text = read(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as problem:
        message = f"`{path.name}` is no JSON"
        raise DiagnosticError(
            error("OB0801", message, Span(str(path)), notes=(str(problem),))
        ) from None


def decoded(path: Path, version: int, decode: Callable[[Any], T], complaint: str) -> T:
    """What `decode` makes of the JSON document in a file, if it has this version.

    Raises:
        DiagnosticError: with the `complaint` about the file, if it is of another shape.
    """
    document = read_json(path)
    try:
        _check_version(document["version"], version)
        return decode(document)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        message = f"`{path.name}` {complaint}"
        raise DiagnosticError(
            error("OB0801", message, Span(str(path)), notes=(reason(problem),))
        ) from None


def _check_version(found: Any, known: int) -> None:
    if found != known:
        raise ValueError(f"it has version {found}, and {known} is known")


def read(path: Path) -> bytes:
    """The content of a file of moderate size; raises `DiagnosticError`."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_JSON_BYTES)
    except OSError as problem:
        raise unreadable(path, problem) from None


def reason(problem: Exception) -> str:
    """What is wrong with a document, in words: a key that is missing has its name."""
    if isinstance(problem, KeyError):
        return f"`{problem.args[0]}` is missing"
    return str(problem)


def unreadable(path: Path, problem: OSError) -> DiagnosticError:
    """What to raise for a file that the system does not give."""
    return DiagnosticError(error("OB0800", f"cannot read `{path}`: {problem.strerror}"))
