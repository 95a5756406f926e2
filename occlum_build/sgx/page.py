"""Pages: the unit in which SGX adds, measures and protects memory."""

from typing import Final

PAGE_BYTES: Final = 4096
"""Size of an EPC page."""

CHUNK_BYTES: Final = 256
"""What one EEXTEND measures."""

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB")
_STEP_BITS: Final = 10
_LONG: Final = 10_000


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
    """`count` for people: exact where that is short (`96 MiB`), else rounded up (`64.1 TiB`)."""
    unit = 0
    while count >= _LONG << _STEP_BITS * unit or (
        count and count % (1 << _STEP_BITS * (unit + 1)) == 0
    ):
        unit += 1
    tenths = -(-count * 10 >> _STEP_BITS * unit)
    whole, fraction = divmod(tenths, 10)
    return f"{whole}.{fraction} {_UNITS[unit]}" if fraction else f"{whole} {_UNITS[unit]}"
