"""Attributes: what a BUILD file may say about a target, and which labels that names."""

import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from occlum_build.diagnostic import Diagnostic
from occlum_build.label import BadLabelError, Label
from occlum_build.provider import Provider

Check = Callable[[str, str], tuple[object | None, list[Diagnostic]]]
VISIBILITIES: Final = ("//visibility:public", "//visibility:private")
_GRANTED: Final = ("__pkg__", "__subpackages__")
_Kind = TypeVar("_Kind")


def check_visibility(grants: Iterable[str]) -> None:
    """Refuse a grant that means nothing: a typo would grant something else, or nothing.

    Raises:
        ValueError: one of `grants` is none.
    """
    for one in grants:
        package, _, name = one.rpartition(":")
        if one in VISIBILITIES or (name in _GRANTED and _is_package(package)):
            continue
        raise ValueError(
            f"`{one}` grants nothing; there are `//visibility:public`,"
            " `//visibility:private`, `//package:__pkg__` and `//package:__subpackages__`"
        )


def _is_package(text: str) -> bool:
    try:
        Label.parse(f"{text}:x", package="", repository="")
    except BadLabelError:
        return False
    return not text or text.startswith(("//", "@"))


class Attrs(BaseModel):
    """Base of a rule's attributes: strict, frozen, nothing extra.

    Each field has a description (`Field(description=…)`); sequences are tuples. A
    label is `Annotated[Label, Source(…)]` for files or `Annotated[Label, Dep(…)]` for
    targets with providers. The four common attributes below exist for every rule.
    """

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        validate_default=True,  # a default label gets its canonical spelling
    )

    name: str = Field(description="The target's name, unique in its package.", min_length=1)
    visibility: tuple[str, ...] | None = Field(
        default=None,
        description="Who may depend on the target: `//visibility:public`, `//visibility:private`,"
        " `//package:__pkg__` or `//package:__subpackages__`. Default: the package's default.",
    )
    tags: tuple[str, ...] = Field(
        default=(),
        description="Words for `test --tag` and queries; `manual` keeps it out of `...`.",
    )
    testonly: bool = Field(
        default=False,
        description="Whether only tests and other testonly targets may depend on it.",
    )

    @field_validator("visibility")
    @classmethod
    def _visibility_means_something(cls, grants: tuple[str, ...] | None) -> tuple[str, ...] | None:
        check_visibility(grants or ())
        return grants


@dataclass(frozen=True, slots=True)
class Source:
    """Marks a label of files: a source file, or a target whose files are taken.

    Every file must end in one of the suffixes, if any is given.
    """

    suffixes: tuple[str, ...]

    def __init__(self, *suffixes: str) -> None:
        """Allow files that end in one of `suffixes`; any file if there is none."""
        object.__setattr__(self, "suffixes", suffixes)


@dataclass(frozen=True, slots=True)
class Dep:
    """Marks a label of a target that must have all of these providers."""

    providers: tuple[type[Provider], ...]

    def __init__(self, *providers: type[Provider]) -> None:
        """Demand every one of `providers`."""
        object.__setattr__(self, "providers", providers)


@dataclass(frozen=True, slots=True)
class Validated:
    """Marks a label of a source file that is checked while it is loaded.

    The check takes the file's text and name, and returns a model (None if there is
    none) and what is wrong. It is a function, or `"module:function"` of a module that
    ships with the tool. `RuleContext.validated` gives the model to the rule.
    """

    check: Check | str


Marker = Source | Dep | Validated


@dataclass(frozen=True, slots=True)
class LabelUse:
    """One label that a target names: where in its attributes, and as what."""

    label: Label
    location: tuple[str | int, ...]
    markers: tuple[Marker, ...]

    @property
    def attribute(self) -> str:
        """The attribute that holds it."""
        return str(self.location[0])

    def marked(self, kind: type[_Kind]) -> _Kind | None:
        """The marker of this kind, if there is one."""
        return next((one for one in self.markers if isinstance(one, kind)), None)


def label_uses(attrs: Attrs) -> tuple[LabelUse, ...]:
    """Every label in `attrs`, in the order of its fields."""
    return tuple(_uses_in_model(attrs, ()))


def _uses_in_model(model: BaseModel, location: tuple[str | int, ...]) -> Iterator[LabelUse]:
    for name, field in type(model).model_fields.items():
        markers = tuple(one for one in field.metadata if isinstance(one, Marker))
        yield from _uses(getattr(model, name), field.annotation, markers, (*location, name))


def _uses(
    value: object, annotation: Any, markers: tuple[Marker, ...], location: tuple[str | int, ...]
) -> Iterator[LabelUse]:
    """Walk a value and its annotation together: the annotation holds the markers."""
    if typing.get_origin(annotation) is Annotated:
        inner, *metadata = typing.get_args(annotation)
        markers = (*markers, *(one for one in metadata if isinstance(one, Marker)))
        yield from _uses(value, inner, markers, location)
    elif isinstance(value, Label):
        yield LabelUse(value, location, _markers_of_label(annotation, markers))
    elif isinstance(value, BaseModel):
        yield from _uses_in_model(value, location)
    elif isinstance(value, tuple | list | frozenset):
        members = sorted(value) if isinstance(value, frozenset) else value
        for index, (member, inner) in enumerate(
            zip(members, _members(value, annotation), strict=True)
        ):
            yield from _uses(member, inner, markers, (*location, index))
    elif isinstance(value, Mapping):
        key_type, value_type = _item_types(annotation)
        for key, member in value.items():
            yield from _uses(key, key_type, markers, (*location, str(key)))
            yield from _uses(member, value_type, markers, (*location, str(key)))


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; the annotation itself if it is none."""
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return typing.get_args(annotation)
    return (annotation,)


def _markers_of_label(annotation: Any, markers: tuple[Marker, ...]) -> tuple[Marker, ...]:
    for alternative in _alternatives(annotation):
        if typing.get_origin(alternative) is Annotated:
            found = tuple(one for one in typing.get_args(alternative) if isinstance(one, Marker))
            markers = (*markers, *found)
    return markers


def _members(value: Sequence[object] | frozenset[object], annotation: Any) -> list[Any]:
    """The annotation of each member of a sequence."""
    for alternative in _alternatives(annotation):
        arguments = typing.get_args(alternative)
        if typing.get_origin(alternative) in {tuple, list, frozenset} and arguments:
            if len(arguments) == len(value) and Ellipsis not in arguments:
                return list(arguments)
            return [arguments[0]] * len(value)
    return [None] * len(value)


def _item_types(annotation: Any) -> tuple[Any, Any]:
    """The annotations of a mapping's keys and values."""
    for alternative in _alternatives(annotation):
        arguments = typing.get_args(alternative)
        if len(arguments) == len(("key", "value")) and typing.get_origin(alternative) is not tuple:
            return arguments[0], arguments[1]
    return None, None
