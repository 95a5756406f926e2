"""From an EROFS image back to the tree, trusting nothing in the image.

For tests, `list` and `verify`. What the writer never makes but `mkfs.erofs`
does by default (times, owners, inline extended attributes) is read past;
compression, chunks and 48-bit layouts are refused.
"""

import itertools
from dataclasses import dataclass
from typing import Final

from occlum_build.fs.content import BytesContent, Content, JoinedContent, Storage, StoredContent
from occlum_build.fs.erofs import format as form
from occlum_build.fs.erofs.directories import decode_block
from occlum_build.fs.erofs.format import BLOCK_BYTES, SLOT_BYTES, Inode, Layout, Superblock
from occlum_build.fs.problem import Code, refusal, shown, shown_name
from occlum_build.fs.tree import MAX_PATH_BYTES, ROOT_PATH, Kind, Node, Tree, joined

_MAX_DIRECTORY_BYTES: Final = 1 << 30
_XATTR_HEADER_BYTES: Final = 12  # struct erofs_xattr_ibody_header
_XATTR_ENTRY_BYTES: Final = 4


def read_image(image: Storage) -> Tree:
    """The tree that an image holds. Contents stay in the image and are read when needed."""
    reader = _Reader(image)
    try:
        return Tree(reader.entries())
    except ValueError as failure:
        raise reader.broken(str(failure)) from failure


@dataclass(frozen=True, slots=True)
class _Located:
    """An inode and where what follows it starts."""

    inode: Inode
    tail_offset: int


