"""`select()`: a value that depends on the configuration.

In Starlark it is a list of one marker, so that it can be added to lists; the marker is
replaced when a target is configured. In an attribute that is no list it stands alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from occlum_build.configuration import Configuration

_MARKER: Final = "@select"
DEFAULT_CONDITIONS: Final = ("default", "//conditions:default")
SELECT_FILE: Final = "@select"
SELECT_TEXT: Final = """\
def select(choices):
    unsaid = [one for one in choices if choices[one] == None] if type(choices) == "dict" else []
    return _select(choices, unsaid)
"""
"""What a BUILD file calls: only Starlark knows which choices are `None`.

A number that JSON cannot hold becomes `None` on its way to Python.
"""


class NoMatchError(ValueError):
    """No condition of a `select()` holds, and it has no default."""

    def __init__(self, conditions: tuple[str, ...]) -> None:
        """Name the conditions that were tried."""
        super().__init__("no condition of `select()` holds")
        self.conditions = conditions


def select(choices: dict[str, Any], unsaid: Sequence[str] = ()) -> list[dict[str, Any]]:
    """What a BUILD file's `select({…})` returns; `unsaid` are the choices that are `None`."""
    if not _are_choices(choices):
        raise TypeError("`select` takes a dictionary whose keys are conditions")
    for condition, value in choices.items():
        if value is None and condition not in unsaid:
            raise TypeError(f"the choice `{condition}` of a `select` is no finite number")
    return [{_MARKER: choices}]


def resolve(value: Any, configuration: Configuration) -> Any:
    """`value` with every `select()` replaced by what holds in `configuration`.

    Raises:
        NoMatchError: for one of them nothing holds.
    """
    if isinstance(value, dict):
        return {key: resolve(member, configuration) for key, member in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) == 1 and _is_marker(value[0]):
        return resolve(_chosen(value[0][_MARKER], configuration), configuration)
    result: list[Any] = []
    for member in value:
        if _is_marker(member):
            chosen = resolve(_chosen(member[_MARKER], configuration), configuration)
            result.extend(chosen if isinstance(chosen, list) else [chosen])
        else:
            result.append(resolve(member, configuration))
    return result


def unknown_conditions(value: Any, configurations: Mapping[str, Configuration]) -> list[str]:
    """The conditions in `value` that none of these, which are all there are, ever satisfies."""
    found = dict.fromkeys(_conditions(value))
    every = configurations.values()
    return [
        one
        for one in found
        if one not in DEFAULT_CONDITIONS and not any(some.matches(one) for some in every)
    ]


def known_conditions(configurations: Mapping[str, Configuration]) -> list[str]:
    """Every condition that one of these satisfies."""
    values = {
        f"{key}={value}" for one in configurations.values() for key, value in one.values.items()
    }
    return sorted({*values, *configurations, DEFAULT_CONDITIONS[0]})


def _conditions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if _is_marker(value):
            yield from value[_MARKER]
        for member in value.values():
            yield from _conditions(member)
    elif isinstance(value, list):
        for member in value:
            yield from _conditions(member)


def _is_marker(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {_MARKER} and _are_choices(value[_MARKER])


def _are_choices(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(one, str) for one in value)


def _chosen(choices: dict[str, Any], configuration: Configuration) -> Any:
    """The most special condition that holds: `key=value` before a name before the default."""
    holding = [
        one for one in choices if one not in DEFAULT_CONDITIONS and configuration.matches(one)
    ]
    holding.sort(key=lambda one: "=" not in one)
    holding += [one for one in DEFAULT_CONDITIONS if one in choices]
    if not holding:
        raise NoMatchError(tuple(choices))
    return choices[holding[0]]
