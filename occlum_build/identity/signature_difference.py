"""In which fields two SIGSTRUCTs differ."""

from dataclasses import dataclass
from typing import Final

from occlum_build.identity.changed_bit import FIELDS
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES

_LITTLE: Final = frozenset(
    {
        "VENDOR",
        "SWDEFINED",
        "EXPONENT",
        "MISCSELECT",
        "MISCMASK",
        "CET_ATTRIBUTES",
        "CET_ATTRIBUTES_MASK",
        "ISVPRODID",
        "ISVSVN",
    }
)
_NUMBERS: Final = frozenset({"ISVPRODID", "ISVSVN", "EXPONENT"})
_LONG_BYTES: Final = 64


@dataclass(frozen=True, slots=True)
class SignatureDifference:
    """A field with another value, each in the form in which people write it."""

    field: str
    a: str
    b: str


def signature_differences(a: bytes, b: bytes) -> list[SignatureDifference]:
    """All fields that differ, in their order."""
    ends = [*(start for start, _ in FIELDS[1:]), SIGSTRUCT_BYTES]
    return [
        SignatureDifference(name, _shown(name, a[start:end]), _shown(name, b[start:end]))
        for (start, name), end in zip(FIELDS, ends, strict=True)
        if a[start:end] != b[start:end]
    ]


def _shown(name: str, value: bytes) -> str:
    if name == "DATE":
        digits = value[::-1].hex()
        return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
    if name in _NUMBERS:
        return str(int.from_bytes(value, "little"))
    if name in _LITTLE:
        return f"{int.from_bytes(value, 'little'):#x}"
    if name in {"ATTRIBUTES", "ATTRIBUTEMASK"}:
        flags, xfrm = (int.from_bytes(one, "little") for one in (value[:8], value[8:]))
        return f"{flags:#x}:{xfrm:#x}"
    if len(value) > _LONG_BYTES:
        return f"{value[:8].hex()}..."
    return value.hex()
