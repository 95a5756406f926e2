"""Pages: the unit in which SGX adds, measures and protects memory."""

from typing import Final

PAGE_BYTES: Final = 4096
"""Size of an EPC page."""

CHUNK_BYTES: Final = 256
"""What one EEXTEND measures."""

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_STEP: Final = 1024


def align_up(value: int, alignment: int) -> int:
    """The smallest multiple of `alignment` that is not below `value`."""
    return -(-value // alignment) * alignment


def align_down(value: int, alignment: int) -> int:
    """The largest multiple of `alignment` that is not above `value`."""
    return value // alignment * alignment


def next_power_of_two(value: int) -> int:
    """The smallest power of two that is not below `value`."""
    return 1 << max(0, value - 1).bit_length()


def describe_bytes(count: int) -> str:
    """`count` in the largest unit that leaves a whole number: `96 MiB`, `4097 B`."""
    unit = 0
    while count and count % _STEP == 0 and unit + 1 < len(_UNITS):
        count //= _STEP
        unit += 1
    return f"{count} {_UNITS[unit]}"
