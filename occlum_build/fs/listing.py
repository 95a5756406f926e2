"""A tree as lines of text, in the manner of `tar tv` without owners and times."""

from collections.abc import Iterator
from typing import Final

from occlum_build.fs.problem import shown, shown_name
from occlum_build.fs.tree import Kind, Node, Tree

_LETTERS: Final = {
    Kind.FILE: "-",
    Kind.DIRECTORY: "d",
    Kind.SYMLINK: "l",
    Kind.CHARACTER_DEVICE: "c",
    Kind.BLOCK_DEVICE: "b",
    Kind.FIFO: "p",
}


def lines(tree: Tree) -> Iterator[str]:
    """One line a name: type, octal mode, size or device number, path, target."""
    first_names: dict[int, bytes] = {}
    for path, node in tree:
        first = first_names.setdefault(id(node), path)
        name = shown(path)
        if first != path:
            name += f" link to {shown(first)}"
        if node.kind is Kind.SYMLINK:
            name += f" -> {shown_name(node.target)}"
        yield f"{_LETTERS[node.kind]}{node.mode:04o} {_extent(node):>12} {_visible(name)}"


def _extent(node: Node) -> str:
    if node.device is not None:
        return f"{node.device[0]},{node.device[1]}"
    return str(node.size)


def _visible(text: str) -> str:
    """The text on one line: no name in an image drives a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
