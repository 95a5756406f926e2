"""The codes of this package's diagnostics, and the one way to raise them."""

from collections.abc import Iterable
from enum import StrEnum
from os import strerror
from typing import Final

from occlum_build.diagnostic import DiagnosticError, Span, error


class Code(StrEnum):
    """What can be wrong with a tree, an archive or an image. Numbers never change meaning."""

    BAD_PATH = "OB0601"
    DUPLICATE_PATH = "OB0602"
    BAD_NODE = "OB0603"
    ESCAPING_SYMLINK = "OB0604"
    BAD_ARCHIVE = "OB0605"
    BAD_PACKAGE = "OB0606"
    OTHER_PACKAGE = "OB0607"
    CONFLICT = "OB0608"
    BAD_ELF = "OB0609"
    MISSING_LIBRARY = "OB0610"
    BAD_SPECIFICATION = "OB0611"
    UNREADABLE = "OB0612"
    BAD_IMAGE = "OB0613"
    ALTERED_IMAGE = "OB0614"
    TOO_LARGE = "OB0616"
    UNUSED_PATTERN = "OB0617"
    NO_INTERPRETER = "OB0618"
    NOT_COMPILED = "OB0619"


ROOT: Final = "/"


def refusal(
    code: Code,
    message: str,
    *,
    file: str | None = None,
    notes: Iterable[str] = (),
    helps: Iterable[str] = (),
) -> DiagnosticError:
    """The exception to raise for one problem; `file` is the input in which it lies."""
    span = None if file is None else Span(file)
    return DiagnosticError(error(code.value, message, span, notes=notes, helps=helps))


def unreadable(file: str, failure: OSError) -> DiagnosticError:
    """An input that the operating system would not give us."""
    return refusal(Code.UNREADABLE, f"cannot read `{file}`: {reason(failure)}")


def reason(failure: OSError) -> str:
    """The system's own words for a failure, without the path that Python adds."""
    return strerror(failure.errno).lower() if failure.errno else str(failure)


def shown(path: bytes) -> str:
    """A tree path as people write it: from `/`, bytes that are not UTF-8 escaped."""
    return ROOT + path.decode("utf-8", "backslashreplace")


def shown_name(name: bytes) -> str:
    """Any bytes that a file claims to be text, for a message; long ones are cut."""
    text = name.decode("utf-8", "backslashreplace")
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


_SHOWN_CHARACTERS: Final = 200
