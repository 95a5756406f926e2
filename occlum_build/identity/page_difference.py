"""In which pages two enclaves differ: by runs of pages, so that a terabyte of heap is one step.

Two questions have two answers. `first_difference` follows the order in which pages are
hashed: the first record that differs is where the two measurements part. `differences` goes by
address: what is at the same place in both, and what is not, whatever the order.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from operator import ne
from typing import Final

from occlum_build.sgx.page import PAGE_BYTES
from occlum_build.sgx.stream import PageRun

_BLOCK_PAGES: Final = 256
_MAX_PLACES: Final = 16
_MAX_SHOWN_PAGES: Final = 64
_NEAR_BYTES: Final = 16


class Kind(StrEnum):
    """How pages at one address differ."""

    ONLY_A = "only-in-a"
    ONLY_B = "only-in-b"
    TYPE = "page-type"
    PERMISSIONS = "permissions"
    MEASURED = "measured"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Bytes:
    """Neighbouring bytes that differ; `offset` counts from the enclave's base."""

    offset: int
    a: bytes
    b: bytes


@dataclass
class Difference:
    """Neighbouring pages that differ alike; of bytes that differ the first places are kept."""

    kind: Kind
    offset: int
    page_count: int
    a: PageRun | None
    b: PageRun | None
    changed_bytes: int = 0
    changed_pages: int = 0
    places: list[Bytes] = field(default_factory=list)

    @property
    def end(self) -> int:
        """First offset after the pages."""
        return self.offset + self.page_count * PAGE_BYTES

    @property
    def name(self) -> str:
        """What the pages belong to; both names where the two disagree."""
        names = dict.fromkeys(one.name for one in (self.a, self.b) if one is not None)
        return " / ".join(names)


@dataclass(frozen=True, slots=True)
class First:
    """The first record in which two streams differ.

    `record` is `EADD`, `EEXTEND`, `measured` where only one goes on with an EEXTEND of the
    page, or `end` where one stream ends; `offset_a` and `offset_b` are the addresses of the
    bytes or pages that the two records are about, None where there is none.
    """

    record: str
    offset_a: int | None
    offset_b: int | None
    name: str


def first_difference(a: Iterable[PageRun], b: Iterable[PageRun]) -> First | None:
    """Where the hashes part, after equal ECREATE records; None if they do not."""
    walk_a, walk_b = _Walk(a), _Walk(b)
    while True:
        run_a, run_b = walk_a.current, walk_b.current
        if run_a is None or run_b is None:
            if run_a is run_b:
                return None
            there = run_a or run_b
            return First(
                "end",
                None if run_a is None else walk_a.offset,
                None if run_b is None else walk_b.offset,
                there.name if there is not None else "",
            )
        name = run_a.name if run_a.name == run_b.name else f"{run_a.name} / {run_b.name}"
        if walk_a.offset != walk_b.offset or _added(run_a) != _added(run_b):
            return First("EADD", walk_a.offset, walk_b.offset, name)
        if _record(run_a) != _record(run_b):
            return First("measured", walk_a.offset, walk_b.offset, name)
        pages = min(walk_a.pages_left, walk_b.pages_left)
        if run_a.measured:
            for page, byte in _changes(run_a, run_b, walk_a.offset, pages):
                offset = walk_a.offset + page * PAGE_BYTES + byte
                return First("EEXTEND", offset, offset, run_a.name)
        walk_a.skip(pages)
        walk_b.skip(pages)


class _Walk:
    """A place in a sequence of runs."""

    def __init__(self, runs: Iterable[PageRun]) -> None:
        self._runs = iter(runs)
        self.current: PageRun | None = None
        self.offset = 0
        self._next()

    @property
    def pages_left(self) -> int:
        """Pages of the current run from here on."""
        return 0 if self.current is None else (self.current.end - self.offset) // PAGE_BYTES

    def skip(self, pages: int) -> None:
        """Go on by so many pages of the current run."""
        self.offset += pages * PAGE_BYTES
        if self.current is not None and self.offset >= self.current.end:
            self._next()

    def _next(self) -> None:
        self.current = next((one for one in self._runs if one.page_count), None)
        self.offset = 0 if self.current is None else self.current.offset


def _added(run: PageRun) -> tuple[object, ...]:
    """What EADD says of a page besides its offset."""
    return run.added, run.secinfo.flags if run.added else 0


def _record(run: PageRun) -> tuple[object, ...]:
    """What all records of a page say besides its offset and content."""
    return *_added(run), run.measured, run.chunks


def differences(a: Iterable[PageRun], b: Iterable[PageRun]) -> Iterator[Difference]:
    """All differences, by ascending address; neighbours that differ alike are one."""
    last: Difference | None = None
    for one in _pieces(a, b):
        if last is not None and _continues(last, one):
            last.page_count += one.page_count
            last.changed_pages += one.changed_pages
            last.changed_bytes += one.changed_bytes
            last.places += one.places[: _MAX_PLACES - len(last.places)]
            continue
        if last is not None:
            yield last
        last = one
    if last is not None:
        yield last


def _continues(last: Difference, one: Difference) -> bool:
    if (last.kind, last.end, last.name) != (one.kind, one.offset, one.name):
        return False
    return all(
        (x is None) == (y is None) and (x is None or y is None or _record(x) == _record(y))
        for x, y in ((last.a, one.a), (last.b, one.b))
    )


