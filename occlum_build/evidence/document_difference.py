"""In which fields two JSON documents differ: each with its path, as `memory.user_space_size`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

ABSENT: Final = object()
"""Stands for a value where there is none; `None` is JSON's null."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A field with another value; either may be `ABSENT`."""

    path: str
    a: Any
    b: Any


def field_differences(a: Any, b: Any, path: str = "") -> Iterator[FieldDifference]:
    """All fields that differ, in the order of their paths; equal parts are passed over."""
    if type(a) is type(b) and a == b:
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted({*a, *b}):
            inner = f"{path}.{key}" if path else str(key)
            yield from field_differences(a.get(key, ABSENT), b.get(key, ABSENT), inner)
    elif isinstance(a, list) and isinstance(b, list):
        for index in range(max(len(a), len(b))):
            one = a[index] if index < len(a) else ABSENT
            other = b[index] if index < len(b) else ABSENT
            yield from field_differences(one, other, f"{path}[{index}]")
    else:
        yield FieldDifference(path, a, b)
