"""Reader of SGXS files: the pages of an enclave, from bytes that nobody vouches for.

The file is the measured stream itself (Fortanix, "SGXS: SGX stream format"), so
its SHA-256 is the MRENCLAVE. Only canonical streams are read: one ECREATE first,
pages in ascending order, the chunks of a page in order and all or none of them.
A page that is measured in part could not be loaded by Linux; data that escapes
the measurement (`UNMEASRD`) has no place in an enclave that anyone can rebuild.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NoReturn

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.sgx.page import CHUNK_BYTES, PAGE_BYTES
from occlum_build.sgx.secinfo import PageType, SecInfo
from occlum_build.sgx.stream import (
    CHUNKS_PER_PAGE,
    EADD_TAG,
    ECREATE_TAG,
    EEXTEND_TAG,
    MEASURED_PAGE_BYTES,
    RECORD_BYTES,
)
from occlum_build.sgx.tcs import Tcs

_ECREATE: Final = struct.Struct("<8sIQ44s")
_EADD: Final = struct.Struct("<8sQQ40s")
_CHUNK_RECORDS: Final = struct.Struct(f"<{f'8sQ48s{CHUNK_BYTES}s' * CHUNKS_PER_PAGE}")
_UNSIZED_TAG: Final = b"UNSIZED\0"
_UNMEASURED_TAG: Final = b"UNMEASRD"
_MIN_ENCLAVE_BYTES: Final = 2 * PAGE_BYTES
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SgxsPage:
    """One added page. `data` is None where its content is not measured."""

    offset: int
    secinfo: SecInfo
    data: bytes | None


class SgxsReader:
    """Reads a stream once, checks all of it, and measures it on the way.

    `mrenclave` has a meaning only after `pages` has come to its end.
    """

    def __init__(self, stream: BinaryIO, file: str) -> None:
        """Read the ECREATE record; raises `DiagnosticError` if there is none."""
        self._stream = stream
        self._file = file
        self._position = 0
        self._hash = hashlib.sha256()
        self._secinfos: dict[int, SecInfo] = {}
        self.ssa_frame_pages, self.size_bytes = self._create()

    @property
    def mrenclave(self) -> bytes:
        """SHA-256 over what has been read so far."""
        return self._hash.digest()

    def measure_only(self) -> bytes:
        """The MRENCLAVE, without a look at what follows ECREATE.

        For a file that this build made; one from elsewhere is read by `pages`.
        """
        while block := self._stream.read(_BLOCK_BYTES):
            self._hash.update(block)
        return self.mrenclave

    def pages(self) -> Iterator[SgxsPage]:
        """All pages in their order; raises `DiagnosticError` at the first fault."""
        least = 0
        record = self._read(RECORD_BYTES)
        while record:
            offset, secinfo = self._page(record, least)
            least = offset + PAGE_BYTES
            record = self._read(RECORD_BYTES)
            data = None
            if record[:8] == EEXTEND_TAG:
                data = self._content(record, offset)
                record = self._read(RECORD_BYTES)
            if secinfo.page_type is PageType.TCS:
                self._check_tcs(offset, data)
            yield SgxsPage(offset, secinfo, data)

    def _create(self) -> tuple[int, int]:
        record = self._read(RECORD_BYTES)
        if not record:
            self._refuse("it is empty")
        if record[:8] == _UNSIZED_TAG:
            self._refuse("it is `UNSIZED`: it has no size, and so no measurement")
        tag, ssa_frame_pages, size_bytes, reserved = _ECREATE.unpack(record)
        if tag != ECREATE_TAG:
            self._refuse("its first record is not ECREATE")
        if any(reserved):
            self._refuse("reserved bytes of ECREATE are not zero")
        if size_bytes < _MIN_ENCLAVE_BYTES or size_bytes & size_bytes - 1:
            self._refuse(f"its size {size_bytes:#x} is not a power of two of at least two pages")
        if not ssa_frame_pages:
            self._refuse("its SSA frames have no pages")
        return ssa_frame_pages, size_bytes

    def _page(self, record: bytes, least: int) -> tuple[int, SecInfo]:
        tag, offset, flags, reserved = _EADD.unpack(record)
        if tag != EADD_TAG:
            self._refuse_tag(tag)
        if any(reserved):
            self._refuse("reserved bytes of EADD are not zero")
        if offset % PAGE_BYTES:
            self._refuse(f"page offset {offset:#x} is not a multiple of {PAGE_BYTES:#x}")
        if offset >= self.size_bytes:
            self._refuse(f"page {offset:#x} lies outside the enclave of {self.size_bytes:#x}")
        if offset < least:
            self._refuse(f"page {offset:#x} is out of order: {least:#x} or above was due")
        secinfo = self._secinfos.get(flags)
        if secinfo is None:
            try:
                secinfo = self._secinfos[flags] = SecInfo.from_flags(flags)
            except DiagnosticError as problem:
                self._refuse(f"page {offset:#x}: {problem.diagnostics[0].message}")
        return offset, secinfo

    def _content(self, first_record: bytes, offset: int) -> bytes:
        """The 16 chunks of a page, the first of whose records has been read."""
        rest = self._read(MEASURED_PAGE_BYTES - 2 * RECORD_BYTES)
        if len(rest) != MEASURED_PAGE_BYTES - 2 * RECORD_BYTES:
            self._refuse(f"it ends inside page {offset:#x}")
        fields = _CHUNK_RECORDS.unpack(first_record + rest)
        for chunk, tag in enumerate(fields[0::4]):
            if tag != EEXTEND_TAG:
                self._refuse(f"page {offset:#x} is measured in part: {chunk} of 16 chunks")
        due = tuple(range(offset, offset + PAGE_BYTES, CHUNK_BYTES))
        if fields[1::4] != due:
            self._refuse(f"the chunks of page {offset:#x} are not in order")
        if any(map(any, fields[2::4])):
            self._refuse(f"reserved bytes of EEXTEND in page {offset:#x} are not zero")
        return b"".join(fields[3::4])

    def _check_tcs(self, offset: int, data: bytes | None) -> None:
        if data is None:
            self._refuse(f"TCS {offset:#x} is not measured: the host would choose the entry")
        try:
            Tcs.parse(data)
        except DiagnosticError as problem:
            self._refuse(f"TCS {offset:#x}: {problem.diagnostics[0].message}")

    def _read(self, count: int) -> bytes:
        data = self._stream.read(count)
        self._hash.update(data)
        self._position += len(data)
        if count == RECORD_BYTES and 0 < len(data) < count:
            self._refuse("it ends inside a record")
        return data

    def _refuse_tag(self, tag: bytes) -> NoReturn:
        if tag == _UNMEASURED_TAG:
            self._refuse("it has `UNMEASRD` data, which would escape the measurement")
        if tag == ECREATE_TAG:
            self._refuse("it has a second ECREATE")
        if tag == EEXTEND_TAG:
            self._refuse("it has an EEXTEND without a page")
        self._refuse(f"`{tag.decode('ascii', 'backslashreplace')}` begins no record")

    def _refuse(self, reason: str) -> NoReturn:
        raise DiagnosticError(
            error(
                "OB0540",
                f"this is no canonical SGXS file: {reason}",
                Span(self._file),
                notes=(f"seen before byte {self._position:#x}",),
            )
        )
