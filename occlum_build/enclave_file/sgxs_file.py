"""SGXS files of any loader: the hashed bytes themselves, and what follows from them.

Fortanix, "SGX stream format" and "Enhanced SGX stream format". Pages may come in
any order, chunks too, and a chunk may be measured long after its page was added:
the hash is that of the file all the same. `UNMEASRD` data is loaded but not
hashed; a stream that begins with `UNSIZED` has no measurement yet.

Records are not looked at one by one where many pages follow each other: they are
compared with the records that such pages have.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.content import FileBytes, Place, broken, refuse
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage
from occlum_build.enclave_file.limits import AddedPages, check_size
from occlum_build.enclave_file.page_names import PageNames
from occlum_build.sgx.page import CHUNK_BYTES, PAGE_BYTES, next_power_of_two
from occlum_build.sgx.secinfo import PageType, SecInfo
from occlum_build.sgx.stream import (
    CHUNKS_PER_PAGE,
    EADD_TAG,
    ECREATE_TAG,
    EEXTEND_TAG,
    MEASURED_PAGE_BYTES,
    RECORD_BYTES,
    PageRun,
    RecordWindow,
)

UNSIZED_TAG: Final = b"UNSIZED\0"
UNMEASURED_TAG: Final = b"UNMEASRD"
FIRST_TAGS: Final = (ECREATE_TAG, UNSIZED_TAG)

_ECREATE: Final = struct.Struct("<8sIQ44s")
_RECORD: Final = struct.Struct("<8sQQ40s")
_CHUNK_RECORD_BYTES: Final = RECORD_BYTES + CHUNK_BYTES
_CHUNK_TAGS: Final = (EEXTEND_TAG, UNMEASURED_TAG)
_MAX_CHUNKS_AT_ONCE: Final = 64
_BARE_WINDOW_PAGES: Final = 4096
_DATA_WINDOW_PAGES: Final = 256
_BLOCK_BYTES: Final = _DATA_WINDOW_PAGES * MEASURED_PAGE_BYTES

Sink = Callable[[memoryview], object]


@dataclass(frozen=True, slots=True)
class RecordedContent:
    """Content of whole pages whose records follow each other in a file."""

    file: FileBytes
    start: int
    page_count: int

    @property
    def size_bytes(self) -> int:
        """Length in memory."""
        return self.page_count * PAGE_BYTES

    def read(self, start: int, size_bytes: int) -> bytes:
        """Exactly so many bytes, without the records between them."""
        first, last = start // PAGE_BYTES, -(-(start + size_bytes) // PAGE_BYTES)
        last = min(last, self.page_count)
        raw = self.file.read(
            self.start + first * MEASURED_PAGE_BYTES, max(0, last - first) * MEASURED_PAGE_BYTES
        )
        chunks = [
            raw[at : at + CHUNK_BYTES]
            for page in range(RECORD_BYTES, len(raw), MEASURED_PAGE_BYTES)
            for at in range(
                page + RECORD_BYTES,
                page + CHUNKS_PER_PAGE * _CHUNK_RECORD_BYTES,
                _CHUNK_RECORD_BYTES,
            )
        ]
        skipped = start - first * PAGE_BYTES
        return b"".join(chunks)[skipped : skipped + size_bytes].ljust(size_bytes, b"\0")

    def read_into(self, start: int, size_bytes: int, parts: Sequence[memoryview]) -> bool:  # noqa: ARG002
        """Never: the records lie between."""
        return False

    def place(self, start: int) -> Place:
        """Where the file has this byte."""
        page, rest = divmod(start, PAGE_BYTES)
        chunk, byte = divmod(rest, CHUNK_BYTES)
        at = RECORD_BYTES + chunk * _CHUNK_RECORD_BYTES + RECORD_BYTES + byte
        return Place(self.file.path, self.start + page * MEASURED_PAGE_BYTES + at)

    def part(self, first_page: int, page_count: int) -> "RecordedContent":
        """The content of some of the pages."""
        start = self.start + first_page * MEASURED_PAGE_BYTES
        return RecordedContent(self.file, start, page_count)


@dataclass(frozen=True, slots=True)
class ScatteredContent:
    """Content of one page whose chunks come in an order of their own."""

    file: FileBytes
    chunks: tuple[tuple[int, int], ...]
    """Number in the page, and where the file has it; of two with one number the last counts."""

    @property
    def size_bytes(self) -> int:
        """One page."""
        return PAGE_BYTES

    def read(self, start: int, size_bytes: int) -> bytes:
        """Exactly so many bytes; chunks that the file does not have are zero."""
        page = bytearray(PAGE_BYTES)
        for number, at in self.chunks:
            first = number * CHUNK_BYTES
            page[first : first + CHUNK_BYTES] = self.file.read(at, CHUNK_BYTES)
        return bytes(page[start : start + size_bytes]).ljust(size_bytes, b"\0")

    def read_into(self, start: int, size_bytes: int, parts: Sequence[memoryview]) -> bool:  # noqa: ARG002
        """Never: the records lie between."""
        return False

    def place(self, start: int) -> Place | None:
        """Where the file has this byte; None if it does not have it."""
        at = dict(self.chunks).get(start // CHUNK_BYTES)
        return None if at is None else Place(self.file.path, at + start % CHUNK_BYTES)


def read_sgxs(file: FileBytes) -> EnclaveImage:
    """The enclave that a stream is; `EnclaveFormat.ESGXS` if some of its data is not hashed."""
    size_bytes, ssa_frame_pages = _create(file)
    names = PageNames(ssa_frame_pages)
    hasher = hashlib.sha256()
    is_enhanced = False
    for run in _Walk(file, size_bytes, hasher.update).runs():
        names.see(run)
        is_enhanced = is_enhanced or _escapes(run)
    names.learned()
    mrenclave = hasher.digest()

    def runs() -> Iterator[PageRun]:
        return names.named(_joined(_Walk(file, size_bytes).runs()))

    return EnclaveImage(
        EnclaveFormat.ESGXS if is_enhanced else EnclaveFormat.SGXS,
        file.path,
        size_bytes,
        ssa_frame_pages,
        runs,
        facts=names.facts(),
        files=(file.path,),
        hash_stream=lambda: mrenclave,
    )


def _escapes(run: PageRun) -> bool:
    """Whether the stream has content of these pages that is not measured."""
    if isinstance(run.data, ScatteredContent):
        return len(run.data.chunks) > len(run.chunks or ())
    return isinstance(run.data, RecordedContent) and not run.measured


def _create(file: FileBytes) -> tuple[int, int]:
    """Size and SSA frame pages of ECREATE."""
    record = file.prefix(RECORD_BYTES)
    if len(record) < RECORD_BYTES:
        _broken(file, 0, "it ends inside its first record")
    tag, ssa_frame_pages, size_bytes, reserved = _ECREATE.unpack(record)
    if tag == UNSIZED_TAG:
        refuse(
            "OB0541",
            "this enclave cannot be measured yet: it is an `UNSIZED` stream",
            file.path,
            helps=(
                "give it a size first; its loader then writes that size into the enclave, too",
            ),
        )
    if tag != ECREATE_TAG:
        _broken(file, 0, "its first record is not ECREATE")
    if any(reserved):
        _broken(file, 0, "reserved bytes of ECREATE are not zero")
    check_size(size_bytes, ssa_frame_pages, file.path)
    return size_bytes, ssa_frame_pages


class _Walk:
    """One pass over the records after ECREATE, which checks all of them."""

    def __init__(self, file: FileBytes, size_bytes: int, sink: Sink | None = None) -> None:
        self._file = file
        self._sink = sink
        self._position = 0
        self._block_start = 0
        # One buffer for the whole file: a new one each time would cost as much as hashing it.
        self._buffer = bytearray(min(_BLOCK_BYTES, file.size_bytes))
        self._block = memoryview(self._buffer)[:0]
        self._pages = AddedPages(size_bytes, file.path)
        self._secinfos: dict[int, SecInfo] = {}
        self._bare = RecordWindow(_BARE_WINDOW_PAGES, measured=False)
        self._data: dict[bytes, RecordWindow] = {}

    def runs(self) -> Iterator[PageRun]:
        """The pages in their order, neighbours not yet joined."""
        self._take(RECORD_BYTES)
        while self._position < self._file.size_bytes:
            tag, offset, flags, reserved = _RECORD.unpack(self._peek(RECORD_BYTES))
            if tag == EADD_TAG:
                if any(reserved):
                    self._broken("reserved bytes of EADD are not zero")
                yield from self._page(offset, self._secinfo(offset, flags))
            elif tag in _CHUNK_TAGS:
                yield from self._late_chunks(offset)
            elif tag in FIRST_TAGS:
                self._broken("it has a second ECREATE")
            else:
                self._broken(f"`{tag.decode('ascii', 'backslashreplace')}` begins no record")

    def _page(self, offset: int, secinfo: SecInfo) -> Iterator[PageRun]:
        """The page whose EADD is next, and those that follow it in the same way."""
        if offset % PAGE_BYTES:
            self._broken(f"page offset {offset:#x} is not a multiple of {PAGE_BYTES:#x}")
        tag = self._chunk_tag(self._position + RECORD_BYTES, offset)
        if tag is None:
            count = self._bare_pages(offset, secinfo.flags)
            self._add(offset, count)
            yield PageRun("pages", offset, count, secinfo, measured=False)
            self._take(count * RECORD_BYTES)
            return
        count = self._data_pages(offset, secinfo.flags, tag)
        if count:
            measured = tag == EEXTEND_TAG
            self._add(offset, count, is_measured=measured)
            content = RecordedContent(self._file, self._position, count)
            yield PageRun("pages", offset, count, secinfo, measured, content)
            self._take(count * MEASURED_PAGE_BYTES, is_hashed=measured, records=count)
            return
        self._add(offset, 1, is_measured=True)
        self._take(RECORD_BYTES)
        yield self._chunks(offset, secinfo, added=True)

    def _late_chunks(self, chunk_offset: int) -> Iterator[PageRun]:
        """Chunks of a page that was added before."""
        offset = chunk_offset - chunk_offset % PAGE_BYTES
        if not self._pages.holds(offset):
            self._broken(f"page {offset:#x} is measured before it is added")
        unknown = SecInfo.from_flags(PageType.REG << 8)
        yield self._chunks(offset, unknown, added=False)

    def _chunks(self, offset: int, secinfo: SecInfo, *, added: bool) -> PageRun:
        """The chunk records that follow, as long as they are of this page."""
        measured: list[int] = []
        found: list[tuple[int, int]] = []
        held: dict[int, bytes] = {}
        while len(found) < _MAX_CHUNKS_AT_ONCE:
            tag = self._chunk_tag(self._position, offset)
            if tag is None:
                break
            _, chunk, first, reserved = _RECORD.unpack(self._peek(RECORD_BYTES))
            if chunk % CHUNK_BYTES or first or any(reserved):
                self._broken(f"the record of chunk {chunk:#x} is not as EEXTEND takes it")
            number = (chunk - offset) // CHUNK_BYTES
            content = bytes(self._peek(_CHUNK_RECORD_BYTES)[RECORD_BYTES:])
            if held.setdefault(number, content) != content:
                self._broken(f"chunk {chunk:#x} is there twice, with other content")
            found.append((number, self._position + RECORD_BYTES))
            if tag == EEXTEND_TAG:
                measured.append(number)
            self._take(_CHUNK_RECORD_BYTES, is_hashed=tag == EEXTEND_TAG)
        self._pages.measure(len(measured) * CHUNK_BYTES)
        return PageRun(
            "pages",
            offset,
            1,
            secinfo,
            bool(measured),
            ScatteredContent(self._file, tuple(found)),
            chunks=tuple(measured),
            added=added,
        )

    def _bare_pages(self, offset: int, flags: int) -> int:
        """How many pages without content follow each other from this EADD on; at least one."""
        most = (len(self._ahead(RECORD_BYTES)) // RECORD_BYTES) * PAGE_BYTES
        expected, _ = self._bare.next_records(offset, offset + most, flags)
        count = self._common_records(expected)
        last = offset + (count - 1) * PAGE_BYTES
        if self._chunk_tag(self._position + count * RECORD_BYTES, last) is not None:
            count -= 1  # the last one has content
        return max(1, count)

    def _common_records(self, expected: memoryview) -> int:
        """How many whole records from here on are the expected ones."""
        at = self._position - self._block_start
        if self._buffer.startswith(expected, at):
            return len(expected) // RECORD_BYTES
        low, high = 0, len(expected) // RECORD_BYTES
        while high - low > 1:
            middle = (low + high) // 2
            part = expected[low * RECORD_BYTES : middle * RECORD_BYTES]
            if self._buffer.startswith(part, at + low * RECORD_BYTES):
                low = middle
            else:
                high = middle
        return low

    def _data_pages(self, offset: int, flags: int, tag: bytes) -> int:
        """How many pages with all chunks in order follow each other from this EADD on."""
        ahead = self._ahead(MEASURED_PAGE_BYTES)
        most = len(ahead) // MEASURED_PAGE_BYTES
        if not most:
            return 0
        window = self._data_window(tag)
        expected, _ = window.next_records(offset, offset + most * PAGE_BYTES, flags)
        return window.like(ahead, expected)

    def _data_window(self, tag: bytes) -> RecordWindow:
        window = self._data.get(tag)
        if window is None:
            pages = min(_DATA_WINDOW_PAGES, next_power_of_two(self._file.size_bytes >> 12))
            window = self._data[tag] = RecordWindow(max(1, pages), measured=True, tag=tag)
        return window

    def _chunk_tag(self, position: int, offset: int) -> bytes | None:
        """The tag of the record at `position` if it is a chunk of the page at `offset`."""
        if position + RECORD_BYTES > self._file.size_bytes:
            return None
        at = position - self._block_start
        if at + RECORD_BYTES > len(self._block):
            raw: bytes | memoryview = self._file.read(position, RECORD_BYTES)
        else:
            raw = self._block[at : at + RECORD_BYTES]
        tag, chunk, _, _ = _RECORD.unpack(raw)
        return tag if tag in _CHUNK_TAGS and chunk - chunk % PAGE_BYTES == offset else None

    def _add(self, offset: int, count: int, *, is_measured: bool = False) -> None:
        self._pages.add(offset, count, "the stream")
        if is_measured:
            self._pages.measure(count * PAGE_BYTES)

    def _secinfo(self, offset: int, flags: int) -> SecInfo:
        secinfo = self._secinfos.get(flags)
        if secinfo is None:
            try:
                secinfo = self._secinfos[flags] = SecInfo.from_flags(flags)
            except DiagnosticError as problem:
                self._broken(f"page {offset:#x}: {problem.diagnostics[0].message}")
        return secinfo

    def _ahead(self, least: int) -> memoryview:
        """The bytes from here on: at least so many, unless the file has fewer."""
        at = self._position - self._block_start
        if len(self._block) - at < least:
            size = min(_BLOCK_BYTES, self._file.size_bytes - self._position)
            self._block = memoryview(self._buffer)[:size]
            self._file.read_into(self._position, size, (self._block,))
            self._block_start, at = self._position, 0
        return self._block[at:]

    def _peek(self, size_bytes: int) -> memoryview:
        view = self._ahead(size_bytes)
        if len(view) < size_bytes:
            self._broken("it ends inside a record")
        return view[:size_bytes]

    def _take(self, size_bytes: int, *, is_hashed: bool = True, records: int = 0) -> None:
        """Go on; what is passed over is hashed, or of data pages at least their EADD records."""
        view = self._peek(size_bytes)
        if self._sink is not None:
            if is_hashed:
                self._sink(view)
            for page in range(0 if is_hashed else records):
                start = page * MEASURED_PAGE_BYTES
                self._sink(view[start : start + RECORD_BYTES])
        self._position += size_bytes

    def _broken(self, reason: str) -> NoReturn:
        _broken(self._file, self._position, reason)


def _joined(runs: Iterator[PageRun]) -> Iterator[PageRun]:
    """The same pages with neighbours that are alike made one run."""
    held: PageRun | None = None
    for run in runs:
        if held is None:
            held = run
            continue
        joined = _join(held, run)
        if joined is None:
            yield held
            held = run
        else:
            held = joined
    if held is not None:
        yield held


def _join(first: PageRun, second: PageRun) -> PageRun | None:
    alike = (
        first.end == second.offset
        and first.secinfo == second.secinfo
        and first.secinfo.page_type is not PageType.TCS
        and first.measured is second.measured
        and first.chunks is second.chunks is None
    )
    if not alike:
        return None
    count = first.page_count + second.page_count
    if isinstance(first.data, RecordedContent) and isinstance(second.data, RecordedContent):
        if first.data.start + first.page_count * MEASURED_PAGE_BYTES != second.data.start:
            return None
        return replace(first, page_count=count, data=first.data.part(0, count))
    if first.data or second.data:
        return None
    return replace(first, page_count=count)


def _broken(file: FileBytes, position: int, reason: str) -> NoReturn:
    broken(file.path, reason, notes=(f"in the record at byte {position:#x}",))
