"""SECS: the page that is an enclave's identity while it runs."""

import struct
from dataclasses import dataclass
from typing import Final, Self

from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.sgx.attributes import ATTRIBUTES_BYTES, Attributes
from occlum_build.sgx.page import PAGE_BYTES

# SIZE BASEADDR SSAFRAMESIZE MISCSELECT CET_LEG_BITMAP_OFFSET CET_ATTRIBUTES reserved
# ATTRIBUTES MRENCLAVE reserved MRSIGNER reserved CONFIGID ISVPRODID ISVSVN CONFIGSVN reserved
_FORMAT: Final = struct.Struct("<QQIIQB15s16s32s32s32s32s64sHHH3834s")
if _FORMAT.size != PAGE_BYTES:
    raise AssertionError(_FORMAT.size)


@dataclass(frozen=True, slots=True)
class Secs:
    """SGX Enclave Control Structure (Intel SDM vol. 3D, table "Layout of SECS").

    Of all this, ECREATE measures SIZE and SSAFRAMESIZE alone; the rest is bound
    by SIGSTRUCT or chosen by the host.
    """

    size_bytes: int
    base_address: int
    ssa_frame_pages: int
    misc_select: int
    attributes: Attributes
    mrenclave: bytes = bytes(32)
    mrsigner: bytes = bytes(32)
    config_id: bytes = bytes(64)
    isv_prod_id: int = 0
    isv_svn: int = 0
    config_svn: int = 0
    cet_bitmap_offset: int = 0
    cet_attributes: int = 0

    def pack(self) -> bytes:
        """The page."""
        return _FORMAT.pack(
            self.size_bytes,
            self.base_address,
            self.ssa_frame_pages,
            self.misc_select,
            self.cet_bitmap_offset,
            self.cet_attributes,
            bytes(15),
            self.attributes.pack(),
            self.mrenclave,
            bytes(32),
            self.mrsigner,
            bytes(32),
            self.config_id,
            self.isv_prod_id,
            self.isv_svn,
            self.config_svn,
            bytes(3834),
        )

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a page; reserved bytes that are not zero are refused."""
        if len(data) != PAGE_BYTES:
            raise DiagnosticError(
                error("OB0502", f"a SECS has {PAGE_BYTES} bytes, these are {len(data)}")
            )
        fields = _FORMAT.unpack(data)
        if any(any(fields[index]) for index in (6, 9, 11, 16)):
            raise DiagnosticError(error("OB0502", "reserved bytes of the SECS are not zero"))
        return cls(
            size_bytes=fields[0],
            base_address=fields[1],
            ssa_frame_pages=fields[2],
            misc_select=fields[3],
            cet_bitmap_offset=fields[4],
            cet_attributes=fields[5],
            attributes=Attributes.parse(fields[7][:ATTRIBUTES_BYTES]),
            mrenclave=fields[8],
            mrsigner=fields[10],
            config_id=fields[12],
            isv_prod_id=fields[13],
            isv_svn=fields[14],
            config_svn=fields[15],
        )
