"""The file tree: what an image holds, and nothing that a host adds.

Paths are bytes, relative to the root, without `.`, `..`, doubled or trailing
slashes; the root itself is `b""`. There is no owner (everything is root's), no
time and no extended attribute: two trees that differ only in those are equal.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from occlum_build.fs.content import Content
from occlum_build.fs.problem import Code, refusal, shown, shown_name

ROOT_PATH: Final = b""
IMPLIED_DIRECTORY_MODE: Final = 0o755
MAX_NAME_BYTES: Final = 255  # NAME_MAX
MAX_PATH_BYTES: Final = 4095  # PATH_MAX, less the NUL
MAX_MODE: Final = 0o7777
MAX_DEVICE_MAJOR: Final = (1 << 12) - 1  # Linux, include/linux/kdev_t.h, new_encode_dev
MAX_DEVICE_MINOR: Final = (1 << 20) - 1


Origin = Mapping[str, object]
"""Where a file comes from, as a bill of materials wants to know it (see `origins`)."""


class Kind(Enum):
    """The file types that a tree can hold. Sockets are not among them: a bound one is no file."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    CHARACTER_DEVICE = "character device"
    BLOCK_DEVICE = "block device"
    FIFO = "fifo"


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """What a name stands for. Names that share one node object are hard links to one file.

    `mode` is the permission bits, set-id bits and sticky bit, never the type.
    `origin` says for messages where the node came from, and `source` for bills of
    materials; neither is part of the tree.
    """

    kind: Kind
    mode: int
    origin: str
    content: Content | None = None
    target: bytes = b""
    device: tuple[int, int] | None = None
    source: Origin | None = None

    def __post_init__(self) -> None:
        """Refuse a node that no file system could hold."""
        if not 0 <= self.mode <= MAX_MODE:
            raise self._refused(f"mode {self.mode:o} is not a permission mode")
        if (self.content is not None) != (self.kind is Kind.FILE):
            raise self._refused("a regular file has content, and nothing else has")
        if self.kind is Kind.SYMLINK:
            if not 0 < len(self.target) <= MAX_PATH_BYTES or b"\0" in self.target:
                raise self._refused(f"the target `{shown_name(self.target)}` cannot be a path")
        elif self.target:
            raise self._refused("only a symlink has a target")
        if self.kind in (Kind.CHARACTER_DEVICE, Kind.BLOCK_DEVICE):
            major, minor = self.device or (-1, -1)
            if not (0 <= major <= MAX_DEVICE_MAJOR and 0 <= minor <= MAX_DEVICE_MINOR):
                raise self._refused(f"device number {major}:{minor} is out of range")
        elif self.device is not None:
            raise self._refused("only a device has a device number")

    @property
    def size(self) -> int:
        """Bytes that `stat` would tell for a file or a symlink; 0 for every other kind."""
        return self.content.size if self.content is not None else len(self.target)

    def _refused(self, why: str) -> Exception:
        message = f"a {self.kind.value} is malformed: {why}"
        return refusal(Code.BAD_NODE, message, notes=[f"it comes from {self.origin}"])


def directory(mode: int, origin: str) -> Node:
    """A directory."""
    return Node(Kind.DIRECTORY, mode, origin)


def regular_file(mode: int, content: Content, origin: str, source: Origin | None = None) -> Node:
    """A regular file."""
    return Node(Kind.FILE, mode, origin, content=content, source=source)


def symlink(target: bytes, origin: str) -> Node:
    """A symlink; its mode is 0777, as Linux shows every symlink's."""
    return Node(Kind.SYMLINK, 0o777, origin, target=target)


class Tree:
    """A whole file tree, checked: every name has its directory, no name stands for two things.

    Iteration is in order of the paths' bytes, which puts a directory before what
    is in it. What the nodes' contents hold is not read and not checked.
    """

    __slots__ = ("_names",)

    def __init__(self, entries: Iterable[tuple[bytes, Node]]) -> None:
        """Check and sort `entries`; a directory that is only implied gets mode 0755."""
        names: dict[bytes, Node] = {}
        for path, node in entries:
            check_path(path, node.origin)
            known = names.setdefault(path, node)
            if known is not node:
                raise refusal(
                    Code.DUPLICATE_PATH,
                    f"`{shown(path)}` is there twice",
                    notes=[f"once from {known.origin}", f"once from {node.origin}"],
                )
        for path, node in list(names.items()):
            _imply_directories(names, path, node)
        names.setdefault(ROOT_PATH, directory(IMPLIED_DIRECTORY_MODE, "the root"))
        _check_hard_links(names)
        self._names = dict(sorted(names.items()))

    def __iter__(self) -> Iterator[tuple[bytes, Node]]:
        return iter(self._names.items())

    def __len__(self) -> int:
        return len(self._names)

    @property
    def names(self) -> Mapping[bytes, Node]:
        """Every path and its node."""
        return self._names


def parent_of(path: bytes) -> bytes:
    """The directory that `path` lies in; the root's is the root."""
    return path.rpartition(b"/")[0]


def name_of(path: bytes) -> bytes:
    """The last part of `path`."""
    return path.rpartition(b"/")[2]


def joined(directory_path: bytes, name: bytes) -> bytes:
    """The path of `name` in a directory."""
    return directory_path + b"/" + name if directory_path else name


def check_path(path: bytes, origin: str) -> None:
    """Refuse a path that is not in the one form that trees use."""
    if path == ROOT_PATH:
        return
    why = None
    if len(path) > MAX_PATH_BYTES:
        why = f"longer than {MAX_PATH_BYTES} bytes"
    elif b"\0" in path:
        why = "has a NUL byte"
    else:
        for name in path.split(b"/"):
            if name in (b"", b".", b".."):
                why = f"has a part `{name.decode()}`"
            elif len(name) > MAX_NAME_BYTES:
                why = f"has a name of more than {MAX_NAME_BYTES} bytes"
    if why is not None:
        raise refusal(
            Code.BAD_PATH,
            f"`{shown_name(path)}` cannot be a path in a tree: {why}",
            notes=[f"it comes from {origin}"],
        )


def _imply_directories(names: dict[bytes, Node], path: bytes, node: Node) -> None:
    """Make sure that `path` lies in a directory, adding those that nobody named."""
    while path:
        path = parent_of(path)
        known = names.get(path)
        if known is None:
            names[path] = directory(IMPLIED_DIRECTORY_MODE, node.origin)
            continue
        if known.kind is not Kind.DIRECTORY:
            raise refusal(
                Code.DUPLICATE_PATH,
                f"`{shown(path)}` is a {known.kind.value}, but something lies in it",
                notes=[
                    f"the {known.kind.value} comes from {known.origin}",
                    f"what lies in it comes from {node.origin}",
                ],
            )
        return


def _check_hard_links(names: Mapping[bytes, Node]) -> None:
    seen: dict[int, bytes] = {}
    for path, node in names.items():
        if node.kind is Kind.DIRECTORY and seen.setdefault(id(node), path) != path:
            raise refusal(
                Code.BAD_NODE,
                f"directory `{shown(path)}` is a hard link to `{shown(seen[id(node)])}`",
                notes=[f"it comes from {node.origin}"],
            )
