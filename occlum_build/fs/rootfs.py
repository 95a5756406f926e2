"""A root file system from a specification: files, links, layers, and the libraries they need.

Nothing overrides anything: two different things for one path are a conflict, so
that the order of layers means nothing. As `dpkg` does, what a layer has in
`/lib` lands in `/usr/lib` when `/lib` is a symlink to there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from occlum_build.diagnostic import Diagnostic, DiagnosticError, near
from occlum_build.fs.archive import read_archive
from occlum_build.fs.closure import library_closure
from occlum_build.fs.content import HostContent, Storage, same_bytes
from occlum_build.fs.glob import os_bytes
from occlum_build.fs.origins import read_origins
from occlum_build.fs.problem import Code, refusal, shown
from occlum_build.fs.specification import CopyItem, Layer, Specification
from occlum_build.fs.tree import (
    IMPLIED_DIRECTORY_MODE,
    ROOT_PATH,
    Kind,
    Node,
    Origin,
    Tree,
    directory,
    joined,
    name_of,
    parent_of,
    regular_file,
    symlink,
)
from occlum_build.fs.walk import MAX_LINKS, check_symlinks_stay_inside, walk

_Claim = tuple[bytes, Node]


def assemble(specification: Specification) -> Tree:
    """The tree of a specification, checked: no conflict, no missing library, no escaping link."""
    archives = _Archives(specification)
    own = list(_own_claims(specification))
    layered = list(_layer_claims(specification.layers, archives))
    links = _settled_links([*own, *layered])
    merged = _Merge(links)
    merged.add(own, directories_yield=False)
    merged.add(layered, directories_yield=True)
    tree = merged.tree()
    if specification.closure:
        candidates = [
            claim for tar in sorted(specification.closure_from) for claim in archives.tree(tar)
        ]
        tree = _with_libraries(tree, links, candidates)
    tree = _with_copies(tree, specification.copies)
    check_symlinks_stay_inside(tree)
    return tree


def _with_copies(tree: Tree, copies: Iterable[CopyItem]) -> Tree:
    """The tree with files that are copies of others, which links may lead to."""
    added: list[_Claim] = []
    for item in copies:
        node = tree.names.get(walk(tree.names, item.of).path)
        if node is None or node.kind is not Kind.FILE:
            message = f"`{shown(item.path)}` cannot be a copy of `{shown(item.of)}`"
            raise refusal(Code.BAD_SPECIFICATION, f"{message}: there is no such file")
        place = _placed(tree.names, item.path)
        if place in tree.names:
            raise DiagnosticError([_conflict(place, tree.names[place], node)])
        added.append((place, replace(node, origin=f"the copy of `{shown(item.of)}`")))
    return Tree([*tree, *added])


class _Archives:
    """The canonical tars that a specification names; each is read once."""

    def __init__(self, specification: Specification) -> None:
        self._origins = specification.origins
        self._trees: dict[tuple[str, str], Tree] = {}

    def tree(self, tar: str, label: str | None = None, source: Origin | None = None) -> Tree:
        origin = f"layer `{label or tar}`"
        if (tar, origin) not in self._trees:
            known = read_origins(Path(self._origins[tar])) if tar in self._origins else {}
            fallback = source or {"label": label or tar}
            self._trees[tar, origin] = read_archive(
                tar, origin, lambda path: known.get(path, fallback)
            )
        return self._trees[tar, origin]


def _own_claims(specification: Specification) -> Iterator[_Claim]:
    """What the specification itself puts into the tree."""
    origin = f"`{specification.label}`" if specification.label else "the specification"
    for item in specification.directories:
        yield item.path, directory(item.mode, origin)
    for link in specification.symlinks:
        yield link.path, symlink(link.target, f"symlink `{shown(link.path)}` of {origin}")
    for file in specification.files:
        source = os_bytes(file.source)
        storage = Storage.open(source)
        mode = file.mode
        if mode is None:
            mode = 0o755 if storage.is_executable else 0o644
        content = HostContent(source, storage.size)
        yield file.path, regular_file(mode, content, f"file `{file.source}`", file.origin)


def _layer_claims(layers: Iterable[Layer], archives: _Archives) -> Iterator[_Claim]:
    """What the layers' patterns choose, directories above included."""
    matched: dict[str, bool] = {}
    paths: set[str] = set()
    for layer in sorted(layers, key=lambda one: (one.label, one.tar)):
        tree = archives.tree(layer.tar, layer.label, layer.origin)
        chosen = set()
        for path, _ in tree:
            including = [pattern for pattern in layer.include if pattern.matches(path)]
            matched |= {pattern.text: True for pattern in including}
            if layer.include and not including:
                continue
            if not any(pattern.matches(path) for pattern in layer.exclude):
                chosen |= set(_with_directories_above(path))
        unmatched = [one.text for one in layer.include if one.text not in matched]
        matched |= dict.fromkeys(unmatched, False)
        if unmatched:
            paths |= {shown(path) for path, _ in tree}
        yield from ((path, node) for path, node in tree if path in chosen)
    _check_patterns_match(matched, paths)


