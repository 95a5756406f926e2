"""How a path is walked inside a tree: through symlinks, never out of the root."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.problem import Code, refusal, shown, shown_name
from occlum_build.fs.tree import ROOT_PATH, Kind, Node, Tree, joined, parent_of

MAX_LINKS: Final = 40
"""Symlinks followed in one walk before it counts as a loop; Linux's own MAXSYMLINKS."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a path leads: `path` holds no symlink in any part, and may not exist.

    `links` are the symlinks that were followed, in order. `left_root` says that
    a `..` went above the root, where the kernel would stay; `looped`, that the
    walk gave up after `MAX_LINKS` symlinks.
    """

    path: bytes
    links: tuple[bytes, ...] = ()
    left_root: bool = False
    looped: bool = False


def walk(names: Mapping[bytes, Node], path: bytes, start: bytes = ROOT_PATH) -> Walk:
    """Follow `path` from directory `start`, symlinks in every part included."""
    here = ROOT_PATH if path.startswith(b"/") else start
    todo = [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
    links: list[bytes] = []
    left_root = False
    while todo:
        part = todo.pop()
        if part == b"..":
            left_root = left_root or here == ROOT_PATH
            here = parent_of(here)
            continue
        step = joined(here, part)
        node = names.get(step)
        if node is None or node.kind is not Kind.SYMLINK:
            here = step
            continue
        if len(links) == MAX_LINKS:
            return Walk(step, tuple(links), left_root, looped=True)
        links.append(step)
        if node.target.startswith(b"/"):
            here = ROOT_PATH
        todo += [name for name in reversed(node.target.split(b"/")) if name not in (b"", b".")]
    return Walk(here, tuple(links), left_root)


def check_symlinks_stay_inside(tree: Tree) -> None:
    """Refuse symlinks that walk above the root with `..`; all of them are reported.

    An absolute target starts at the enclave's own root and is fine, and so is
    one that does not exist.
    """
    found = [
        refusal(
            Code.ESCAPING_SYMLINK,
            f"symlink `{shown(path)}` leads out of the root",
            notes=[f"its target is `{shown_name(node.target)}`", f"it comes from {node.origin}"],
            helps=["a target that starts with `/` counts from the root of the enclave"],
        ).diagnostics[0]
        for path, node in tree
        if node.kind is Kind.SYMLINK and walk(tree.names, node.target, parent_of(path)).left_root
    ]
    if found:
        raise DiagnosticError(found)
