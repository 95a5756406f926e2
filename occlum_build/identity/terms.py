"""What a SIGSTRUCT lets a host choose, in words: which bits must be set, clear, or are open."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

FLAG_NAMES: Final = {
    0: "INIT",
    1: "DEBUG",
    2: "MODE64BIT",
    4: "PROVISIONKEY",
    5: "EINITTOKEN_KEY",
    6: "CET",
    7: "KSS",
    10: "AEXNOTIFY",
}
"""Intel SDM vol. 3D, table "Layout of ATTRIBUTES Structure"."""

XFRM_NAMES: Final = {
    0: "x87",
    1: "SSE",
    2: "AVX",
    3: "MPX",
    4: "MPX",
    5: "AVX-512",
    6: "AVX-512",
    7: "AVX-512",
    9: "PKRU",
    11: "CET",
    12: "CET",
    17: "AMX",
    18: "AMX",
}
"""State components of XCR0 and IA32_XSS (Intel SDM vol. 1, chapter 13)."""

MISC_NAMES: Final = {0: "EXINFO", 1: "CPINFO"}
"""Intel SDM vol. 3D, table "Layout of MISCSELECT"."""

CET_NAMES: Final = {
    0: "SH_STK_EN",
    1: "WR_SHSTK_EN",
    2: "ENDBR_EN",
    3: "LEG_IW_EN",
    4: "NO_TRACK_EN",
    5: "SUPPRESS_DIS",
}
"""Intel SDM vol. 3D, table "Layout of CET_ATTRIBUTES"."""


@dataclass(frozen=True, slots=True)
class Terms:
    """One field and its mask: EINIT compares the bits that the mask has, and no others.

    Bits without a name of their own are numbers, ranges of them as `bits 48-55`.
    """

    must_be_set: tuple[str, ...]
    must_be_clear: tuple[str, ...]
    is_open: tuple[str, ...]
    """The host chooses."""
    ignored: tuple[str, ...]
    """Set in the value, but the mask does not ask for them."""

    def lines(self) -> list[str]:
        """The same for people."""
        pairs = (
            ("must be set", self.must_be_set),
            ("must be clear", self.must_be_clear),
            ("left to the host", self.is_open),
            ("set, but left to the host", self.ignored),
        )
        return [f"{label}: {', '.join(names)}" for label, names in pairs if names]

    def as_json(self) -> dict[str, list[str]]:
        """The same for programs."""
        return {
            "must_be_set": list(self.must_be_set),
            "must_be_clear": list(self.must_be_clear),
            "left_to_host": list(self.is_open),
            "set_but_left_to_host": list(self.ignored),
        }


def terms(value: int, mask: int, names: Mapping[int, str], width: int) -> Terms:
    """What a value of `width` bits and its mask ask for."""
    every = (1 << width) - 1
    return Terms(
        bit_names(value & mask, names, width),
        bit_names(~value & mask & every, names, width),
        bit_names(~mask & every, names, width),
        bit_names(value & ~mask & every, names, width),
    )


def bit_names(value: int, names: Mapping[int, str], width: int) -> tuple[str, ...]:
    """The names of the bits that are set, each once; bits without a name as ranges."""
    found = [bit for bit in range(width) if value >> bit & 1]
    named = dict.fromkeys(names[bit] for bit in found if bit in names)
    ranges: list[tuple[int, int]] = []
    for bit in found:
        if bit in names:
            continue
        if ranges and ranges[-1][1] == bit - 1:
            ranges[-1] = ranges[-1][0], bit
        else:
            ranges.append((bit, bit))
    count = sum(last - first + 1 for first, last in ranges)
    if count == width - len(names):
        return (*named, "all others")
    return (*named, *(f"bit {a}" if a == b else f"bits {a}-{b}" for a, b in ranges))
