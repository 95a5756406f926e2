"""ELF segments as pages: padded to whole pages, with what the loader writes over them."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from occlum_build.enclave_file.content import Piece, Pieces
from occlum_build.enclave_file.elf_file import PF_R, PF_W, PF_X, ElfFile, Segment
from occlum_build.sgx.page import PAGE_BYTES, align_down, align_up
from occlum_build.sgx.secinfo import PageType, Permission, SecInfo
from occlum_build.sgx.stream import PageRun

_PERMISSIONS: Final = (
    (PF_R, Permission.READ),
    (PF_W, Permission.WRITE),
    (PF_X, Permission.EXECUTE),
)


def segment_run(
    elf: ElfFile, segment: Segment, name: str, patches: Sequence[Piece] = ()
) -> PageRun:
    """All pages that a segment touches, measured: its bytes, and zeros around them.

    `patches` are pieces whose `start` is a place in the file; they lie over the
    segment's bytes. Raises `DiagnosticError` if the segment is not in the file.
    """
    where = f"its segment at {segment.address:#x}"
    if not elf.holds(segment.offset, segment.file_size):
        elf.refuse(f"{where} claims bytes that the file does not have")
    permissions = Permission.NONE
    for bit, permission in _PERMISSIONS:
        if segment.flags & bit:
            permissions |= permission
    if not permissions:
        elf.refuse(f"{where} has no permissions")
    if Permission.WRITE in permissions and Permission.READ not in permissions:
        elf.refuse(f"{where} is writable but not readable: EADD refuses its pages")
    start = align_down(segment.address, PAGE_BYTES)
    end = align_up(segment.address + max(segment.file_size, segment.memory_size), PAGE_BYTES)
    padding = segment.address - start
    offset = elf.start + segment.offset
    pieces = [Piece(padding, segment.file_size, elf.file, offset)]
    pieces += [
        clipped
        for patch in patches
        for clipped in _clipped(patch, offset, offset + segment.file_size, padding - offset)
    ]
    return PageRun(
        name,
        start,
        (end - start) // PAGE_BYTES,
        SecInfo(PageType.REG, permissions),
        measured=True,
        data=Pieces(pieces) if segment.file_size else b"",
    )


def overlaid(run: PageRun, pieces: Sequence[Piece]) -> PageRun:
    """The same pages with pieces over them; their `start` is an address, as the run's is."""
    inside = [
        clipped for one in pieces for clipped in _clipped(one, run.offset, run.end, -run.offset)
    ]
    if not inside:
        return run
    below = run.data.pieces if isinstance(run.data, Pieces) else ()
    return replace(run, data=Pieces((*below, *inside)))


def part(run: PageRun, first: int, count: int) -> PageRun:
    """Some of the pages of a segment's run."""
    data = run.data
    if isinstance(data, Pieces):
        data = data.without_first(first * PAGE_BYTES)
    return replace(run, offset=run.offset + first * PAGE_BYTES, page_count=count, data=data)


def split_writable(run: PageRun, writable: Collection[int]) -> Iterator[PageRun]:
    """The same pages, those whose offsets are in `writable` with the right to be written."""
    if not writable or Permission.WRITE in run.secinfo.permissions:
        yield run
        return
    pages = range(run.page_count)
    secinfo = SecInfo(run.secinfo.page_type, run.secinfo.permissions | Permission.WRITE)
    for is_writable, group in groupby(
        pages, lambda page: run.offset + page * PAGE_BYTES in writable
    ):
        numbers = list(group)
        found = part(run, numbers[0], len(numbers))
        yield replace(found, secinfo=secinfo) if is_writable else found


def _clipped(piece: Piece, first: int, end: int, shift: int) -> Iterator[Piece]:
    """The part of a made piece that lies in [first, end), moved by `shift`."""
    start, stop = max(first, piece.start), min(end, piece.end)
    if start >= stop or piece.made is None:
        return
    skipped = start - piece.start
    made = piece.made[skipped : stop - piece.start]
    offset = piece.offset + skipped if piece.offset >= 0 else -1
    yield Piece(start + shift, stop - start, piece.file, offset, made, piece.what)
