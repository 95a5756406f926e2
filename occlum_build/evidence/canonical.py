"""Canonical JSON: one text for one value, by RFC 8785 (JCS).

Our documents hold no fractions, and without those the standard library's encoder does all
of RFC 8785 but the order of keys, which is by UTF-16 code units. A float is refused.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

_MAX_INTEGER: Final = (1 << 53) - 1  # RFC 8785 and RFC 7493 (I-JSON), section 2.2


def canonical(value: object) -> bytes:
    """The bytes of RFC 8785 for a value.

    Raises:
        ValueError: it has a float, a lone surrogate or a number beyond 2⁵³, or is no JSON.
    """
    text = json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def is_canonical(text: bytes, value: object) -> bool:
    """Whether `text`, which was parsed into `value`, is the one canonical text for it."""
    try:
        return canonical(value) == text
    except (ValueError, RecursionError):
        return False


def _ordered(value: object) -> Any:
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) <= _MAX_INTEGER:
            return value
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise ValueError("a key is no string")
            keys = sorted(value, key=_utf_16)
            return {key: _ordered(value[key]) for key in keys}
        case list() | tuple():
            return [_ordered(one) for one in value]
        case _:
            pass
    raise ValueError(f"{value!r} has no canonical JSON")


def _utf_16(key: str) -> bytes:
    return key.encode("utf-16-be")
