"""The bytes of EROFS: Linux, Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.

All numbers are little endian. An inode is named by its nid: its offset in the
image, from block `meta_blkaddr` on, in slots of 32 bytes.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from occlum_build.fs.tree import Kind

BLOCK_BITS: Final = 12
BLOCK_BYTES: Final = 1 << BLOCK_BITS
SLOT_BYTES: Final = 32
NO_BLOCK: Final = 0xFFFF_FFFF

SUPERBLOCK_OFFSET: Final = 1024
MAGIC: Final = 0xE0F5_E1E2
FEATURE_CHECKSUM: Final = 0x1

# struct erofs_super_block: magic, checksum, feature_compat, blkszbits, sb_extslots, root_nid,
# inos, build_time, build_time_nsec, blocks, meta_blkaddr, xattr_blkaddr, uuid, volume_name,
# feature_incompat; what follows (compression, devices, packed inodes) is zero in plain images
_SUPERBLOCK: Final = struct.Struct("<IIIBBHQQIIII16s16sI44x")
SUPERBLOCK_BYTES: Final = _SUPERBLOCK.size
_CHECKSUM_OFFSET: Final = 4

# struct erofs_inode_compact: i_format, i_xattr_icount, i_mode, i_nlink, i_size, i_reserved,
# i_u, i_ino, i_uid, i_gid, i_reserved2
_COMPACT: Final = struct.Struct("<HHHHIIIIHHI")
# struct erofs_inode_extended: i_format, i_xattr_icount, i_mode, i_reserved, i_size, i_u, i_ino,
# i_uid, i_gid, i_mtime, i_mtime_nsec, i_nlink, i_reserved2
_EXTENDED: Final = struct.Struct("<HHHHQIIIIQII16x")
COMPACT_BYTES: Final = _COMPACT.size
EXTENDED_BYTES: Final = _EXTENDED.size

# struct erofs_dirent: nid, nameoff, file_type, reserved
DIRENT: Final = struct.Struct("<QHBB")

_MAX_COMPACT_SIZE: Final = 0xFFFF_FFFF
_MAX_COMPACT_LINKS: Final = 0xFFFF
_TYPE_SHIFT: Final = 12


class Layout(IntEnum):
    """Where the data of an inode lies: in blocks, or in blocks with the tail behind the inode."""

    FLAT_PLAIN = 0
    FLAT_INLINE = 2


# Linux, include/uapi/linux/stat.h: the type bits of st_mode
MODE_TYPES: Final = {
    Kind.FIFO: 0o01,
    Kind.CHARACTER_DEVICE: 0o02,
    Kind.DIRECTORY: 0o04,
    Kind.BLOCK_DEVICE: 0o06,
    Kind.FILE: 0o10,
    Kind.SYMLINK: 0o12,
}
KIND_OF_MODE_TYPE: Final = {number: kind for kind, number in MODE_TYPES.items()}

# Linux, include/linux/fs_types.h: FT_REG_FILE and so on
DIRENT_TYPES: Final = {
    Kind.FILE: 1,
    Kind.DIRECTORY: 2,
    Kind.CHARACTER_DEVICE: 3,
    Kind.BLOCK_DEVICE: 4,
    Kind.FIFO: 5,
    Kind.SYMLINK: 7,
}


@dataclass(frozen=True, slots=True)
class Superblock:
    """The facts of an image as a whole. Build time is always zero when we write."""

    root_nid: int
    inode_count: int
    block_count: int
    uuid: bytes
    meta_block: int = 0
    feature_compat: int = FEATURE_CHECKSUM
    feature_incompat: int = 0
    block_bits: int = BLOCK_BITS
    extension_slots: int = 0

    def encode(self) -> bytes:
        """The 128 bytes, with a checksum of zero: `seal_block` fills it in."""
        return _SUPERBLOCK.pack(
            *(MAGIC, 0, self.feature_compat, self.block_bits, self.extension_slots),
            *(self.root_nid, self.inode_count, 0, 0, self.block_count, self.meta_block, 0),
            *(self.uuid, b"", self.feature_incompat),
        )

    @classmethod
    def decode(cls, data: bytes) -> "Superblock":
        """Read the fields. Raises ValueError for another magic; checks nothing else."""
        (magic, _, compat, bits, slots, root, inodes, _, _, blocks, meta, _, uuid, _, incompat) = (
            _SUPERBLOCK.unpack(data)
        )
        if magic != MAGIC:
            raise ValueError("there is no EROFS superblock")
        return cls(root, inodes, blocks, uuid, meta, compat, incompat, bits, slots)


def seal_block(block: bytearray) -> None:
    """Put the checksum of the block that holds the superblock into it."""
    struct.pack_into("<I", block, SUPERBLOCK_OFFSET + _CHECKSUM_OFFSET, checksum_of(bytes(block)))


def checksum_is_right(block: bytes) -> bool:
    """Whether the first block of an image carries its own checksum."""
    (stored,) = struct.unpack_from("<I", block, SUPERBLOCK_OFFSET + _CHECKSUM_OFFSET)
    return bool(stored == checksum_of(block))


def checksum_of(block: bytes) -> int:
    """CRC-32C, without final inversion, of the first block from the superblock on.

    The checksum field itself counts as zero.
    """
    field = SUPERBLOCK_OFFSET + _CHECKSUM_OFFSET
    return crc32c(block[SUPERBLOCK_OFFSET:field] + bytes(4) + block[field + 4 :])


def crc32c(data: bytes, crc: int = 0xFFFF_FFFF) -> int:
    """Castagnoli's CRC (RFC 3720, appendix B.4), without the final inversion."""
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0x82F6_3B78 if value & 1 else 0)
    return value


