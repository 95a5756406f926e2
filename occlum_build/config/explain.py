"""From pydantic's errors to diagnostics that point at the text.

Pydantic knows the path of a wrong value, `strict_yaml` where that path lies in
the file. The wording is ours: pydantic's speaks of Python.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from occlum_build.config import strict_yaml
from occlum_build.config.fields import PROBLEM_TYPE
from occlum_build.config.mounts import Mount, UnionLayer
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.strict_yaml import Node, Path, place
from occlum_build.diagnostic import Diagnostic, Span, error, near

UNKNOWN_KEY: Final = "OB0210"
MISSING_KEY: Final = "OB0211"
WRONG_TYPE: Final = "OB0212"
WRONG_VALUE: Final = "OB0213"

_EXPECTED: Final = {
    "bool_type": "`true` or `false`",
    "int_type": "a whole number",
    "string_type": "a string",
    "tuple_type": "a list",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
_YAML_11_TRUE: Final = frozenset({"yes", "y", "on", "true"})
_YAML_11_FALSE: Final = frozenset({"no", "n", "off", "false"})
_MOVED: Final = {
    ("feature", "enable_edmm"): "write `memory_model: edmm` in `feature`",
    ("mount", "source"): "only `hostfs` has a `source`; others name an image with `image`",
    ("mount", "options"): "give each option as a key of its own",
}
"""Keys of Occlum.json that are said in another way here."""
_OF_KEYS: Final = frozenset({"extra_forbidden", "missing", "union_tag_not_found"})
"""Errors that are no fault of the value at which they are."""

_TEXT_SHOWN: Final = 40


def explain(
    root: Node,
    file: str,
    errors: Sequence[ErrorDetails],
    model: type[BaseModel] = OcclumConfig,
    title: str = "Occlum.yaml",
) -> Iterator[Diagnostic]:
    """One diagnostic for each error; `title` is what a file of this `model` is called.

    None for a value that is refused already: what is said of it is one mistake with that.
    """
    for one in errors:
        path = path_in_text(root, one["loc"])
        kind, context = one["type"], one.get("ctx", {})
        found = place(root, path)
        if found is not None and found.node.is_refused and kind not in _OF_KEYS:
            continue
        if kind == "extra_forbidden":
            yield _unknown_key(root, file, path, model)
        elif kind == "missing":
            yield _missing_key(root, file, path, title)
        elif kind == "union_tag_not_found":
            yield _missing_key(root, file, (*path, "type"), title)
        elif kind in _EXPECTED:
            yield _wrong_type(root, file, path, kind)
        else:
            yield _wrong_value(root, file, path, one, context)


def path_in_text(root: Node, location: Sequence[str | int]) -> Path:
    """Pydantic's location without the names of union members, which are not in the text."""
    path: Path = ()
    for position, step in enumerate(location):
        is_last = position == len(location) - 1
        if place(root, (*path, step)) is not None or is_last:
            path = (*path, step)
    return path


def span_of(root: Node, file: str, path: Path) -> Span:
    """Where `path` or the nearest thing around it lies."""
    while path:
        found = place(root, path)
        if found is not None:
            return found.span
        path = path[:-1]
    return Span(file)


def _unknown_key(root: Node, file: str, path: Path, model: type[BaseModel]) -> Diagnostic:
    *parent, name = path
    found = place(root, path)
    span = (found.key_span if found else None) or span_of(root, file, path)
    helps = []
    moved = _MOVED.get((_section(tuple(parent)), str(name)))
    similar = near(str(name), _known_keys(root, tuple(parent), model))
    if moved:
        helps.append(moved)
    elif similar:
        helps.append(f"a key `{similar}` exists")
    elif elsewhere := _sections_with(str(name), model):
        helps.append(f"a key `{name}` exists in `{elsewhere}`")
    else:
        helps.append(f"the keys here are {_quoted(_known_keys(root, tuple(parent), model))}")
    where = f" in `{_name(tuple(parent))}`" if parent else ""
    return error(
        UNKNOWN_KEY, f"unknown key `{name}`{where}", span, label="no such key", helps=helps
    )


def _missing_key(root: Node, file: str, path: Path, title: str) -> Diagnostic:
    *parent, name = path
    span = span_of(root, file, tuple(parent))
    helps = []
    if name == "type":
        helps.append("write `type: erofs` for a read-only image, or `type: tmpfs`")
    return error(
        MISSING_KEY,
        f"`{_name(tuple(parent)) if parent else title}` lacks the key `{name}`",
        span,
        helps=helps,
    )