class _Reader:
    def __init__(self, image: Storage) -> None:
        self._image = image
        first = image.read_up_to(0, BLOCK_BYTES)
        if len(first) < BLOCK_BYTES:
            raise self.broken("it is shorter than one block")
        try:
            start = form.SUPERBLOCK_OFFSET
            self._superblock = Superblock.decode(first[start : start + form.SUPERBLOCK_BYTES])
        except ValueError as failure:
            raise self.broken(str(failure)) from failure
        self._check_superblock(first)
        self._size = self._superblock.block_count * BLOCK_BYTES
        self._nodes: dict[int, Node] = {}
        self._link_counts: dict[int, tuple[int, int]] = {}

    def broken(self, why: str, path: bytes | None = None) -> Exception:
        notes = [] if path is None else [f"at `{shown(path)}`"]
        message = f"the image is malformed: {why}"
        return refusal(Code.BAD_IMAGE, message, file=self._image.name, notes=notes)

    def entries(self) -> list[tuple[bytes, Node]]:
        """Every name, found by walking the directories; no directory is entered twice."""
        root_nid = self._superblock.root_nid
        entries = [(ROOT_PATH, self._node(ROOT_PATH, root_nid, Kind.DIRECTORY))]
        todo = [(ROOT_PATH, root_nid, root_nid)]
        while todo:
            path, nid, parent_nid = todo.pop()
            subdirectories = 0
            for name, kind, child_nid in self._listing(path, nid, parent_nid):
                child_path = joined(path, name)
                if len(child_path) > MAX_PATH_BYTES:
                    raise self.broken("its directories are too deep", path)
                if kind is Kind.DIRECTORY:
                    if child_nid in self._nodes:
                        raise self.broken("a directory is found twice", child_path)
                    todo.append((child_path, child_nid, nid))
                    subdirectories += 1
                entries.append((child_path, self._node(child_path, child_nid, kind)))
            if self._located(nid).inode.link_count != subdirectories + 2:
                raise self.broken("a directory has a wrong link count", path)
        for nid, (expected, found) in self._link_counts.items():
            if expected != found:
                raise self.broken(f"inode {nid} claims {expected} names, but has {found}")
        return entries

    def _check_superblock(self, first_block: bytes) -> None:
        superblock = self._superblock
        if superblock.block_bits != form.BLOCK_BITS:
            raise self.broken("its blocks are not 4 KiB")
        if superblock.feature_incompat or superblock.extension_slots:
            raise self.broken("it uses features that plain images lack, such as compression")
        has_checksum = superblock.feature_compat & form.FEATURE_CHECKSUM
        if has_checksum and not form.checksum_is_right(first_block):
            raise self.broken("the checksum of its superblock is wrong")
        if superblock.block_count * BLOCK_BYTES > self._image.size:
            raise self.broken("it is cut short")

    def _read(self, offset: int, length: int) -> bytes:
        if not 0 <= offset <= offset + length <= self._size:
            raise ValueError("something lies outside the image")
        return self._image.read(offset, length)

    def _located(self, nid: int) -> _Located:
        offset = self._superblock.meta_block * BLOCK_BYTES + nid * SLOT_BYTES
        head = self._read(offset, min(form.EXTENDED_BYTES, max(0, self._size - offset)))
        inode, length = Inode.decode(head)
        if inode.xattr_count:
            length += _XATTR_HEADER_BYTES + _XATTR_ENTRY_BYTES * (inode.xattr_count - 1)
        return _Located(inode, offset + length)

    def _node(self, path: bytes, nid: int, kind: Kind) -> Node:
        known = self._nodes.get(nid)
        if known is None:
            known = self._nodes[nid] = self._new_node(path, nid)
        if known.kind is not kind:
            raise self.broken(f"a directory entry calls a {known.kind.value} a {kind.value}", path)
        if kind is not Kind.DIRECTORY:
            expected, found = self._link_counts[nid]
            self._link_counts[nid] = (expected, found + 1)
        return known

    def _new_node(self, path: bytes, nid: int) -> Node:
        located = self._located(nid)
        inode = located.inode
        content: Content | None = None
        target = b""
        if inode.kind is Kind.FILE:
            content = self._content(located)
        elif inode.kind is Kind.SYMLINK:
            if not 0 < inode.size <= MAX_PATH_BYTES:
                raise self.broken("a symlink has an impossible size", path)
            target = self._content(located).read(0, inode.size)
        is_device = inode.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
        device = form.decode_device(inode.pointer) if is_device else None
        self._link_counts |= {} if inode.kind is Kind.DIRECTORY else {nid: (inode.link_count, 0)}
        origin = f"`{self._image.name}`"
        mode = 0o777 if inode.kind is Kind.SYMLINK else inode.mode
        return Node(inode.kind, mode, origin, content, target, device)

    def _content(self, located: _Located) -> Content:
        """The data of an inode, checked to lie inside the image."""
        inode = located.inode
        tail = inode.size % BLOCK_BYTES if inode.layout is Layout.FLAT_INLINE else 0
        start = inode.pointer * BLOCK_BYTES
        whole = inode.size - tail
        parts: list[Content] = []
        if whole:
            if start + whole > self._size:
                raise ValueError("the data of a file lies outside the image")
            parts.append(StoredContent(self._image, start, whole))
        if tail:
            in_block = located.tail_offset % BLOCK_BYTES
            if in_block + tail > BLOCK_BYTES or located.tail_offset + tail > self._size:
                raise ValueError("the tail of a file crosses a block")
            parts.append(StoredContent(self._image, located.tail_offset, tail))
        if not parts:
            return BytesContent(b"")
        return parts[0] if len(parts) == 1 else JoinedContent(tuple(parts))

    def _listing(self, path: bytes, nid: int, parent_nid: int) -> list[tuple[bytes, Kind, int]]:
        """What a directory lists, without `.` and `..`, which are checked."""
        located = self._located(nid)
        size = located.inode.size
        if not 0 < size <= _MAX_DIRECTORY_BYTES:
            raise self.broken("a directory has an impossible size", path)
        data = self._content(located)
        entries: list[tuple[bytes, Kind, int]] = []
        for offset in range(0, size, BLOCK_BYTES):
            entries += decode_block(data.read(offset, min(BLOCK_BYTES, size - offset)))
        names = [name for name, _, _ in entries]
        if any(one >= other for one, other in itertools.pairwise(names)):
            raise self.broken("the names of a directory are not sorted", path)
        dots = {name: (kind, target) for name, kind, target in entries if name in (b".", b"..")}
        directory = Kind.DIRECTORY
        if dots != {b".": (directory, nid), b"..": (directory, parent_nid)}:
            raise self.broken("`.` or `..` of a directory lead elsewhere", path)
        for name in names:
            if not name or b"/" in name or b"\0" in name:
                raise self.broken(f"`{shown_name(name)}` cannot be a name", path)
        return [entry for entry in entries if entry[0] not in dots]
