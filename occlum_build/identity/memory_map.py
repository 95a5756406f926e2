"""The memory of an enclave as rows of a table: what is added, what is kept free, and why."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from occlum_build.enclave_file.image import EnclaveImage, Hole
from occlum_build.sgx.page import PAGE_BYTES, describe_bytes
from occlum_build.sgx.secinfo import PageType
from occlum_build.sgx.stream import PageRun

_THREAD: Final = "thread "
_FREE: Final = "free"
_GUARD: Final = "guard"
_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class Row:
    """Pages that follow each other and are alike."""

    name: str
    offset: int
    page_count: int
    page_type: str = ""
    permissions: str = ""
    measured: str = ""
    """`yes`, `no`, or `in part`; empty where no page is."""

    @property
    def end(self) -> int:
        """First offset after the row."""
        return self.offset + self.page_count * PAGE_BYTES

    @property
    def is_added(self) -> bool:
        """Whether there are pages before the enclave starts."""
        return bool(self.page_type)

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "name": self.name,
            "offset": self.offset,
            "pages": self.page_count,
            "type": self.page_type or None,
            "permissions": self.permissions or None,
            "measured": self.measured or None,
        }


def memory_rows(image: EnclaveImage) -> list[Row]:
    """All of the address range, in ascending order."""
    rows = [_row(run) for run in image.runs() if run.added and run.page_count]
    rows += [_hole(one) for one in image.holes if one.page_count]
    rows.sort(key=lambda one: (one.offset, one.end))
    # In an enclave of this project what is free between pages is there to be run into.
    gap = _GUARD if "memory_model" in image.facts else _FREE
    return list(_with_gaps(_joined(rows), image.size_bytes, gap))


def table(rows: Sequence[Row], *, fold: bool) -> Iterator[str]:
    """The rows for people; threads that are like the first of them are one line with `fold`."""
    yield f"{'offset':>14}  {'size':>10}  {'pages':>11}  rights  measured  what"
    for row in _folded(rows) if fold else rows:
        if isinstance(row, str):
            yield f"{'':>14}  {'':>10}  {'':>11}  {'':6}  {'':8}  {row}"
            continue
        rights = row.permissions if row.page_type != PageType.TCS.name.lower() else "TCS"
        size = describe_bytes(row.page_count * PAGE_BYTES)
        yield (
            f"{row.offset:>#14x}  {size:>10}  {row.page_count:>11,}  {rights:6}"
            f"  {row.measured:8}  {row.name}"
        ).rstrip()


def rights(rows: Iterable[Row]) -> list[tuple[str, int, int]]:
    """For each kind of page: rights, how many are measured, and how many are not."""
    counts: dict[str, list[int]] = {}
    for row in rows:
        if row.is_added:
            kind = row.permissions if row.page_type == "reg" else row.page_type.upper()
            counts.setdefault(kind, [0, 0])[row.measured != "yes"] += row.page_count
    return [(kind, measured, other) for kind, (measured, other) in sorted(counts.items())]


def _row(run: PageRun) -> Row:
    measured = "yes" if run.measured else "no"
    if run.chunks is not None:
        measured = "in part"
    secinfo = run.secinfo
    permissions = secinfo.permissions.letters()
    return Row(
        run.name,
        run.offset,
        run.page_count,
        secinfo.page_type.name.lower(),
        permissions,
        measured,
    )


def _hole(hole: Hole) -> Row:
    name = f"{hole.name} (added when it runs)" if hole.is_dynamic else hole.name
    return Row(name, hole.offset, hole.page_count)


def _joined(rows: Iterable[Row]) -> Iterator[Row]:
    """Neighbours that differ in nothing made one."""
    held: Row | None = None
    for row in rows:
        if held is not None and held.end == row.offset and _alike(held, row):
            pages = held.page_count + row.page_count
            held = Row(
                held.name, held.offset, pages, held.page_type, held.permissions, held.measured
            )
            continue
        if held is not None:
            yield held
        held = row
    if held is not None:
        yield held


def _alike(first: Row, second: Row) -> bool:
    return (first.name, first.page_type, first.permissions, first.measured) == (
        second.name,
        second.page_type,
        second.permissions,
        second.measured,
    )


def _with_gaps(rows: Iterable[Row], size_bytes: int, gap: str) -> Iterator[Row]:
    end = 0
    for row in rows:
        if row.offset > end:
            yield Row(gap, end, (row.offset - end) // PAGE_BYTES)
        yield row
        end = max(end, row.end)
    if end < size_bytes:
        yield Row(_FREE, end, (size_bytes - end) // PAGE_BYTES)


def _folded(rows: Sequence[Row]) -> Iterator[Row | str]:
    """The first thread row by row, those that follow it and have its shape in one line."""
    blocks = list(_blocks(rows))
    index = 0
    while index < len(blocks):
        block = blocks[index]
        yield from block
        index += 1
        alike = index
        while alike < len(blocks) and _is_thread(block) and _shape(blocks[alike]) == _shape(block):
            alike += 1
        if alike - index >= _FEW:
            first, last = _number(blocks[index]), _number(blocks[alike - 1])
            steps = {b[0].offset - a[0].offset for a, b in pairwise(blocks[index - 1 : alike])}
            step = f", {next(iter(steps)):#x} apart" if len(steps) == 1 else ""
            yield f"threads {first} to {last}: the same{step} (--all shows them)"
            index = alike


def _blocks(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows of each thread together, with the pages that stay free up to the next thread."""
    block: list[Row] = []
    for row in rows:
        number, current = _number([row]), _number(block)
        if block and not (
            number == current or (current is not None and number is None and not row.is_added)
        ):
            yield from _without_trail(block, is_followed=number is not None)
            block = []
        block.append(row)
    yield from _without_trail(block, is_followed=False)


def _without_trail(block: list[Row], *, is_followed: bool) -> Iterator[list[Row]]:
    """A thread's rows; what is free after the last of all threads is no part of it."""
    cut = len(block)
    while not is_followed and cut and not block[cut - 1].is_added:
        cut -= 1
    if block[:cut]:
        yield block[:cut]
    if block[cut:]:
        yield block[cut:]


def _is_thread(block: Sequence[Row]) -> bool:
    return _number(block) is not None


def _number(block: Sequence[Row]) -> str | None:
    """The number of the thread that the rows belong to."""
    for row in block[:1]:
        if row.name.startswith(_THREAD):
            return row.name[len(_THREAD) :].partition(" ")[0]
    return None


def _shape(block: Sequence[Row]) -> list[tuple[object, ...]]:
    """A thread's rows without its number and its place; the free pages after it do not count."""
    prefix = f"{_THREAD}{_number(block)} "
    rows = [
        (
            row.name.removeprefix(prefix),
            row.offset - block[0].offset,
            row.page_count,
            row.page_type,
            row.permissions,
            row.measured,
        )
        for row in block
    ]
    while rows and not rows[-1][3]:
        rows.pop()
    return list(rows)