def _wrong_type(root: Node, file: str, path: Path, kind: str) -> Diagnostic:
    found = place(root, path)
    helps = []
    value = found.node.value if found and isinstance(found.node, strict_yaml.Scalar) else None
    if kind == "bool_type" and isinstance(value, str):
        if value.lower() in _YAML_11_TRUE:
            helps.append("write `true`")
        elif value.lower() in _YAML_11_FALSE:
            helps.append("write `false`")
    elif kind == "string_type" and isinstance(value, bool | int):
        helps.append(f'quote it: `"{str(value).lower()}"`')
    elif kind == "int_type" and isinstance(value, str):
        helps += _as_decimal(value)
    elif kind == "tuple_type" and isinstance(value, str):
        helps.append(f"write `[{_shortened(value)}]`")
    label = f"this is {_described(found.node)}" if found else ""
    return error(
        WRONG_TYPE,
        f"`{_name(path)}` must be {_EXPECTED[kind]}",
        span_of(root, file, path),
        label=label,
        helps=helps,
    )


def _as_decimal(text: str) -> list[str]:
    """How to write a number that YAML 1.1, or its author, takes for one."""
    try:
        return [f"write `{int(text, 0)}`"] if len(text) <= _TEXT_SHOWN else []
    except ValueError:
        return []


def _wrong_value(
    root: Node, file: str, path: Path, one: ErrorDetails, context: Mapping[str, Any]
) -> Diagnostic:
    message, helps = one["msg"], []
    match one["type"]:
        case _ if one["type"] == PROBLEM_TYPE:
            message = context["message"]
            helps = [context["help"]] if context["help"] else []
        case "greater_than_equal":
            message = f"`{_name(path)}` must be at least {context['ge']}"
        case "less_than_equal":
            message = f"`{_name(path)}` must be at most {context['le']}"
        case "literal_error":
            message = f"`{_name(path)}` must be {_alternatives(context['expected'])}"
            helps = _similar(one["input"], context["expected"])
        case "union_tag_invalid":
            path = (*path, "type")
            message = f"there is no file system type `{_shortened(str(context['tag']))}`"
            helps = _similar(context["tag"], context["expected_tags"]) or [
                "the types that run are `erofs` and `tmpfs`"
            ]
        case _:
            message = f"`{_name(path)}`: {message[:1].lower()}{message[1:]}"
    return error(WRONG_VALUE, message, span_of(root, file, path), helps=helps)


def _similar(value: object, expected: str) -> list[str]:
    similar = near(str(value), _words(expected))
    return [f"a value `{similar}` exists"] if similar else []


def _words(expected: str) -> list[str]:
    """Pydantic's list of alternatives, `'a', 'b' or 'c'`, as words."""
    return [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]


def _alternatives(expected: str) -> str:
    words = [f"`{word}`" for word in _words(expected)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _described(node: Node) -> str:
    match node:
        case strict_yaml.Sequence():
            return "a list"
        case strict_yaml.Mapping():
            return "a mapping"
        case strict_yaml.Scalar(value=None):
            return "nothing"
        case strict_yaml.Scalar(value=bool(value)):
            return f"`{str(value).lower()}`"
        case strict_yaml.Scalar(value=int(value)):
            return f"the number {value}"
        case strict_yaml.Scalar(value=value):
            return f'the string "{_shortened(str(value))}"'


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else text[: _TEXT_SHOWN - 3] + "..."


def _section(path: Path) -> str:
    """The nearest named thing around a path: an item of `mount` is called `mount`."""
    names = [step for step in path if isinstance(step, str)]
    return names[-1] if names else "Occlum.yaml"


def _name(path: Path) -> str:
    """How a value is called in a message: its key, or `command[1]` for an item."""
    if path and isinstance(path[-1], int):
        return f"{_section(path)}[{path[-1]}]"
    return _section(path)


def _known_keys(root: Node, parent: Path, model: type[BaseModel]) -> list[str]:
    """The keys that a mapping at `parent` may have, in the order of the schema."""
    kind: Any = model
    here: Path = ()
    for step in parent:
        here = (*here, step)
        if isinstance(step, int):
            item = get_args(kind)[0]
            kind = _tagged_model(root, here, item) if item in (Mount, UnionLayer) else item
        else:
            kind = kind.model_fields[step].annotation
    return list(kind.model_fields)


def _tagged_model(root: Node, path: Path, union: Any) -> Any:
    """The model of one entry of `mount` or `layers`, chosen by what the text says is its type."""
    found = place(root, (*path, "type"))
    tag = found.node.value if found and isinstance(found.node, strict_yaml.Scalar) else None
    models = [
        model
        for model in get_args(get_args(union)[0])
        if tag in get_args(model.model_fields["type"].annotation)
    ]
    return models[0]


def _sections_with(name: str, model: type[BaseModel]) -> str | None:
    """The section of the schema that has a key `name`."""
    for section, described in model.model_fields.items():
        kind = described.annotation
        if isinstance(kind, type) and name in getattr(kind, "model_fields", {}):
            return section
    return None


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
