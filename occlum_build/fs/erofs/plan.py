"""Where everything lies in an image, decided before a byte is written.

Directories come first, inodes and data both, so that looking up a path touches
few blocks; then everything else, in order of the paths. A tail that is shorter
than a block lies behind its inode. The plan depends on the tree alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from occlum_build.fs.erofs import format as form
from occlum_build.fs.erofs.directories import Entries, size_of_directory
from occlum_build.fs.erofs.format import BLOCK_BYTES, SLOT_BYTES
from occlum_build.fs.problem import Code, refusal
from occlum_build.fs.tree import ROOT_PATH, Kind, Node, Tree, name_of, parent_of

_OPEN_BLOCKS: Final = 16
_MIN_BLOCKS: Final = 2  # a hash tree over a single block would have no level


@dataclass(slots=True)
class Record:
    """One inode to be: what it stands for, and where it and its data lie.

    `offset` is the inode's own, in bytes; `tail_bytes` follow it there, and the
    rest of the data starts at block `first_block`.
    """

    node: Node
    number: int
    size: int
    link_count: int
    tail_bytes: int = 0
    offset: int = 0
    first_block: int = form.NO_BLOCK

    @property
    def nid(self) -> int:
        """The name by which directories call the inode."""
        return self.offset // SLOT_BYTES

    @property
    def head_bytes(self) -> int:
        """The bytes of the inode itself."""
        extended = form.needs_extended(self.size, self.link_count)
        return form.EXTENDED_BYTES if extended else form.COMPACT_BYTES

    @property
    def data_blocks(self) -> int:
        """How many whole blocks the data takes."""
        return -(-(self.size - self.tail_bytes) // BLOCK_BYTES)

    def encode(self) -> bytes:
        """The inode as it lies in the image."""
        pointer = self.first_block
        if self.node.device is not None:
            pointer = form.encode_device(self.node.device)
        return form.Inode(
            self.node.kind,
            self.node.mode,
            self.size,
            self.link_count,
            self.number,
            form.Layout.FLAT_INLINE if self.tail_bytes else form.Layout.FLAT_PLAIN,
            pointer,
        ).encode()


class Plan:
    """The layout of one tree: its records in order, and how many blocks there are.

    The first `meta_blocks` blocks hold inodes and tails, block 0 the superblock
    too; `inodes_in_block` says how many inodes each of them has.
    """

    def __init__(self, tree: Tree) -> None:
        """Lay out `tree`. Reads no file's content."""
        self._tree = tree
        self._children = _children(tree)
        self.records = self._records()
        self._by_node = {id(record.node): record for record in self.records}
        self.inodes_in_block = _place_inodes(self.records)
        self.meta_blocks = len(self.inodes_in_block)
        self.block_count = max(_place_data(self.records, self.meta_blocks), _MIN_BLOCKS)
        if self.block_count >= form.NO_BLOCK:
            raise refusal(
                Code.TOO_LARGE,
                f"the tree needs {self.block_count} blocks, but an image has less than 2^32",
                helps=["split the tree into several images"],
            )

    def superblock(self, uuid: bytes) -> form.Superblock:
        """The superblock of the image."""
        root = self._by_node[id(self._tree.names[ROOT_PATH])]
        return form.Superblock(root.nid, len(self.records), self.block_count, uuid)

    def entries_of(self, directory: Node) -> Entries:
        """What a directory of the tree lists, with the nids that its entries got."""
        _path, names = self._children[id(directory)]
        return [(name, node.kind, self._by_node[id(node)].nid) for name, node in names]

    def _records(self) -> list[Record]:
        link_counts: dict[int, int] = {}
        nodes = {id(node): node for _, node in self._tree}
        for _, node in self._tree:
            link_counts[id(node)] = link_counts.get(id(node), 0) + 1
        ordered = sorted(nodes.values(), key=lambda node: node.kind is not Kind.DIRECTORY)
        records = []
        for number, node in enumerate(ordered, start=1):
            size, links = node.size, link_counts[id(node)]
            if node.kind is Kind.DIRECTORY:
                names = self._children[id(node)][1]
                size = size_of_directory([name for name, _ in names])
                links = sum(child.kind is Kind.DIRECTORY for _, child in names)
            records.append(Record(node, number, size, links))
        return records


_Listing = tuple[bytes, Sequence[tuple[bytes, Node]]]


def _children(tree: Tree) -> dict[int, _Listing]:
    """For each directory its path and its sorted names, `.` and `..` among them."""
    names = tree.names
    listings: dict[bytes, list[tuple[bytes, Node]]] = {}
    for path, node in tree:
        if node.kind is Kind.DIRECTORY:
            listings[path] = [(b".", node), (b"..", names[parent_of(path)])]
        if path != ROOT_PATH:
            listings[parent_of(path)].append((name_of(path), node))
    return {
        id(names[path]): (path, sorted(listing, key=lambda entry: entry[0]))
        for path, listing in listings.items()
    }


def _place_inodes(records: Iterable[Record]) -> list[int]:
    """Give each inode its offset, and tell how many inodes each block has.

    An inode and its tail never cross a block. Of the blocks that are not yet full
    the one that is left with the least room is taken.
    """
    counts = [0]
    room = {0: BLOCK_BYTES - form.SUPERBLOCK_OFFSET - form.SUPERBLOCK_BYTES}
    for record in records:
        tail = record.size % BLOCK_BYTES
        record.tail_bytes = tail if record.head_bytes + tail <= BLOCK_BYTES else 0
        need = record.head_bytes + record.tail_bytes
        need += -need % SLOT_BYTES
        fitting = [(left, block) for block, left in room.items() if left >= need]
        if fitting:
            left, block = min(fitting)
        else:
            left, block = BLOCK_BYTES, len(counts)
            counts.append(0)
        record.offset = (block + 1) * BLOCK_BYTES - left
        counts[block] += 1
        room[block] = left - need
        if len(room) > _OPEN_BLOCKS:
            del room[min(room, key=lambda block: (room[block], block))]
    return counts


def _place_data(records: Iterable[Record], first_block: int) -> int:
    """Give each record that needs them its data blocks; tell the first block behind them."""
    for record in records:
        if record.data_blocks:
            record.first_block = first_block
            first_block += record.data_blocks
    return first_block