def _with_directories_above(path: bytes) -> Iterator[bytes]:
    while path:
        yield path
        path = parent_of(path)


def _check_patterns_match(matched: Mapping[str, bool], paths: set[str]) -> None:
    """Refuse an `include` that chooses nothing in any layer that has it: it is a typo."""
    found: list[Diagnostic] = []
    for text in sorted(text for text, is_matched in matched.items() if not is_matched):
        meant = near("/" + text.removeprefix("/"), paths)
        helps = [f"the layer has `{meant}`"] if meant else []
        message = f"the pattern `{text}` matches nothing in its layers"
        found += refusal(Code.UNUSED_PATTERN, message, helps=helps).diagnostics
    if found:
        raise DiagnosticError(found)


def _settled_links(
    claims: Iterable[_Claim], known: Mapping[bytes, Node] | None = None
) -> dict[bytes, Node]:
    """The symlinks among `claims`, by the paths where they end up through each other."""
    raw = [(path, node) for path, node in claims if node.kind is Kind.SYMLINK]
    links: dict[bytes, Node] = dict(raw) | dict(known or {})
    for _ in range(MAX_LINKS):
        settled = {_placed(links, path): node for path, node in raw} | dict(known or {})
        if settled.keys() == links.keys():
            break
        links = settled
    return links


def _placed(links: Mapping[bytes, Node], path: bytes) -> bytes:
    """Where `path` lies when the directory it is in is reached through symlinks."""
    if path == ROOT_PATH:
        return path
    return joined(walk(links, parent_of(path)).path, name_of(path))


@dataclass(slots=True)
class _Merge:
    """The tree as it grows; every conflict is kept, to be reported with the others."""

    links: Mapping[bytes, Node]
    names: dict[bytes, Node] = field(default_factory=dict)
    implied: list[_Claim] = field(default_factory=list)
    conflicts: list[Diagnostic] = field(default_factory=list)

    def add(self, claims: Iterable[_Claim], *, directories_yield: bool) -> None:
        """Put each claim where it belongs. Yielding directories leave a mode that is known."""
        settled = dict(self.names) if directories_yield else {}
        for path, node in claims:
            place = _placed(self.links, path)
            if node.kind is Kind.DIRECTORY and place in self.links:
                self.implied.append((walk(self.links, place).path, node))
                continue
            known = self.names.setdefault(place, node)
            if known is node or _is_same(known, node):
                continue
            if _both_directories(known, node) and place in settled:
                continue
            self.conflicts.append(_conflict(place, known, node))

    def tree(self) -> Tree:
        """The tree; all conflicts at once if there are any."""
        if self.conflicts:
            raise DiagnosticError(self.conflicts)
        for path, node in self.implied:
            self.names.setdefault(path, directory(IMPLIED_DIRECTORY_MODE, node.origin))
        return Tree(self.names.items())


def _with_libraries(tree: Tree, links: Mapping[bytes, Node], candidates: list[_Claim]) -> Tree:
    """The tree with what its programs need from `candidates`, and nothing else of them."""
    free = [claim for claim in candidates if claim[0] not in tree.names]
    all_links = _settled_links(free, known=links)
    offers: dict[bytes, list[Node]] = {}
    for path, node in candidates:
        place = _placed(all_links, path)
        is_redirected = node.kind is Kind.DIRECTORY and place in all_links
        if place not in tree.names and not is_redirected:
            offers.setdefault(place, []).append(node)
    names = {path: nodes[0] for path, nodes in offers.items()} | dict(tree.names)
    taken: set[bytes] = set()
    for path in library_closure(names, set(tree.names)):
        taken |= {above for above in _with_directories_above(path) if above in offers}
    conflicts = [
        _conflict(path, offers[path][0], rival)
        for path in sorted(taken)
        for rival in offers[path][1:]
        if not _is_same(offers[path][0], rival)
    ]
    if conflicts:
        raise DiagnosticError(conflicts)
    return Tree([*tree, *((path, names[path]) for path in taken)])


def _is_same(one: Node, other: Node) -> bool:
    """Whether it makes no difference which of two nodes stands at a path."""
    if (one.kind, one.mode, one.target, one.device) != (
        *(other.kind, other.mode, other.target, other.device),
    ):
        return False
    if one.content is None or other.content is None:
        return True
    return same_bytes(one.content, other.content)


def _both_directories(one: Node, other: Node) -> bool:
    return one.kind is Kind.DIRECTORY and other.kind is Kind.DIRECTORY


def _conflict(path: bytes, one: Node, other: Node) -> Diagnostic:
    if _both_directories(one, other):
        help_text = f"say the mode of `{shown(path)}` in `directories`"
    else:
        help_text = "leave one of them out: a layer's `exclude` does that"
    return refusal(
        Code.CONFLICT,
        f"two different things for `{shown(path)}`",
        notes=[
            f"a {one.kind.value} with mode {one.mode:04o} from {one.origin}",
            f"a {other.kind.value} with mode {other.mode:04o} from {other.origin}",
        ],
        helps=[help_text],
    ).diagnostics[0]
