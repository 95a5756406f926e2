"""The measured stream of an enclave: what ECREATE, EADD and EEXTEND feed to SHA-256.

The bytes are at the same time an SGXS file, so `sha256sum enclave.sgxs` *is* the
MRENCLAVE (Fortanix, "SGXS: SGX stream format").

An enclave has millions of pages and a record for each, so records are not built
one by one. A `RecordWindow` holds the records of many consecutive pages; to move it
to another address only the high bytes of its offsets change, each of them by
one strided slice assignment. Hashing then costs more than making what is hashed.
"""

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import setitem
from typing import Any, Final, Protocol

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
_PAGES_PER_64K: Final = 16
_UNMEASURED_WINDOW_PAGES: Final = 4096
_MEASURED_WINDOW_PAGES: Final = 64
_DATA_WINDOW_PAGES: Final = 128
_CHUNKS_AT_ONCE: Final = 1024
"""As many parts as Linux fills in one call (IOV_MAX)."""


Sink = Callable[[memoryview], object]
"""Takes the next bytes of the stream. They are valid only until it returns."""


class Content(Protocol):
    """Bytes of a run that are fetched when they are needed."""

    @property
    def size_bytes(self) -> int:
        """How many there are."""

    def read(self, start: int, size_bytes: int) -> bytes:
        """Exactly so many bytes from `start` on; beyond the end they are zero."""

    def read_into(self, start: int, size_bytes: int, parts: Sequence[memoryview]) -> bool:
        """Fill the parts, one after the other, with so many bytes from `start` on.

        False if that is no faster than `read`; nothing has been done then.
        """


