"""The dm-verity hash tree behind an image: what `veritysetup format --salt=-` makes.

cryptsetup, lib/verity/verity.c (struct verity_sb) and lib/verity/verity_hash.c;
Linux, Documentation/admin-guide/device-mapper/verity.rst. Hash type 1, SHA-256,
blocks of 4 KiB, no salt. The superblock fills the block behind the data; the
levels follow, the root's block first. The root hash is what an enclave measures.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Final
from uuid import UUID

from occlum_build.fs.content import STRIDE_BYTES, Storage
from occlum_build.fs.problem import Code, refusal

BLOCK_BYTES: Final = 4096
DIGEST_BYTES: Final = 32
TREE_UUID: Final = UUID("0cc1b01d-e20f-5000-8000-000000000002")

_DIGESTS_PER_BLOCK: Final = BLOCK_BYTES // DIGEST_BYTES
# struct verity_sb: signature, version, hash_type, uuid, algorithm, data_block_size,
# hash_block_size, data_blocks, salt_size, pad, salt, pad
_SUPERBLOCK: Final = struct.Struct("<8sII16s32sIIQH6x256s168x")
_SIGNATURE: Final = b"verity\0\0"


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the parts of a hash tree over `data_blocks` blocks lie, in bytes from the start.

    A single data block has no level above it: its digest is the root hash. The
    images of this package have at least two.
    """

    data_blocks: int

    @property
    def data_size(self) -> int:
        """The bytes that the tree covers."""
        return self.data_blocks * BLOCK_BYTES

    @property
    def superblock_offset(self) -> int:
        """What `veritysetup` calls the hash offset."""
        return self.data_size

    @property
    def tree_offset(self) -> int:
        """The root level's block."""
        return self.data_size + BLOCK_BYTES

    @property
    def level_blocks(self) -> list[int]:
        """The number of hash blocks in each level, leaves first."""
        counts = []
        blocks = self.data_blocks
        while blocks > 1:
            blocks = -(-blocks // _DIGESTS_PER_BLOCK)
            counts.append(blocks)
        return counts

    @property
    def size(self) -> int:
        """Everything: data, superblock and tree."""
        return self.tree_offset + sum(self.level_blocks) * BLOCK_BYTES

    @property
    def level_offsets(self) -> list[int]:
        """Where each level starts, leaves first."""
        counts = self.level_blocks
        return [
            self.tree_offset + sum(counts[level + 1 :]) * BLOCK_BYTES
            for level in range(len(counts))
        ]

    def superblock(self) -> bytes:
        """The block behind the data, which lets `veritysetup` find its parameters."""
        return _SUPERBLOCK.pack(
            *(_SIGNATURE, 1, 1, TREE_UUID.bytes, b"sha256", BLOCK_BYTES, BLOCK_BYTES),
            *(self.data_blocks, 0, b""),
        ).ljust(BLOCK_BYTES, b"\0")


class HashedImage:
    """A file that gets its blocks in any order, hashes each as it passes, and ends in a tree.

    Digests go straight to their place in the file, so that memory does not grow
    with the image.
    """

    def __init__(self, descriptor: int, data_blocks: int) -> None:
        """Write to `descriptor`, an empty file open for both, which stays the caller's."""
        self._descriptor = descriptor
        self._shape = Shape(data_blocks)
        self._blocks_missing = data_blocks

    def put(self, first_block: int, data: bytes) -> None:
        """Write whole blocks and their digests. Each block must be put exactly once."""
        _write(self._descriptor, first_block * BLOCK_BYTES, data)
        leaves = self._shape.level_offsets[0]
        _write(self._descriptor, leaves + first_block * DIGEST_BYTES, digests_of(data))
        self._blocks_missing -= len(data) // BLOCK_BYTES

    def finish(self) -> bytes:
        """Write the superblock and the levels above the leaves; tell the root hash."""
        if self._blocks_missing:
            raise AssertionError("a block was put twice, or never")
        shape = self._shape
        _write(self._descriptor, shape.superblock_offset, shape.superblock())
        os.ftruncate(self._descriptor, shape.size)
        levels = list(zip(shape.level_offsets, shape.level_blocks, strict=True))
        for (lower, blocks), (upper, _) in pairwise(levels):
            for offset, length in _strides(blocks * BLOCK_BYTES):
                digests = digests_of(os.pread(self._descriptor, length, lower + offset))
                _write(self._descriptor, upper + offset // _DIGESTS_PER_BLOCK, digests)
        return digests_of(os.pread(self._descriptor, BLOCK_BYTES, shape.tree_offset))


def digests_of(blocks: bytes) -> bytes:
    """The digests of whole blocks, one after another."""
    view = memoryview(blocks)
    return b"".join(
        [sha256(view[at : at + BLOCK_BYTES]).digest() for at in range(0, len(blocks), BLOCK_BYTES)]
    )


def check_tree(image: Storage, data_blocks: int, root_hash: bytes) -> None:
    """Refuse an image whose data or hash tree differs from what `root_hash` stands for.

    Works from the data up, so that the message names the altered data block even
    when the tree above it was altered too.
    """
    shape = Shape(data_blocks)
    if image.size < shape.size:
        raise refusal(
            Code.BAD_IMAGE,
            f"the image has {image.size} bytes, but its data and hash tree need {shape.size}",
            file=image.name,
        )
    if image.read(shape.superblock_offset, BLOCK_BYTES) != shape.superblock():
        raise _altered(image, "the verity superblock", shape.superblock_offset)
    start, blocks, what = 0, data_blocks, "the data"
    digests = b""
    for offset, level_blocks in zip(shape.level_offsets, shape.level_blocks, strict=True):
        _check_level(image, start, blocks, offset, what)
        start, blocks, what = offset, level_blocks, "the hash tree"
    digests = digests_of(image.read(start, BLOCK_BYTES))
    if digests != root_hash:
        raise refusal(
            Code.ALTERED_IMAGE,
            "the image is not the one that was measured",
            file=image.name,
            notes=[f"its root hash is {digests.hex()}", f"but {root_hash.hex()} was expected"],
        )


def _check_level(image: Storage, start: int, blocks: int, digests_at: int, what: str) -> None:
    """Compare the digests of `blocks` blocks with those stored at `digests_at`."""
    for offset, length in _strides(blocks * BLOCK_BYTES):
        found = digests_of(image.read(start + offset, length))
        stored_at = digests_at + offset // BLOCK_BYTES * DIGEST_BYTES
        stored = image.read(stored_at, len(found))
        if found == stored:
            continue
        wrong = next(
            at
            for at in range(0, len(found), DIGEST_BYTES)
            if found[at : at + DIGEST_BYTES] != stored[at : at + DIGEST_BYTES]
        )
        raise _altered(image, what, start + offset + wrong // DIGEST_BYTES * BLOCK_BYTES)


def _strides(size: int) -> Iterator[tuple[int, int]]:
    for offset in range(0, size, STRIDE_BYTES):
        yield offset, min(STRIDE_BYTES, size - offset)


def _altered(image: Storage, what: str, offset: int) -> Exception:
    return refusal(
        Code.ALTERED_IMAGE,
        f"the image was altered: {what} and the hash tree disagree at block "
        f"{offset // BLOCK_BYTES}",
        file=image.name,
        notes=[f"the block starts at byte {offset}"],
        helps=["build or fetch the image again"],
    )


def _write(descriptor: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset += written
        view = view[written:]
