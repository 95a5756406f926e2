"""The names of the fields in pages whose layout is known."""

from dataclasses import fields
from typing import Final

from occlum_build.sgx.boot import BootInfo, ThreadInfo

_WORD_BYTES: Final = 8
_BOOT_FIELDS_AT: Final = 16
_TCS_END: Final = 88

TCS_FIELDS: Final = (
    (0, "STATE"),
    (8, "FLAGS"),
    (16, "OSSA"),
    (24, "CSSA"),
    (28, "NSSA"),
    (32, "OENTRY"),
    (40, "AEP"),
    (48, "OFSBASE"),
    (56, "OGSBASE"),
    (64, "FSLIMIT"),
    (68, "GSLIMIT"),
    (72, "OCETSSA"),
    (80, "PREVSSP"),
)
"""Intel SDM vol. 3D, table "Layout of TCS"."""

_BOOT: Final = (
    (0, "magic"),
    (8, "version"),
    *(
        (_BOOT_FIELDS_AT + index * _WORD_BYTES, one.name)
        for index, one in enumerate(fields(BootInfo))
    ),
)
_THREAD: Final = tuple(
    (index * _WORD_BYTES, one.name) for index, one in enumerate(fields(ThreadInfo))
)


def field_in(region: str, offset: int, *, is_ours: bool) -> str:
    """The field at an offset in the first page of a region; "" where none is known.

    `is_ours` says whether this project laid the enclave out.
    """
    table, end = _table(region, is_ours=is_ours)
    if not 0 <= offset < end:
        return ""
    return next(name for start, name in reversed(table) if start <= offset)


def changed_fields(
    region: str, a: bytes, b: bytes, *, is_ours: bool
) -> list[tuple[str, int, int]]:
    """The fields of a page whose layout is known that have other values, each a number.

    Empty if the layout is not known, or if something outside of all fields differs too.
    """
    table, end = _table(region, is_ours=is_ours)
    if not table or a[end:] != b[end:]:
        return []
    ends = [*(start for start, _ in table[1:]), end]
    values = (
        (name, int.from_bytes(a[start:stop], "little"), int.from_bytes(b[start:stop], "little"))
        for (start, name), stop in zip(table, ends, strict=True)
    )
    return [(name, x, y) for name, x, y in values if x != y]


def _table(region: str, *, is_ours: bool) -> tuple[tuple[tuple[int, str], ...], int]:
    """The fields of the first page of a region, and where the last one ends."""
    if region.endswith(" TCS"):
        return TCS_FIELDS, _TCS_END
    if is_ours and region == "boot information":
        return _BOOT, _BOOT[-1][0] + _WORD_BYTES
    if is_ours and region.endswith(" TLS"):
        return _THREAD, len(_THREAD) * _WORD_BYTES
    return (), 0