_CRC_TABLE: Final = tuple(_crc_of_byte(value) for value in range(256))


@dataclass(frozen=True, slots=True)
class Inode:
    """One inode. `pointer` is the first data block, or the device number of a device.

    `number` is what `stat` shows as st_ino; the file system finds inodes by nid.
    """

    kind: Kind
    mode: int
    size: int
    link_count: int
    number: int
    layout: Layout
    pointer: int
    xattr_count: int = 0

    @property
    def is_extended(self) -> bool:
        """Whether a size or a link count needs the 64-byte form."""
        return needs_extended(self.size, self.link_count)

    def encode(self) -> bytes:
        """The 32 or 64 bytes: owner and times are zero."""
        mode = self.mode | MODE_TYPES[self.kind] << _TYPE_SHIFT
        form = self.layout << 1 | self.is_extended
        if not self.is_extended:
            return _COMPACT.pack(
                *(form, 0, mode, self.link_count, self.size, 0),
                *(self.pointer, self.number, 0, 0, 0),
            )
        return _EXTENDED.pack(
            *(form, 0, mode, 0, self.size, self.pointer, self.number),
            *(0, 0, 0, 0, self.link_count),
        )

    @classmethod
    def decode(cls, data: bytes) -> tuple["Inode", int]:
        """Read an inode and tell its length. Raises ValueError for what plain images lack."""
        if len(data) < COMPACT_BYTES:
            raise ValueError("an inode lies outside the image")
        form = int.from_bytes(data[:2], "little")
        if form & 1:
            if len(data) < EXTENDED_BYTES:
                raise ValueError("an inode lies outside the image")
            fields = _EXTENDED.unpack_from(data)
            _, xattrs, mode, _, size, pointer, number, _, _, _, _, links = fields
            length = EXTENDED_BYTES
        else:
            _, xattrs, mode, links, size, _, pointer, number, _, _, _ = _COMPACT.unpack_from(data)
            length = COMPACT_BYTES
        kind = KIND_OF_MODE_TYPE.get(mode >> _TYPE_SHIFT)
        if kind is None:
            raise ValueError(f"an inode has mode {mode:#o}, which is no known type")
        if form >> 1 not in tuple(Layout):
            raise ValueError(f"an inode has data layout {form >> 1}, which is not plain")
        layout = Layout(form >> 1)
        return cls(kind, mode & 0o7777, size, links, number, layout, pointer, xattrs), length


def needs_extended(size: int, link_count: int) -> bool:
    """Whether an inode does not fit the 32-byte form."""
    return size > _MAX_COMPACT_SIZE or link_count > _MAX_COMPACT_LINKS


def encode_device(device: tuple[int, int]) -> int:
    """A device number as Linux stores it: include/linux/kdev_t.h, new_encode_dev."""
    major, minor = device
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def decode_device(number: int) -> tuple[int, int]:
    """The inverse: new_decode_dev."""
    return (number & 0xFFF00) >> 8, (number & 0xFF) | ((number >> 12) & 0xFFF00)
