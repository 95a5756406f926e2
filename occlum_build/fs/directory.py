"""A tree from a directory of the host.

Types, permission bits, sizes, symlink targets and hard links are taken over;
owners, times, listing order and extended attributes are not looked at. Modes
are part of the tree, so a directory that a umask has touched is another tree.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from occlum_build.fs.content import HostContent
from occlum_build.fs.problem import Code, refusal, unreadable
from occlum_build.fs.tree import ROOT_PATH, Kind, Node, Tree, joined

_KINDS: Final = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER_DEVICE,
    stat.S_IFBLK: Kind.BLOCK_DEVICE,
    stat.S_IFIFO: Kind.FIFO,
}


def read_directory(root: str | Path) -> Tree:
    """The tree below `root`, which itself becomes the tree's root."""
    base = os.fsencode(root)
    try:
        status = os.stat(base)  # noqa: PTH116 (paths of the host are bytes here)
        if not stat.S_ISDIR(status.st_mode):
            raise refusal(Code.UNREADABLE, f"`{root}` is not a directory")
        return Tree(_entries(base, status))
    except OSError as failure:
        raise unreadable(os.fsdecode(failure.filename or base), failure) from failure


def _entries(base: bytes, status: os.stat_result) -> Iterator[tuple[bytes, Node]]:
    linked: dict[tuple[int, int], Node] = {}
    yield ROOT_PATH, _node(base, status)
    todo = [ROOT_PATH]
    while todo:
        directory_path = todo.pop()
        with os.scandir(os.path.join(base, directory_path)) as listing:  # noqa: PTH118
            for item in listing:
                path = joined(directory_path, item.name)
                status = item.stat(follow_symlinks=False)
                identity = (status.st_dev, status.st_ino)
                node = linked.get(identity) or _node(item.path, status)
                if node.kind is Kind.DIRECTORY:
                    todo.append(path)
                elif status.st_nlink > 1:
                    linked[identity] = node
                yield path, node


def _node(host_path: bytes, status: os.stat_result) -> Node:
    shown_path = os.fsdecode(host_path)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        raise refusal(
            Code.BAD_NODE,
            f"`{shown_path}` is a socket or another kind of file that an image cannot hold",
            helps=["leave it out: a program makes its sockets when it runs"],
        )
    device = None
    if kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
        device = (os.major(status.st_rdev), os.minor(status.st_rdev))
    return Node(
        kind,
        stat.S_IMODE(status.st_mode),
        f"`{shown_path}`",
        content=HostContent(host_path, status.st_size) if kind is Kind.FILE else None,
        target=os.readlink(host_path) if kind is Kind.SYMLINK else b"",  # noqa: PTH115
        device=device,
    )