@dataclass(frozen=True, slots=True)
class PageRun:
    """Consecutive pages that are added alike.

    A measured run has `data`, followed up to the run's end by pages that all
    hold `fill`, or zeros where there is none. The measurement says nothing about
    the content of an unmeasured run: its pages start as zero, unless a loader is
    given `data` for them too.

    What no loader of ours does, but a stream can: `chunks` are the numbers of
    the 256-byte chunks of each page that are measured, in that order, where it is
    not all of them in their order; and where `added` is false, an earlier run added
    the page and this one only measures it.
    """

    name: str
    offset: int
    page_count: int
    secinfo: SecInfo
    measured: bool
    data: bytes | Content = b""
    fill: bytes = b""
    chunks: tuple[int, ...] | None = None
    added: bool = True

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
        chunk_count = CHUNKS_PER_PAGE if self.chunks is None else len(self.chunks)
        added = RECORD_BYTES if self.added else 0
        measured = chunk_count * (RECORD_BYTES + CHUNK_BYTES) if self.measured else 0
        return self.page_count * (added + measured)

    @property
    def data_pages(self) -> int:
        """How many pages `data` reaches into."""
        size = len(self.data) if isinstance(self.data, bytes) else self.data.size_bytes
        return -(-size // PAGE_BYTES)

    def page(self, index: int) -> bytes:
        """What the run's page of this number holds when it is added."""
        if index >= self.data_pages:
            return self.fill or bytes(PAGE_BYTES)
        return self.read_data(index * PAGE_BYTES, PAGE_BYTES)

    def read_data(self, start: int, size_bytes: int) -> bytes:
        """So many bytes of `data`, zeros beyond its end."""
        if isinstance(self.data, bytes):
            return self.data[start : start + size_bytes].ljust(size_bytes, b"\0")
        return self.data.read(start, size_bytes)


def write_stream(
    size_bytes: int, ssa_frame_pages: int, runs: Iterable[PageRun], sink: Sink
) -> None:
    """Feed the whole stream of an enclave to `sink`, in the order of `runs`."""
    create = ECREATE_FORMAT.pack(ECREATE_TAG, ssa_frame_pages, size_bytes)
    sink(memoryview(create))
    unmeasured = RecordWindow(_UNMEASURED_WINDOW_PAGES, measured=False)
    filled = RecordWindow(_MEASURED_WINDOW_PAGES, measured=True)
    written = _DataWindow()
    for run in runs:
        if run.chunks is not None or not run.added:
            for index in range(run.page_count):
                sink(memoryview(page_records(run, index)))
            continue
        if not run.measured:
            unmeasured.write(run.offset, run.page_count, run, sink)
            continue
        data_pages = min(run.data_pages, run.page_count)
        written.write_data(run, data_pages, sink)
        if run.fill != filled.fill and data_pages < run.page_count:
            filled = RecordWindow(_MEASURED_WINDOW_PAGES, measured=True, fill=run.fill)
        filled.write(run.offset + data_pages * PAGE_BYTES, run.page_count - data_pages, run, sink)


def measure(size_bytes: int, ssa_frame_pages: int, runs: Iterable[PageRun]) -> bytes:
    """The MRENCLAVE that the processor would compute for these pages."""
    hasher = hashlib.sha256()
    write_stream(size_bytes, ssa_frame_pages, runs, hasher.update)
    return hasher.digest()


def page_records(run: PageRun, index: int) -> bytes:
    """The records of one page, made one by one."""
    offset = run.offset + index * PAGE_BYTES
    added = EADD_FORMAT.pack(EADD_TAG, offset, run.secinfo.flags) if run.added else b""
    if not run.measured:
        return added
    chunks = range(CHUNKS_PER_PAGE) if run.chunks is None else run.chunks
    return added + _chunk_records(offset, chunks, run.page(index))


class RecordWindow:
    """The records of `pages` consecutive pages, with `fill` as every page's content.

    `pages` is a power of two up to 4096, so that a page's place in the window is
    the low part of its offset and never changes; `_aim` rewrites the rest.
    """

    def __init__(
        self, pages: int, *, measured: bool, fill: bytes = b"", tag: bytes = EEXTEND_TAG
    ) -> None:
        self.pages = pages
        self.fill = fill
        self.size_bytes = pages * PAGE_BYTES
        self._page_stride = MEASURED_PAGE_BYTES if measured else RECORD_BYTES
        chunks = range(CHUNKS_PER_PAGE if measured else 0)
        self._record_starts = [0] + [
            RECORD_BYTES + chunk * (RECORD_BYTES + CHUNK_BYTES) for chunk in chunks
        ]
        first_page = EADD_FORMAT.pack(EADD_TAG, 0, 0)
        first_page += _chunk_records(0, chunks, fill or bytes(PAGE_BYTES), tag)
        self._buffer = bytearray(first_page * pages)
        self._number_pages()
        self._view = memoryview(self._buffer)
        self._base = 0
        self._flags = 0

    def _number_pages(self) -> None:
        """Tell the pages apart: bits 12 to 23 of every record's offset are the page's number."""
        high = b"".join(bytes((value,)) * _PAGES_PER_64K for value in range(256))
        for index, start in enumerate(self._record_starts):
            chunk = max(0, index - 1)
            low = bytes(page << 4 | chunk for page in range(_PAGES_PER_64K)) * 256
            for byte, values in ((1, low), (2, high)):
                column = slice(start + _OFFSET_AT + byte, None, self._page_stride)
                self._buffer[column] = values[: self.pages]

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

    def chunk_places(self) -> list[memoryview]:
        """Where the content of each chunk is, in the order of their offsets."""
        starts = (
            page * self._page_stride + start + RECORD_BYTES
            for page in range(self.pages)
            for start in self._record_starts[1:]
        )
        return [self._view[start : start + CHUNK_BYTES] for start in starts]

    def like(self, records: memoryview, expected: memoryview) -> int:
        """How many measured pages have the expected records, whatever their content is."""
        pages = len(expected) // self._page_stride
        if not pages:
            return 0
        shape = (len(expected) // RECORD_BYTES, RECORD_BYTES)
        found_rows = records[: len(expected)].cast("B", shape)
        due_rows = expected.cast("B", shape)
        # A page is a whole number of rows as long as a record: those of all pages at once.
        for start in self._record_starts:
            column = slice(start // RECORD_BYTES, None, self._page_stride // RECORD_BYTES)
            found, due = found_rows[column].tobytes(), due_rows[column].tobytes()
            used = pages * RECORD_BYTES
            if found[:used] != due[:used]:
                pages = next(at for at in range(used) if found[at] != due[at]) // RECORD_BYTES
        return pages

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


class _DataWindow:
    """The records of measured pages with content of their own, which is put between them."""

    def __init__(self) -> None:
        self._window = RecordWindow(_DATA_WINDOW_PAGES, measured=True)
        self._places: list[memoryview] = []

    def write_data(self, run: PageRun, data_pages: int, sink: Sink) -> None:
        """The records of the run's pages with content."""
        if data_pages and not self._places:
            self._places = self._window.chunk_places()
        offset, end = run.offset, run.offset + data_pages * PAGE_BYTES
        while offset < end:
            records, stop = self._window.next_records(offset, end, run.secinfo.flags)
            first = offset % self._window.size_bytes // CHUNK_BYTES
            last = first + (stop - offset) // CHUNK_BYTES
            for at in range(first, last, _CHUNKS_AT_ONCE):
                places = self._places[at : min(at + _CHUNKS_AT_ONCE, last)]
                self._put(run, offset - run.offset + (at - first) * CHUNK_BYTES, places)
            sink(records)
            offset = stop

    @staticmethod
    def _put(run: PageRun, start: int, places: list[memoryview]) -> None:
        size_bytes = len(places) * CHUNK_BYTES
        if not isinstance(run.data, bytes) and run.data.read_into(start, size_bytes, places):
            return
        content = run.read_data(start, size_bytes)
        chunks = struct.unpack(f"{CHUNK_BYTES}s" * len(places), content)
        assign: Any = setitem
        # All of them, without a loop in Python.
        deque(map(assign, places, repeat(slice(None)), chunks), maxlen=0)


def _chunk_records(
    offset: int, chunks: Iterable[int], content: bytes, tag: bytes = EEXTEND_TAG
) -> bytes:
    records: list[bytes] = []
    for chunk in chunks:
        start = chunk * CHUNK_BYTES
        records += [
            EEXTEND_FORMAT.pack(tag, offset + start),
            content[start : start + CHUNK_BYTES],
        ]
    return b"".join(records)


_XOR: Final = tuple(bytes(value ^ changed for value in range(256)) for changed in range(256))
