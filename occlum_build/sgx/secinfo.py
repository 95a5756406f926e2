"""SECINFO: what kind of page is added, and what may be done with it."""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, Self

from occlum_build.diagnostic import DiagnosticError, error

SECINFO_BYTES: Final = 64
_FORMAT: Final = struct.Struct("<Q56s")
_PERMISSION_BITS: Final = 0x7
_TYPE_SHIFT: Final = 8
_TYPE_BITS: Final = 0xFF << _TYPE_SHIFT


class PageType(IntEnum):
    """The kind of an EPC page (Intel SDM vol. 3D, table "EPC Page Types")."""

    SECS = 0
    TCS = 1
    REG = 2
    VA = 3
    TRIM = 4
    SS_FIRST = 5
    SS_REST = 6


class Permission(IntFlag):
    """What the enclave may do with a page; the operating system can only take away."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4

    def letters(self) -> str:
        """`rwx` with a dash for what is not allowed."""
        pairs = zip("rwx", (self.READ, self.WRITE, self.EXECUTE), strict=True)
        return "".join(letter if bit in self else "-" for letter, bit in pairs)


@dataclass(frozen=True, slots=True)
class SecInfo:
    """Type and permissions of one page, as EADD takes and measures them.

    Layout: Intel SDM vol. 3D, tables "Layout of SECINFO Data Structure" and
    "Layout of SECINFO.FLAGS Structure". The bits PENDING, MODIFIED and PR have
    no meaning for EADD, so a value that sets them cannot be made.
    """

    page_type: PageType
    permissions: Permission

    @property
    def flags(self) -> int:
        """SECINFO.FLAGS."""
        return int(self.permissions) | self.page_type << _TYPE_SHIFT

    def pack(self) -> bytes:
        """The 64 bytes of SECINFO."""
        return _FORMAT.pack(self.flags, bytes(56))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read 64 bytes; reserved bytes that are not zero are refused."""
        if len(data) != SECINFO_BYTES:
            raise DiagnosticError(
                error("OB0501", f"SECINFO has {SECINFO_BYTES} bytes, these are {len(data)}")
            )
        flags, reserved = _FORMAT.unpack(data)
        if any(reserved):
            raise DiagnosticError(error("OB0501", "reserved bytes of SECINFO are not zero"))
        return cls.from_flags(flags)

    @classmethod
    def from_flags(cls, flags: int) -> Self:
        """Read SECINFO.FLAGS; what EADD would refuse is refused."""
        if flags & ~(_PERMISSION_BITS | _TYPE_BITS):
            raise DiagnosticError(
                error("OB0501", f"SECINFO.FLAGS {flags:#x} sets bits that EADD does not take")
            )
        number = (flags & _TYPE_BITS) >> _TYPE_SHIFT
        permissions = Permission(flags & _PERMISSION_BITS)
        if number not in (PageType.TCS, PageType.REG):
            raise DiagnosticError(
                error("OB0501", f"SECINFO.FLAGS {flags:#x}: EADD takes TCS and REG pages only")
            )
        if number == PageType.TCS and permissions:
            raise DiagnosticError(
                error("OB0501", f"SECINFO.FLAGS {flags:#x}: a TCS page has no permissions")
            )
        if Permission.WRITE in permissions and Permission.READ not in permissions:
            raise DiagnosticError(
                error("OB0501", f"SECINFO.FLAGS {flags:#x}: writable but not readable")
            )
        return cls(PageType(number), permissions)


TCS: Final = SecInfo(PageType.TCS, Permission.NONE)
READ_ONLY: Final = SecInfo(PageType.REG, Permission.READ)
READ_WRITE: Final = SecInfo(PageType.REG, Permission.READ | Permission.WRITE)
READ_EXECUTE: Final = SecInfo(PageType.REG, Permission.READ | Permission.EXECUTE)
READ_WRITE_EXECUTE: Final = SecInfo(
    PageType.REG, Permission.READ | Permission.WRITE | Permission.EXECUTE
)
