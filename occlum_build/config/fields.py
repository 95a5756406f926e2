"""Types of single values in Occlum.yaml: what each may look like, in words."""

import re
from datetime import date
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError

from occlum_build.config.size import PATTERN, BadSizeError, parse_size, print_size

PROBLEM_TYPE: Final = "occlum"
"""Type of the errors that carry their own wording."""

STRICT: Final = ConfigDict(
    strict=True, frozen=True, extra="forbid", use_attribute_docstrings=False
)

PAGE_BYTES: Final = 4096
NO_DATE: Final = "0000-00-00"
_PATH_MAX: Final = 4096
_NAME_MAX: Final = 255
_ABSOLUTE_PATH: Final = "^/$|^(/[^/]+)+$"
_ENVIRONMENT_NAME: Final = "^[A-Za-z_][A-Za-z0-9_]*$"
_IMAGE_NAME: Final = "^[a-z0-9][a-z0-9_.-]*$"
_HEX: Final = "^0x[0-9a-fA-F]{1,16}$"
_DATE: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def wrong(message: str, help_text: str = "") -> PydanticCustomError:
    """A refusal in the wording of a diagnostic."""
    return PydanticCustomError(PROBLEM_TYPE, "{message}", {"message": message, "help": help_text})


def _size(value: Any) -> int:
    if not isinstance(value, str):
        if type(value) is int:
            raise wrong(f"size `{value}` has no unit", "write a unit: `4096B`, `64KB`, `32MB`")
        raise wrong("expected a size", "a size is digits and a unit, as in `64MB`")
    try:
        return parse_size(value)
    except BadSizeError as problem:
        raise wrong(str(problem), problem.help_text) from None


def _pages(size_bytes: int) -> int:
    if size_bytes == 0:
        raise wrong("this size must not be zero")
    if size_bytes % PAGE_BYTES:
        rounded = -(-size_bytes // PAGE_BYTES) * PAGE_BYTES
        raise wrong(
            f"size `{print_size(size_bytes)}` is not a whole number of pages of 4KB",
            f"write `{print_size(rounded)}`",
        )
    return size_bytes


def _text(value: str) -> str:
    if "\0" in value:
        raise wrong("a NUL character cannot be passed to a program")
    return value


def _absolute_path(value: str) -> str:
    parts = value.split("/")
    if not value.startswith("/"):
        raise wrong(f"path `{value}` is not absolute", f"write `/{value.removeprefix('./')}`")
    if value != "/" and any(part in ("", ".", "..") for part in parts[1:]):
        clean = "/" + "/".join(part for part in parts if part not in ("", "."))
        helps = "" if ".." in parts else f"write `{clean}`"
        raise wrong(f"path `{value}` has an empty part, `.` or `..`", helps)
    if len(value.encode()) >= _PATH_MAX or any(len(one.encode()) > _NAME_MAX for one in parts):
        raise wrong(f"a path has fewer than {_PATH_MAX} bytes, and a name at most {_NAME_MAX}")
    return _text(value)


def _host_path(value: str) -> str:
    if not value:
        raise wrong("a path on the host is missing", "write `.` for the folder of the runner")
    if len(value.encode()) >= _PATH_MAX:
        raise wrong(f"a path has fewer than {_PATH_MAX} bytes")
    return _text(value)


def _environment_entry(value: str) -> str:
    name, equals, _ = value.partition("=")
    if not equals:
        raise wrong(f"`{value}` has no value", f"write `{value}=` and a value, as in `LANG=C`")
    _environment_name(name)
    return _text(value)


def _environment_name(value: str) -> str:
    if "=" in value:
        name = value.partition("=")[0]
        raise wrong(f"`{value}` is not a name: its value comes from the host", f"write `{name}`")
    if not re.fullmatch(_ENVIRONMENT_NAME, value):
        raise wrong(f"`{value}` is not the name of an environment variable")
    return value


def _image_name(value: str) -> str:
    if not re.fullmatch(_IMAGE_NAME, value):
        raise wrong(
            f"`{value}` is not the name of an image",
            "a name is made of `a`-`z`, digits, `_`, `.` and `-`, as in `root`",
        )
    return value


def _hex_half(value: str) -> str:
    if not re.fullmatch(_HEX, value):
        raise wrong(f"`{value}` is not a 64-bit hexadecimal number", 'write it as in `"0x1f"`')
    return value


def _date(value: Any) -> str:
    text = str(value)
    if not _is_date(text):
        raise wrong(f"`{text}` is not a date", "write it as in `2030-01-31`")
    return text


def _is_date(text: str) -> bool:
    if not re.fullmatch(_DATE, text):
        return False
    try:
        return text == NO_DATE or date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _string_schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


Size = Annotated[int, BeforeValidator(_size), _string_schema(PATTERN, "64MB")]
"""A number of bytes, written with a unit."""

PageSize = Annotated[Size, AfterValidator(_pages)]
"""A size that is a whole number of pages and not zero."""

Text = Annotated[str, AfterValidator(_text)]
"""A string that a program can be given."""

AbsolutePath = Annotated[
    str, AfterValidator(_absolute_path), _string_schema(_ABSOLUTE_PATH, "/bin")
]
"""A path inside the enclave, from its root, in the one way to write it."""

HostPath = Annotated[str, AfterValidator(_host_path), _string_schema("^.+$", "./data")]
"""A path on the host, absolute or not."""

EnvironmentEntry = Annotated[
    str,
    AfterValidator(_environment_entry),
    _string_schema("^[A-Za-z_][A-Za-z0-9_]*=", "LANG=C.UTF-8"),
]
"""`NAME=value`."""

EnvironmentName = Annotated[
    str, AfterValidator(_environment_name), _string_schema(_ENVIRONMENT_NAME, "TZ")
]
"""The name of an environment variable."""

ImageName = Annotated[str, AfterValidator(_image_name), _string_schema(_IMAGE_NAME, "root")]
"""The name that a BUILD file gives to a file system image."""

HexHalf = Annotated[str, AfterValidator(_hex_half), _string_schema(_HEX, "0x0")]
"""Half of a 128-bit number."""

Date = Annotated[str, BeforeValidator(_date), _string_schema(_DATE, "2030-01-31")]
"""A calendar date, or `0000-00-00` for none."""