def _pieces(a: Iterable[PageRun], b: Iterable[PageRun]) -> Iterator[Difference]:
    map_a, map_b = _AddressMap(a), _AddressMap(b)
    edges = sorted({*map_a.edges(), *map_b.edges()})
    for start, end in pairwise(edges):
        run_a, run_b = map_a.at(start), map_b.at(start)
        pages = (end - start) // PAGE_BYTES
        if run_a is None and run_b is None:
            continue
        if run_a is None or run_b is None:
            yield Difference(
                Kind.ONLY_B if run_a is None else Kind.ONLY_A, start, pages, run_a, run_b
            )
            continue
        if run_a.secinfo.page_type is not run_b.secinfo.page_type:
            yield Difference(Kind.TYPE, start, pages, run_a, run_b)
        elif run_a.secinfo.permissions != run_b.secinfo.permissions:
            yield Difference(Kind.PERMISSIONS, start, pages, run_a, run_b)
        if (run_a.measured, run_a.chunks) != (run_b.measured, run_b.chunks):
            yield Difference(Kind.MEASURED, start, pages, run_a, run_b)
        elif run_a.measured:
            yield from _content(run_a, run_b, start, pages)


class _AddressMap:
    """Runs by address. Pages of later runs do not hide those of earlier ones: EADD adds once."""

    def __init__(self, runs: Iterable[PageRun]) -> None:
        self._runs = sorted(
            (one for one in runs if one.added and one.page_count), key=lambda one: one.offset
        )
        self._starts = [one.offset for one in self._runs]

    def edges(self) -> Iterator[int]:
        """Where runs begin and end, and where their data ends."""
        for one in self._runs:
            yield one.offset
            yield one.end
            if one.measured and 0 < one.data_pages < one.page_count:
                yield one.offset + one.data_pages * PAGE_BYTES

    def at(self, offset: int) -> PageRun | None:
        """The run that has this page."""
        index = bisect_right(self._starts, offset) - 1
        if index < 0 or offset >= self._runs[index].end:
            return None
        return self._runs[index]


def _content(a: PageRun, b: PageRun, start: int, pages: int) -> Iterator[Difference]:
    """One difference for each stretch of neighbouring pages whose content differs."""
    if _is_filled(a, start) and _is_filled(b, start):
        page_a, page_b = _page_at(a, start), _page_at(b, start)
        if page_a != page_b:
            places = _places(page_a, page_b, start)
            changed = sum(map(ne, page_a, page_b)) * pages
            yield Difference(
                Kind.CONTENT, start, pages, a, b, changed, pages, places[:_MAX_PLACES]
            )
        return
    shown = 0
    for first in range(0, pages, _BLOCK_PAGES):
        count = min(_BLOCK_PAGES, pages - first)
        offset = start + first * PAGE_BYTES
        block_a, block_b = _block(a, offset, count), _block(b, offset, count)
        if block_a == block_b:
            continue
        for index in range(count):
            at = index * PAGE_BYTES
            page_a, page_b = block_a[at : at + PAGE_BYTES], block_b[at : at + PAGE_BYTES]
            if page_a != page_b:
                is_shown = shown < _MAX_SHOWN_PAGES
                places = _places(page_a, page_b, offset + at)[:_MAX_PLACES] if is_shown else []
                shown += is_shown
                changed = sum(map(ne, page_a, page_b))
                yield Difference(Kind.CONTENT, offset + at, 1, a, b, changed, 1, places)


def _changes(a: PageRun, b: PageRun, start: int, pages: int) -> Iterator[tuple[int, int]]:
    """Pages, counted from `start`, and bytes in them, where the content differs."""
    ends = sorted(
        {
            min(start + pages * PAGE_BYTES, max(start, one.offset + one.data_pages * PAGE_BYTES))
            for one in (a, b)
        }
        | {start, start + pages * PAGE_BYTES}
    )
    for first, end in pairwise(ends):
        for one in _content(a, b, first, (end - first) // PAGE_BYTES):
            offset = one.places[0].offset
            yield (offset - start) // PAGE_BYTES, offset % PAGE_BYTES


def _is_filled(run: PageRun, offset: int) -> bool:
    """Whether every page of the run from this one on has the same content."""
    return offset >= run.offset + run.data_pages * PAGE_BYTES


def _page_at(run: PageRun, offset: int) -> bytes:
    return run.page((offset - run.offset) // PAGE_BYTES)


def _block(run: PageRun, offset: int, pages: int) -> bytes:
    first = (offset - run.offset) // PAGE_BYTES
    data_pages = min(pages, max(0, run.data_pages - first))
    data = run.read_data(first * PAGE_BYTES, data_pages * PAGE_BYTES) if data_pages else b""
    return data + (run.fill or bytes(PAGE_BYTES)) * (pages - data_pages)


def _places(a: bytes, b: bytes, start: int) -> list[Bytes]:
    """The bytes that differ; places with a few equal bytes between them are one."""
    found: list[list[int]] = []
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        if x != y:
            if found and index - found[-1][1] < _NEAR_BYTES:
                found[-1][1] = index + 1
            else:
                found.append([index, index + 1])
    return [Bytes(start + first, a[first:end], b[first:end]) for first, end in found]
