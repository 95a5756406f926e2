"""From a plan to the blocks of an EROFS image.

The image depends on the planned tree alone: no time, no owner, no random UUID, and no
version of anybody's `mkfs`. Memory is bounded by the number of files, not by
their sizes.
"""

from collections.abc import Iterator
from typing import Final, Protocol
from uuid import UUID

from occlum_build.fs.content import STRIDE_BYTES, chunks
from occlum_build.fs.erofs import format as form
from occlum_build.fs.erofs.directories import encode_directory
from occlum_build.fs.erofs.format import BLOCK_BYTES, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET
from occlum_build.fs.erofs.plan import Plan, Record
from occlum_build.fs.tree import Kind

IMAGE_UUID: Final = UUID("0cc1b01d-e20f-5000-8000-000000000001")
"""The same for every image: what tells images apart is their root hash."""


class BlockSink(Protocol):
    """Where blocks go. Each block of an image is put exactly once, in no promised order."""

    def put(self, first_block: int, data: bytes) -> None:
        """Take whole blocks that lie one after another."""


def write_image(plan: Plan, sink: BlockSink) -> None:
    """Put the `plan.block_count` blocks of an image into `sink`."""
    metadata = _Metadata(plan, sink)
    data = _Data(plan, sink)
    for record in plan.records:
        tail = b""
        for piece in _pieces(plan, record):
            tail = data.put_blocks(piece)
        if not record.tail_bytes:
            data.put_last_block(tail)
            tail = b""
        metadata.put(record, tail)
    data.finish()


def _pieces(plan: Plan, record: Record) -> Iterator[bytes]:
    """The data of an inode; every piece but the last is a whole number of blocks."""
    node = record.node
    if node.kind is Kind.DIRECTORY:
        yield encode_directory(plan.entries_of(node))
    elif node.kind is Kind.SYMLINK:
        yield node.target
    elif node.content is not None:
        yield from chunks(node.content)


class _Data:
    """The data blocks, which come in order, gathered into long writes."""

    def __init__(self, plan: Plan, sink: BlockSink) -> None:
        self._sink = sink
        self._block_count = plan.block_count
        self._next_block = plan.meta_blocks
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    def put_blocks(self, piece: bytes) -> bytes:
        """Take the whole blocks of `piece`; give back what is left of it."""
        whole = len(piece) - len(piece) % BLOCK_BYTES
        if whole:
            self._append(piece[:whole])
        return piece[whole:]

    def put_last_block(self, rest: bytes) -> None:
        """Take what is left of an inode that keeps no tail, filled up to a block."""
        if rest:
            self._append(rest.ljust(BLOCK_BYTES, b"\0"))

    def finish(self) -> None:
        """Put what waits, and the blocks that pad a tiny image."""
        self._flush()
        missing = self._block_count - self._next_block
        if missing:
            self._append(bytes(missing * BLOCK_BYTES))
            self._flush()

    def _append(self, blocks: bytes) -> None:
        self._waiting.append(blocks)
        self._waiting_bytes += len(blocks)
        if self._waiting_bytes >= STRIDE_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._sink.put(self._next_block, b"".join(self._waiting))
            self._next_block += self._waiting_bytes // BLOCK_BYTES
            self._waiting.clear()
            self._waiting_bytes = 0


class _Metadata:
    """The blocks of inodes and tails; each is put when its last inode is there."""

    def __init__(self, plan: Plan, sink: BlockSink) -> None:
        self._sink = sink
        self._inodes_left = list(plan.inodes_in_block)
        self._blocks: dict[int, bytearray] = {0: bytearray(BLOCK_BYTES)}
        end = SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES
        self._blocks[0][SUPERBLOCK_OFFSET:end] = plan.superblock(IMAGE_UUID.bytes).encode()
        self._put_if_full(0)

    def put(self, record: Record, tail: bytes) -> None:
        """Take one inode and the tail behind it."""
        block, offset = divmod(record.offset, BLOCK_BYTES)
        data = record.encode() + tail
        buffer = self._blocks.setdefault(block, bytearray(BLOCK_BYTES))
        buffer[offset : offset + len(data)] = data
        self._inodes_left[block] -= 1
        self._put_if_full(block)

    def _put_if_full(self, block: int) -> None:
        if not self._inodes_left[block]:
            buffer = self._blocks.pop(block)
            if block == 0:
                form.seal_block(buffer)
            self._sink.put(block, bytes(buffer))
