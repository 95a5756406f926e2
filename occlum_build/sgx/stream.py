"""The measured stream of an enclave: what ECREATE, EADD and EEXTEND feed to SHA-256.

The bytes are at the same time an SGXS file, so `sha256sum enclave.sgxs` *is* the
MRENCLAVE (Fortanix, "SGXS: SGX stream format").

An enclave has millions of pages and a record for each, so records are not built
one by one. A `_Window` holds the records of many consecutive pages; to move it
to another address only the high bytes of its offsets change, each of them by
one strided slice assignment. Hashing then costs more than making what is hashed.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from occlum_build.sgx.page import CHUNK_BYTES, PAGE_BYTES
from occlum_build.sgx.secinfo import SecInfo

RECORD_BYTES: Final = 64
CHUNKS_PER_PAGE: Final = PAGE_BYTES // CHUNK_BYTES

# Intel SDM vol. 3D, operation of ECREATE, EADD and EEXTEND: the 64-byte blocks that each
# of them adds to MRENCLAVE.
ECREATE_FORMAT: Final = struct.Struct("<8sIQ44x")
EADD_FORMAT: Final = struct.Struct("<8sQQ40x")
EEXTEND_FORMAT: Final = struct.Struct("<8sQ48x")
ECREATE_TAG: Final = b"ECREATE\0"
EADD_TAG: Final = b"EADD\0\0\0\0"
EEXTEND_TAG: Final = b"EEXTEND\0"

MEASURED_PAGE_BYTES: Final = RECORD_BYTES + CHUNKS_PER_PAGE * (RECORD_BYTES + CHUNK_BYTES)

_OFFSET_AT: Final = 8
_FLAGS_AT: Final = 16
_UNMEASURED_WINDOW_PAGES: Final = 4096
_MEASURED_WINDOW_PAGES: Final = 64

Sink = Callable[[memoryview], object]
"""Takes the next bytes of the stream. They are valid only until it returns."""


@dataclass(frozen=True, slots=True)
class PageRun:
    """Consecutive pages that are added alike.

    A measured run has `data`, followed by zeros up to the run's end. An
    unmeasured run has none: its pages start as zero, and the measurement says
    nothing about their content.
    """

    name: str
    offset: int
    page_count: int
    secinfo: SecInfo
    measured: bool
    data: bytes = b""

    @property
    def size_bytes(self) -> int:
        """Length of the run in memory."""
        return self.page_count * PAGE_BYTES

    @property
    def end(self) -> int:
        """First offset after the run."""
        return self.offset + self.size_bytes

    @property
    def stream_bytes(self) -> int:
        """Length of the run's records in the stream."""
        return self.page_count * (MEASURED_PAGE_BYTES if self.measured else RECORD_BYTES)


