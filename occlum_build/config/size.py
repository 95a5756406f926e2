"""Sizes as people write them: `64MB`, `4KiB`.

A unit is a power of 1024 whether it is spelled `MB`, as Occlum always has, or
`MiB`. There are no fractions: a size is a whole number of something.
"""

import re
from fractions import Fraction
from typing import Final

_STEP: Final = 1024
_PREFIXES: Final = ("", "K", "M", "G", "T")
_FACTORS: Final[dict[str, int]] = {
    f"{prefix}{suffix}": 1 << 10 * power
    for power, prefix in enumerate(_PREFIXES)
    for suffix in (("B", "iB") if prefix else ("B",))
}
UNITS: Final = "B, KB, MB, GB, TB"
PATTERN: Final = "^(0|[1-9][0-9]*)(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$"
_EXACT: Final = re.compile(PATTERN.replace("^", "").replace("$", ""))
_LOOSE: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{0,3})\s*")

MAX_BYTES: Final = 1 << 56
"""Beyond every address that a processor has."""


class BadSizeError(ValueError):
    """A text that is no size. `help_text` is how to write what was probably meant."""

    def __init__(self, message: str, help_text: str = "") -> None:
        """Both in the wording of a diagnostic."""
        super().__init__(message)
        self.help_text = help_text


def parse_size(text: str) -> int:
    """Bytes; raises `BadSizeError` for anything but digits and a unit."""
    match = _EXACT.fullmatch(text)
    if match is None or len(match[1]) > len(str(MAX_BYTES)):
        raise _explained(text)
    size = int(match[1]) * _FACTORS[match[2]]
    if size > MAX_BYTES:
        raise BadSizeError(f"size `{text}` is beyond {print_size(MAX_BYTES)}")
    return size


def print_size(size_bytes: int) -> str:
    """The shortest way to write a size that `parse_size` reads as the same number."""
    power = 0
    while size_bytes and size_bytes % _STEP == 0 and power + 1 < len(_PREFIXES):
        size_bytes //= _STEP
        power += 1
    return f"{size_bytes}{_PREFIXES[power]}B"


def _explained(text: str) -> BadSizeError:
    match = _LOOSE.fullmatch(text)
    if match is None:
        return BadSizeError(f"`{text}` is not a size", "a size is digits and a unit, as in `64MB`")
    number, unit = match[1], match[2]
    if not unit:
        return BadSizeError(f"size `{text}` has no unit", f"the units are {UNITS}")
    wanted = unit.upper().removesuffix("B").removesuffix("I") + "B"
    if wanted not in _FACTORS:
        return BadSizeError(
            f"size `{text}` has an unknown unit `{unit}`", f"the units are {UNITS}"
        )
    exact = Fraction(number) * _FACTORS[wanted]
    if exact.denominator != 1:
        return BadSizeError(f"size `{text}` is not a whole number of bytes")
    message = f"`{text}` is not written as a size"
    return BadSizeError(message, f"write `{print_size(int(exact))}`")
