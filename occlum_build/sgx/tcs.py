"""TCS: the page through which one thread enters the enclave."""

import struct
from dataclasses import dataclass
from typing import Final, Self

from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.sgx.page import PAGE_BYTES

# STATE FLAGS OSSA CSSA NSSA OENTRY AEP OFSBASE OGSBASE OFSLIMIT OGSLIMIT, rest reserved
_FORMAT: Final = struct.Struct("<QQQIIQQQQII4024s")
if _FORMAT.size != PAGE_BYTES:
    raise AssertionError(_FORMAT.size)

WHOLE_PAGE_LIMIT: Final = 0xFFF
"""OFSLIMIT and OGSLIMIT of a segment of one page."""


@dataclass(frozen=True, slots=True)
class Tcs:
    """Thread Control Structure (Intel SDM vol. 3D, table "Layout of TCS").

    Every offset counts from the enclave's base. STATE, CSSA and AEP belong to
    the processor, and EADD clears FLAGS.DBGOPTIN before EEXTEND measures the
    page: they are zero here and cannot be set.
    """

    ssa_offset: int
    ssa_frames: int
    entry_offset: int
    fs_base_offset: int
    gs_base_offset: int
    fs_limit: int = WHOLE_PAGE_LIMIT
    gs_limit: int = WHOLE_PAGE_LIMIT
    flags: int = 0

    def pack(self) -> bytes:
        """The page as EADD takes it."""
        return _FORMAT.pack(
            0,
            self.flags,
            self.ssa_offset,
            0,
            self.ssa_frames,
            self.entry_offset,
            0,
            self.fs_base_offset,
            self.gs_base_offset,
            self.fs_limit,
            self.gs_limit,
            bytes(4024),
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a page; what the processor or the manual reserves must be zero."""
        if len(data) != PAGE_BYTES:
            raise DiagnosticError(
                error("OB0503", f"a TCS has {PAGE_BYTES} bytes, these are {len(data)}")
            )
        state, flags, ossa, cssa, nssa, entry, aep, fs, gs, fs_limit, gs_limit, rest = (
            _FORMAT.unpack(data)
        )
        if state or cssa or aep or flags & 1 or any(rest):
            raise DiagnosticError(
                error("OB0503", "STATE, CSSA, AEP, DBGOPTIN and reserved bytes of a TCS must be 0")
            )
        return cls(ossa, nssa, entry, fs, gs, fs_limit, gs_limit, flags)