def write_stream(
    size_bytes: int, ssa_frame_pages: int, runs: Iterable[PageRun], sink: Sink
) -> None:
    """Feed the whole stream of an enclave to `sink`, in the order of `runs`."""
    create = ECREATE_FORMAT.pack(ECREATE_TAG, ssa_frame_pages, size_bytes)
    sink(memoryview(create))
    unmeasured = _Window(_UNMEASURED_WINDOW_PAGES, measured=False)
    measured = _Window(_MEASURED_WINDOW_PAGES, measured=True)
    for run in runs:
        if run.measured:
            data_pages = -(-len(run.data) // PAGE_BYTES)
            _write_data(measured, run, data_pages, sink)
            measured.write(
                run.offset + data_pages * PAGE_BYTES, run.page_count - data_pages, run, sink
            )
        else:
            unmeasured.write(run.offset, run.page_count, run, sink)


def measure(size_bytes: int, ssa_frame_pages: int, runs: Iterable[PageRun]) -> bytes:
    """The MRENCLAVE that the processor would compute for these pages."""
    hasher = hashlib.sha256()
    write_stream(size_bytes, ssa_frame_pages, runs, hasher.update)
    return hasher.digest()


class _Window:
    """The records of `pages` consecutive pages, with zero as every page's content.

    `pages` is a power of two, so that a page's place in the window is the low
    part of its offset and never changes; `_aim` rewrites the rest.
    """

    def __init__(self, pages: int, *, measured: bool) -> None:
        self.pages = pages
        self.size_bytes = pages * PAGE_BYTES
        self._page_stride = MEASURED_PAGE_BYTES if measured else RECORD_BYTES
        chunks = range(CHUNKS_PER_PAGE if measured else 0)
        self._record_starts = [0] + [
            RECORD_BYTES + chunk * (RECORD_BYTES + CHUNK_BYTES) for chunk in chunks
        ]
        self._buffer = bytearray(
            b"".join(_zero_page(page * PAGE_BYTES, chunks) for page in range(pages))
        )
        self._view = memoryview(self._buffer)
        self._base = 0
        self._flags = 0
        self._headers = struct.Struct(
            f"<{2 * RECORD_BYTES}s{CHUNK_BYTES}x"
            + f"{RECORD_BYTES}s{CHUNK_BYTES}x" * (CHUNKS_PER_PAGE - 1)
        )

    def write(self, offset: int, page_count: int, run: PageRun, sink: Sink) -> None:
        """The records of `page_count` pages from `offset` on."""
        end = offset + page_count * PAGE_BYTES
        while offset < end:
            view, offset = self.next_records(offset, end, run.secinfo.flags)
            sink(view)

    def next_records(self, offset: int, end: int, flags: int) -> tuple[memoryview, int]:
        """The records from `offset` to `end` or to the window's edge, and where they end."""
        base = offset - offset % self.size_bytes
        self._aim(base, flags)
        stop = min(end, base + self.size_bytes)
        first, last = (offset - base) // PAGE_BYTES, (stop - base) // PAGE_BYTES
        return self._view[first * self._page_stride : last * self._page_stride], stop

    def headers(self, records: memoryview) -> list[bytes]:
        """The records of measured pages without their content: what precedes each chunk."""
        return [header for page in self._headers.iter_unpack(records) for header in page]

    def _aim(self, base: int, flags: int) -> None:
        if flags != self._flags:
            self._patch(_FLAGS_AT, self._flags, flags)
            self._flags = flags
        if base != self._base:
            for start in self._record_starts:
                self._patch(start + _OFFSET_AT, self._base, base)
            self._base = base

    def _patch(self, first: int, old: int, new: int) -> None:
        """Change one field of every page's record from `old` to `new`, byte by byte."""
        for byte in range(8):
            before, after = old >> 8 * byte & 0xFF, new >> 8 * byte & 0xFF
            if before == after:
                continue
            column = slice(first + byte, None, self._page_stride)
            if self.size_bytes - 1 >> 8 * byte & 0xFF:
                # Some bits of this byte tell the pages of the window apart: flip only the rest.
                self._buffer[column] = self._buffer[column].translate(_XOR[before ^ after])
            else:
                self._buffer[column] = bytes((after,)) * self.pages


def _write_data(window: _Window, run: PageRun, data_pages: int, sink: Sink) -> None:
    """The records of pages with content: headers from the window, chunks from the data."""
    data = memoryview(run.data.ljust(data_pages * PAGE_BYTES, b"\0"))
    offset, end = run.offset, run.offset + data_pages * PAGE_BYTES
    while offset < end:
        records, stop = window.next_records(offset, end, run.secinfo.flags)
        content = data[offset - run.offset : stop - run.offset]
        chunk_count = len(content) // CHUNK_BYTES
        pieces = [b""] * (2 * chunk_count)
        pieces[0::2] = window.headers(records)
        pieces[1::2] = struct.unpack(f"{CHUNK_BYTES}s" * chunk_count, content)
        sink(memoryview(b"".join(pieces)))
        offset = stop


def _zero_page(offset: int, chunks: range) -> bytes:
    records = [EADD_FORMAT.pack(EADD_TAG, offset, 0)]
    for chunk in chunks:
        records += [
            EEXTEND_FORMAT.pack(EEXTEND_TAG, offset + chunk * CHUNK_BYTES),
            bytes(CHUNK_BYTES),
        ]
    return b"".join(records)


_XOR: Final = tuple(bytes(value ^ changed for value in range(256)) for changed in range(256))
