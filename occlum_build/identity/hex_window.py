"""Bytes of two files side by side."""

from typing import Final

ROW_BYTES: Final = 8


def hex_rows(offset: int, a: bytes, b: bytes) -> list[str]:
    """Rows of eight bytes, as `0x1000  61 62 63 ..  abc.....  |  ...`."""
    length = max(len(a), len(b))
    digits = len(f"{offset + length:#x}")
    return [
        f"{offset + at:#0{digits}x}  {_side(a[at : at + ROW_BYTES])}  |  "
        f"{_side(b[at : at + ROW_BYTES])}".rstrip()
        for at in range(0, length, ROW_BYTES)
    ]


def _side(part: bytes) -> str:
    shown = "".join(chr(one) if 0x20 <= one < 0x7F else "." for one in part)  # noqa: PLR2004 (ASCII)
    return f"{part.hex(' '):<{3 * ROW_BYTES - 1}}  {shown:<{ROW_BYTES}}"
