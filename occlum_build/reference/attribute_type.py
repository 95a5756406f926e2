"""The type of an attribute in words: what a BUILD file may write for it."""

import json
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic.fields import FieldInfo

from occlum_build.attribute import Dep, Source
from occlum_build.label import Label
from occlum_build.reference.markdown import code

_WORDS: dict[object, tuple[str, str]] = {
    str: ("string", "strings"),
    bool: ("boolean", "booleans"),
    int: ("integer", "integers"),
}


def type_of(field: FieldInfo) -> str:
    """The type of a field, with the bounds of its values."""
    words = _words(field.annotation, tuple(field.metadata), is_plural=False)
    bounds = _bounds(field.metadata)
    return f"{words}; {bounds}" if bounds else words


def default_of(field: FieldInfo) -> str:
    """The default as a BUILD file would write it."""
    return "required" if field.is_required() else code(_literal(field.default))


def _words(annotation: Any, markers: tuple[object, ...], *, is_plural: bool) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0], (*markers, *arguments[1:]), is_plural=is_plural)
    if origin in {typing.Union, types.UnionType}:
        inner = [one for one in arguments if one is not type(None)]
        return " or ".join(_words(one, markers, is_plural=is_plural) for one in inner)
    if origin is Literal:
        return " or ".join(code(json.dumps(one)) for one in arguments)
    if origin is tuple:
        return f"list of {_words(arguments[0], markers, is_plural=True)}"
    if origin is dict:
        key, value = (_words(one, markers, is_plural=False) for one in arguments)
        return f"dictionary of {key} to {value}"
    if annotation is Label:
        return f"{'labels' if is_plural else 'label'} {_target(markers, is_plural=is_plural)}"
    return _WORDS[annotation][is_plural]


def _target(markers: Iterable[object], *, is_plural: bool) -> str:
    """What a label must name."""
    for marker in markers:
        if isinstance(marker, Source):
            kinds = ", ".join(code(one) for one in marker.suffixes)
            return f"of {kinds} files" if kinds else "of files"
        if isinstance(marker, Dep):
            names = " and ".join(code(one.__name__) for one in marker.providers)
            noun = "targets" if is_plural else "a target"
            return f"of {noun} with {names}" if names else f"of {noun}"
    raise TypeError("a label needs a marker")


def _bounds(metadata: Iterable[Any]) -> str:
    found = []
    for one in metadata:
        match one:
            case MinLen():
                found.append("not empty")
            case Gt(gt=value):
                found.append(f"more than {value}")
            case Ge(ge=value):
                found.append(f"at least {value}")
            case Le(le=value):
                found.append(f"at most {value}")
            case _:
                pattern = getattr(one, "pattern", None)
                found += [f"matches {code(str(pattern))}"] if pattern else []
    return ", ".join(found)


def _literal(value: object) -> str:
    match value:
        case None | bool() | int():
            return repr(value)
        case Label() | str():
            return json.dumps(str(value), ensure_ascii=False)
        case tuple() | list():
            return f"[{', '.join(map(_literal, value))}]"
        case dict():
            items = (f"{_literal(key)}: {_literal(one)}" for key, one in value.items())
            return f"{{{', '.join(items)}}}"
        case _:
            raise TypeError(f"no literal for {value!r}")
