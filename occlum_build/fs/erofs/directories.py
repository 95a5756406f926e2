"""The data of a directory: blocks of entries, sorted by the bytes of their names.

Each block holds its entries first and their names behind them, so that a reader
can search the blocks, and then one block, by halves. Block boundaries never cut
an entry or a name.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from occlum_build.fs.erofs.format import BLOCK_BYTES, DIRENT, DIRENT_TYPES
from occlum_build.fs.tree import Kind

Entries = Sequence[tuple[bytes, Kind, int]]
"""Name, kind and nid of all entries, `.` and `..` among them, sorted by name."""


def size_of_directory(names: Sequence[bytes]) -> int:
    """The size of a directory with these names, which are sorted."""
    needs = [DIRENT.size + len(name) for name in names]
    bounds = _block_bounds(needs)
    return (len(bounds) - 2) * BLOCK_BYTES + sum(needs[bounds[-2] :])


def encode_directory(entries: Entries) -> bytes:
    """The data of a directory; every block but the last is full size."""
    bounds = _block_bounds([DIRENT.size + len(name) for name, _, _ in entries])
    blocks = [_encode_block(entries[first:last]) for first, last in pairwise(bounds)]
    return b"".join([*(block.ljust(BLOCK_BYTES, b"\0") for block in blocks[:-1]), blocks[-1]])


def decode_block(block: bytes) -> Entries:
    """The entries of one block, in order. Raises ValueError for what is malformed.

    Says nothing about whether the names are sorted or make sense.
    """
    if len(block) < DIRENT.size:
        raise ValueError("a directory block is too short")
    first_name = DIRENT.unpack_from(block)[1]
    if first_name % DIRENT.size or not 0 < first_name <= len(block):
        raise ValueError("a directory block is malformed")
    raw = [DIRENT.unpack_from(block, at) for at in range(0, first_name, DIRENT.size)]
    ends = [entry[1] for entry in raw[1:]] + [len(block)]
    entries = []
    for (nid, start, file_type, _), end in zip(raw, ends, strict=True):
        if not first_name <= start < end <= len(block):
            raise ValueError("the names of a directory block are malformed")
        kind = _KINDS.get(file_type)
        if kind is None:
            raise ValueError(f"a directory entry has unknown type {file_type}")
        entries.append((block[start:end], kind, nid))
    name, kind, nid = entries[-1]
    entries[-1] = (name.partition(b"\0")[0], kind, nid)
    return entries


_KINDS: Final = {number: kind for kind, number in DIRENT_TYPES.items()}


def _block_bounds(needs: Sequence[int]) -> list[int]:
    """The index at which each block starts, and the end; `needs` are the entries' bytes."""
    bounds = [0]
    used = 0
    for index, need in enumerate(needs):
        if used + need > BLOCK_BYTES:
            bounds.append(index)
            used = 0
        used += need
    return [*bounds, len(needs)]


def _encode_block(entries: Entries) -> bytes:
    name_offset = DIRENT.size * len(entries)
    table = []
    for name, kind, nid in entries:
        table.append(DIRENT.pack(nid, name_offset, DIRENT_TYPES[kind], 0))
        name_offset += len(name)
    return b"".join([*table, *(name for name, _, _ in entries)])
