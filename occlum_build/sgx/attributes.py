"""ATTRIBUTES, XFRM and MISCSELECT: what the processor lets an enclave be and use."""

import struct
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Self

ATTRIBUTES_BYTES: Final = 16
_FORMAT: Final = struct.Struct("<QQ")
_ALL_64: Final = (1 << 64) - 1
ALL_MISC: Final = (1 << 32) - 1


class AttributeFlags(IntFlag):
    """Low half of ATTRIBUTES (Intel SDM vol. 3D, table "Layout of ATTRIBUTES Structure")."""

    INIT = 1 << 0
    DEBUG = 1 << 1
    MODE64BIT = 1 << 2
    PROVISIONKEY = 1 << 4
    EINITTOKEN_KEY = 1 << 5
    CET = 1 << 6
    KSS = 1 << 7
    AEXNOTIFY = 1 << 10


class Xfrm(IntFlag):
    """High half of ATTRIBUTES: processor state that the enclave may have, as in XCR0."""

    X87 = 1 << 0
    SSE = 1 << 1
    AVX = 1 << 2
    MPX = 3 << 3
    AVX512 = 7 << 5
    PKRU = 1 << 9
    CET = 3 << 11
    AMX = 3 << 17


class MiscSelect(IntFlag):
    """Extra state saved on an exit (Intel SDM vol. 3D, table "Layout of MISCSELECT")."""

    EXINFO = 1 << 0
    CPINFO = 1 << 1


@dataclass(frozen=True, slots=True)
class Attributes:
    """The 16 bytes of ATTRIBUTES, or of a mask over them.

    Bits that this module has no name for are kept: a mask is mostly such bits.
    """

    flags: int
    xfrm: int

    def pack(self) -> bytes:
        """Little endian, flags first."""
        return _FORMAT.pack(self.flags, self.xfrm)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read 16 bytes; every value is possible."""
        return cls(*_FORMAT.unpack(data))


@dataclass(frozen=True, slots=True)
class LaunchTerms:
    """What a SIGSTRUCT lets EINIT accept: values, and which of their bits must agree."""

    attributes: Attributes
    attribute_mask: Attributes
    misc_select: int
    misc_mask: int


def launch_terms(*, debuggable: bool, enable_kss: bool) -> LaunchTerms:
    """The terms on which an enclave of this project starts.

    AVX and AVX-512 are left to the host: their state is saved either way and
    programs look before they use it. Everything else must agree bit for bit, so
    state that an SSA frame of one page cannot hold (AMX) is never enabled. The
    DEBUG bit is left open only for a debuggable enclave; a release enclave that
    is started with DEBUG is refused by EINIT.
    """
    flags = AttributeFlags.MODE64BIT
    open_flags = AttributeFlags(0)
    if debuggable:
        flags |= AttributeFlags.DEBUG
        open_flags |= AttributeFlags.DEBUG
    if enable_kss:
        flags |= AttributeFlags.KSS
    # XOR, as `~` of an IntFlag clears the bits that have no name.
    return LaunchTerms(
        attributes=Attributes(int(flags), int(Xfrm.X87 | Xfrm.SSE)),
        attribute_mask=Attributes(_ALL_64 ^ open_flags, _ALL_64 ^ (Xfrm.AVX | Xfrm.AVX512)),
        misc_select=int(MiscSelect.EXINFO),
        misc_mask=ALL_MISC,
    )


def flag_names(flags: int) -> list[str]:
    """The names of the set bits, unnamed ones as `bit 48`; for people to read."""
    known = {flag.value: flag.name or "" for flag in AttributeFlags}
    bits = [1 << bit for bit in range(64) if flags >> bit & 1]
    return [known.get(bit, f"bit {bit.bit_length() - 1}") for bit in bits]
