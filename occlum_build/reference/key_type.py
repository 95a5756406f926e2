"""The type of a key of Occlum.yaml in words."""

import json
import re
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from occlum_build.config import fields
from occlum_build.identity import policy
from occlum_build.reference.markdown import code

_NAMED: Final = (
    (fields.PageSize, "size in whole pages"),
    (fields.Size, "size"),
    (fields.AbsolutePath, "absolute path"),
    (fields.EnvironmentEntry, "`NAME=value`"),
    (fields.EnvironmentName, "variable name"),
    (fields.ImageName, "image name"),
    (fields.HexHalf, "64-bit hexadecimal string"),
    (fields.Date, "date"),
    (policy.Hash, "SHA-256"),
    (policy.Id, "128-bit hexadecimal string"),
    (fields.Text, "string"),
)
_OTHERWISE: Final = re.compile(r"0x[0-9a-f]+|[0-9]+|[0-9]{4}-[0-9]{2}-[0-9]{2}")
"""Strings that some reader of YAML takes for a number or a date."""

_PLAIN: Final[dict[object, str]] = {bool: "boolean", int: "integer", str: "string"}


def type_of(field: FieldInfo) -> str:
    """The type of a key, with the bounds of its value."""
    return _words(field.annotation, tuple(field.metadata))


def default_of(field: FieldInfo) -> str:
    """The default as Occlum.yaml would write it."""
    if field.is_required():
        return "required"
    return "none" if field.default is None else code(flow(field.default))


def flow(value: Any) -> str:
    """A value in YAML's flow style, quoted only where a plain word would mean something else."""
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple():
            return f"[{', '.join(map(flow, value))}]"
        case dict():
            return f"{{{', '.join(f'{key}: {flow(one)}' for key, one in value.items())}}}"
        case str() if _OTHERWISE.fullmatch(value):
            return json.dumps(value)
    return str(value)


def _words(annotation: Any, metadata: tuple[object, ...]) -> str:
    for alias, words in _NAMED:
        _, *known = typing.get_args(alias)
        if metadata[: len(known)] == tuple(known):
            return words
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], arguments[1:])
    if origin in {typing.Union, types.UnionType}:
        inner = [one for one in arguments if one is not type(None)]
        return " or ".join(_words(one, metadata) for one in inner)
    if origin is Literal:
        return " or ".join(code(str(one)) for one in arguments)
    if origin is tuple:
        words = _words(arguments[0], ())
        return f"list of {words}" if words.endswith("`") else f"list of {words}s"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return f"{_PLAIN[annotation]}{_bounds(metadata)}"


def _bounds(metadata: Iterable[object]) -> str:
    least = next((one.ge for one in metadata if isinstance(one, Ge)), None)
    most = next((one.le for one in metadata if isinstance(one, Le)), None)
    return "" if least is None and most is None else f", {least} to {most}"
