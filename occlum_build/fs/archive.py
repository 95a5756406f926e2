"""Trees as tar files.

A tree has exactly one canonical tar: a member for every directory, the root as
`./`, sorted by the bytes of the path, owner and time 0, and for hard links the
first name holds the data. So the digest of the file is the identity of the
tree, and `tar tvf` shows it to anyone. See ADR 3.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from occlum_build.fs import tar
from occlum_build.fs.content import Storage, StoredContent, chunks
from occlum_build.fs.problem import Code, refusal, shown, shown_name
from occlum_build.fs.tree import ROOT_PATH, Kind, Node, Origin, Tree, check_path

SourceOf = Callable[[bytes], Origin | None]

_TYPES: Final = {
    Kind.FILE: tar.REGULAR,
    Kind.SYMLINK: tar.SYMLINK,
    Kind.CHARACTER_DEVICE: tar.CHARACTER_DEVICE,
    Kind.BLOCK_DEVICE: tar.BLOCK_DEVICE,
    Kind.DIRECTORY: tar.DIRECTORY,
    Kind.FIFO: tar.FIFO,
}
_KINDS: Final = {type_flag: kind for kind, type_flag in _TYPES.items()}


def write_archive(tree: Tree, output: BinaryIO) -> None:
    """Write the canonical tar of `tree`."""
    for member, node in _canonical_members(tree):
        output.write(tar.encode(member))
        if member.size and node.content is not None:
            output.writelines(chunks(node.content))
            output.write(tar.padding(member.size))
    output.write(tar.END)


def read_archive(
    path: str | Path, origin: str | None = None, source_of: SourceOf | None = None
) -> Tree:
    """The tree of a canonical tar. An archive in any other form is refused.

    File contents stay in the archive and are read when they are needed. `source_of`
    gives the `source` of the node at a path.
    """
    storage = Storage.open(path)
    tree = read_foreign_archive(storage, origin, source_of)
    _check_canonical(tree, storage)
    return tree


def read_foreign_archive(
    storage: Storage, origin: str | None = None, source_of: SourceOf | None = None
) -> Tree:
    """The tree of a tar that another program wrote, in any order.

    Owners and times are dropped; a directory without a member of its own gets
    mode 0755. What a tree cannot hold is refused, never left out.
    """
    origin = origin or f"`{storage.name}`"
    nodes: dict[bytes, Node] = {}
    entries: list[tuple[bytes, Node]] = []
    for member in tar.members(storage):
        path = _tree_path(member.name, origin)
        if member.type == tar.HARD_LINK:
            node = _linked_node(member, nodes, storage, origin)
        else:
            source = source_of(path) if source_of is not None else None
            node = _node(member, storage, origin, source)
        nodes.setdefault(path, node)
        entries.append((path, node))
    return Tree(entries)


def _canonical_members(tree: Tree) -> Iterator[tuple[tar.Member, Node]]:
    first_names: dict[int, bytes] = {}
    for path, node in tree:
        if node.kind is Kind.DIRECTORY:
            yield tar.Member((path or b".") + b"/", tar.DIRECTORY, node.mode), node
            continue
        first_name = first_names.setdefault(id(node), path)
        if first_name != path:
            yield tar.Member(path, tar.HARD_LINK, node.mode, link=first_name), node
            continue
        size = node.size if node.kind is Kind.FILE else 0
        kind, device = _TYPES[node.kind], node.device or (0, 0)
        yield tar.Member(path, kind, node.mode, size, node.target, device), node


def _check_canonical(tree: Tree, storage: Storage) -> None:
    """Compare the archive, contents aside, with what `write_archive` would have written."""
    offset = 0
    for member, _ in _canonical_members(tree):
        headers = tar.encode(member)
        if storage.read_up_to(offset, len(headers)) != headers:
            raise _not_canonical(storage, offset, f"at `{shown_name(member.name)}`")
        offset += len(headers) + member.size
        zeros = tar.padding(member.size)
        if zeros and storage.read_up_to(offset, len(zeros)) != zeros:
            raise _not_canonical(storage, offset, f"behind `{shown_name(member.name)}`")
        offset += len(zeros)
    if storage.size != offset + len(tar.END) or storage.read(offset, len(tar.END)) != tar.END:
        raise _not_canonical(storage, offset, "at the end mark")


def _not_canonical(storage: Storage, offset: int, where: str) -> Exception:
    return refusal(
        Code.BAD_ARCHIVE,
        "the archive is not in canonical form",
        file=storage.name,
        notes=[f"it differs at byte {offset}, {where}"],
        helps=["make it with `python -m occlum_build.fs rootfs` or `unpack-deb`"],
    )


def _tree_path(name: bytes, origin: str) -> bytes:
    """A member's name as a tree path: `./usr/bin/` is `usr/bin`. Absolute names are refused."""
    path = b"/".join(part for part in name.split(b"/") if part != b".")
    path = path.removesuffix(b"/")
    if not name or name.startswith(b"/"):
        raise refusal(
            Code.BAD_PATH,
            f"`{shown_name(name)}` cannot be a path in a tree: it must be relative to the root",
            notes=[f"it comes from {origin}"],
        )
    check_path(path, origin)
    return path


def _node(member: tar.Member, storage: Storage, origin: str, source: Origin | None) -> Node:
    kind = _KINDS[member.type]
    is_device = kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE)
    return Node(
        kind,
        0o777 if kind is Kind.SYMLINK else member.mode,
        origin,
        content=StoredContent(storage, member.data_start, member.size)
        if kind is Kind.FILE
        else None,
        target=member.link,
        device=member.device if is_device else None,
        source=source,
    )


def _linked_node(
    member: tar.Member,
    nodes: dict[bytes, Node],
    storage: Storage,
    origin: str,
) -> Node:
    target = _tree_path(member.link, origin)
    node = nodes.get(target)
    if node is None or node.kind is Kind.DIRECTORY or target == ROOT_PATH:
        raise refusal(
            Code.BAD_ARCHIVE,
            "the archive is malformed: a hard link has no file to link to",
            file=storage.name,
            notes=[f"`{shown_name(member.name)}` is a link to `{shown(target)}`"],
        )
    return node
