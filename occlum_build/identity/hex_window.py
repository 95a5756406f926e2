"""Bytes of two files side by side."""

from typing import Final

ROW_BYTES: Final = 8
_GAP: Final = "..."


def hex_rows(offset: int, a: bytes, b: bytes, most_rows: int) -> list[str]:
    """Rows of eight bytes, as `0x1000  61 62 63 ..  abc.....  |  ...`; cut after `most_rows`."""
    length = max(len(a), len(b))
    digits = len(f"{offset + length:#x}")
    rows = [
        f"{offset + at:#0{digits}x}  {_side(a[at : at + ROW_BYTES])}  |  "
        f"{_side(b[at : at + ROW_BYTES])}".rstrip()
        for at in range(0, length, ROW_BYTES)
    ]
    if len(rows) <= most_rows:
        return rows
    return [*rows[:most_rows], f"{_GAP} {length - most_rows * ROW_BYTES} bytes more"]


def _side(part: bytes) -> str:
    shown = "".join(chr(one) if 0x20 <= one < 0x7F else "." for one in part)  # noqa: PLR2004 (ASCII)
    return f"{part.hex(' '):<{3 * ROW_BYTES - 1}}  {shown:<{ROW_BYTES}}"
