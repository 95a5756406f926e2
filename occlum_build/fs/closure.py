"""The shared libraries that the programs of a tree need, found as a loader finds them.

ld.so(8), "DESCRIPTION" (search order) and "Dynamic string tokens"; musl,
ldso/dynlink.c. No program is run. There is no `ld.so.cache` in an enclave, so
that only RPATH, RUNPATH and the default directories count; variants in
`glibc-hwcaps` are not looked at, as which of them loads depends on the CPU.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from occlum_build.diagnostic import Diagnostic, DiagnosticError
from occlum_build.fs.elf import Elf, ElfType, read_elf
from occlum_build.fs.problem import Code, refusal, shown, shown_name
from occlum_build.fs.tree import Node, parent_of
from occlum_build.fs.walk import walk


@dataclass(frozen=True, slots=True)
class Loader:
    """A family of dynamic loaders: where it looks when nothing else says where."""

    name: str
    default_directories: tuple[bytes, ...]
    lib_token: bytes


GLIBC: Final = Loader(
    "glibc",
    (b"/lib/x86_64-linux-gnu", b"/usr/lib/x86_64-linux-gnu", b"/lib", b"/usr/lib"),
    b"lib/x86_64-linux-gnu",
)
"""glibc as Debian builds it: `ld.so --help` lists these directories."""

MUSL: Final = Loader("musl", (b"/lib", b"/usr/local/lib", b"/usr/lib"), b"lib")
"""musl, where `/etc/ld-musl-x86_64.path` does not say otherwise."""

_MUSL_PATH_FILE: Final = b"/etc/ld-musl-x86_64.path"
_MUSL_OWN_NAMES: Final = tuple(
    b"lib%b." % name for name in (b"c", b"pthread", b"rt", b"m", b"dl", b"util", b"xnet")
)
_MAX_PATH_FILE_BYTES: Final = 1 << 16


@dataclass(slots=True)
class _Loaded:
    """One object in a program's process: which file, and who asked for it under what name."""

    path: bytes
    elf: Elf
    requester: "_Loaded | None" = None
    name: bytes = b""

    def chain(self) -> Iterator["_Loaded"]:
        """This object, who asked for it, who asked for that, up to the program."""
        here: _Loaded | None = self
        while here is not None:
            yield here
            here = here.requester


@dataclass(slots=True)
class _Found:
    """What the walks have turned up so far."""

    paths: set[bytes] = field(default_factory=set)
    visited: set[bytes] = field(default_factory=set)
    names: set[bytes] = field(default_factory=set)
    missing: dict[bytes, Diagnostic] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Closure:
    """What the programs of a tree need: paths that are there, and what is not, sorted."""

    paths: frozenset[bytes]
    missing: tuple[Diagnostic, ...]


def library_closure(names: Mapping[bytes, Node], selected: set[bytes]) -> frozenset[bytes]:
    """The paths of `names` that the ELF files among `selected` need.

    Symlinks that lead to a library are in the result, each as a path of its own.
    What is missing is refused, all of it at once, with the chain that needs it.
    Plugins (shared objects that no program of the tree links) are taken to be
    loaded by a program that has its own libraries loaded already, and may have
    loaded any of `selected` by its path, as Java's launcher does with `libjvm.so`.
    """
    closure = find_libraries(names, selected)
    if closure.missing:
        raise DiagnosticError(closure.missing)
    return closure.paths


def find_libraries(names: Mapping[bytes, Node], selected: set[bytes]) -> Closure:
    """As `library_closure`, but what is missing or damaged is told and not refused."""
    search = _Search(names, selected)
    objects = [(path, elf) for path in sorted(selected) if (elf := search.elf_at(path))]
    found = _Found()
    programs = [(path, elf) for path, elf in objects if elf.interpreter]
    for path, elf in programs:
        search.load(_Loaded(path, elf), _loader_of(elf.interpreter), found, set())
    is_musl = bool(programs) and all(_loader_of(elf.interpreter) is MUSL for _, elf in programs)
    loaded_by_programs = set(found.names)
    for path, elf in objects:
        if path not in found.visited and elf.type is ElfType.SHARED and not elf.interpreter:
            loader = MUSL if is_musl else GLIBC
            search.load(_Loaded(path, elf), loader, found, set(loaded_by_programs))
    missing = [found.missing[name] for name in sorted(found.missing)]
    return Closure(frozenset(found.paths - selected), (*search.damaged, *missing))


def _loader_of(interpreter: bytes | None) -> Loader:
    return MUSL if interpreter and b"/ld-musl-" in interpreter else GLIBC


class _Search:
    """The look-ups of one closure; each ELF file is read once."""

    def __init__(self, names: Mapping[bytes, Node], selected: set[bytes]) -> None:
        self._names = names
        self._selected = selected
        self._elves: dict[bytes, Elf | None] = {}
        self._selected_names = {path.rpartition(b"/")[2] for path in selected}
        self.damaged: list[Diagnostic] = []

    def elf_at(self, path: bytes) -> Elf | None:
        """The ELF facts of the regular file at `path`, which has no symlinks in it."""
        if path not in self._elves:
            node = self._names.get(path)
            self._elves[path] = None
            if node is not None and node.content is not None:
                try:
                    self._elves[path] = read_elf(node.content, shown(path), node.origin)
                except DiagnosticError as problem:
                    self.damaged.extend(problem.diagnostics)
        return self._elves[path]

    def load(
        self,
        program: _Loaded,
        loader: Loader,
        found: _Found,
        already_loaded: set[bytes],
    ) -> None:
        """Load a program as the loader would, breadth first, and note what it takes."""
        loaded_names = already_loaded | _own_names(program)
        found.visited.add(program.path)
        queue = deque([program])
        if program.elf.interpreter:
            interpreter = self._interpreter(program, found)
            loaded_names |= interpreter
        while queue:
            requester = queue.popleft()
            for name in requester.elf.needed:
                if name in loaded_names or (loader is MUSL and name.startswith(_MUSL_OWN_NAMES)):
                    continue
                loaded_names.add(name)
                library = self._find(requester, name, loader, found)
                if library is not None:
                    found.visited.add(library.path)
                    loaded_names |= _own_names(library)
                    queue.append(library)
        found.names |= loaded_names

    def _interpreter(self, program: _Loaded, found: _Found) -> set[bytes]:
        """Take the interpreter of a program; tell the names under which it is then loaded."""
        wanted = program.elf.interpreter or b""
        where = walk(self._names, wanted)
        elf = None if where.looped else self.elf_at(where.path)
        if elf is None:
            found.missing.setdefault(wanted, _missing_interpreter(program, wanted))
            return set()
        found.paths |= {where.path, *where.links}
        found.visited.add(where.path)
        return {wanted} | _own_names(_Loaded(where.path, elf))

    def _find(
        self, requester: _Loaded, name: bytes, loader: Loader, found: _Found
    ) -> _Loaded | None:
        """The library that a loader would take; one that is in the tree already goes first."""
        directories = list(self._directories(requester, loader))
        candidates = [
            where
            for path in _candidate_paths(requester, name, loader, directories)
            if not (where := walk(self._names, path)).looped
        ]
        present = self._selected | found.paths
        candidates.sort(key=lambda where: not present.issuperset({where.path, *where.links}))
        for where in candidates:
            elf = self.elf_at(where.path)
            if elf is not None:
                found.paths |= {where.path, *where.links}
                return _Loaded(where.path, elf, requester, name)
        *_, first = requester.chain()
        if first.elf.interpreter or name not in self._selected_names:
            found.missing.setdefault(name, _missing_library(requester, name, directories))
        return None

    def _directories(self, requester: _Loaded, loader: Loader) -> Iterator[bytes]:
        """The directories in which a loader looks, in its order.

        Relative ones depend on where a program is started, and are passed over.
        """
        if loader is MUSL:
            for one in requester.chain():
                for path in (one.elf.rpath, one.elf.runpath):
                    yield from _path_list(path, one, loader)
            yield from self._musl_directories()
            return
        if requester.elf.runpath is None:
            for one in requester.chain():
                if one.elf.runpath is None:
                    yield from _path_list(one.elf.rpath, one, loader)
        yield from _path_list(requester.elf.runpath, requester, loader)
        if not requester.elf.ignores_default_directories:
            yield from loader.default_directories

    def _musl_directories(self) -> Iterator[bytes]:
        path = walk(self._names, _MUSL_PATH_FILE).path
        node = self._names.get(path) if path in self._selected else None
        if node is None or node.content is None or node.size > _MAX_PATH_FILE_BYTES:
            yield from MUSL.default_directories
            return
        text = node.content.read(0, node.size)
        for directory in text.replace(b"\n", b":").split(b":"):
            if directory.startswith(b"/"):
                yield directory


def _candidate_paths(
    requester: _Loaded, name: bytes, loader: Loader, directories: list[bytes]
) -> list[bytes]:
    """Where a library of this name may lie. A name with a slash is a path, and searched nowhere.

    A relative one would depend on where the program is started.
    """
    if b"/" not in name:
        return [directory + b"/" + name for directory in dict.fromkeys(directories)]
    path = _expanded(name, requester, loader)
    return [path] if path.startswith(b"/") else []


def _own_names(one: _Loaded) -> set[bytes]:
    """The names by which an object counts as loaded from now on."""
    return {b"/" + one.path} | ({one.elf.soname} if one.elf.soname else set())


def _path_list(path: bytes | None, owner: _Loaded, loader: Loader) -> Iterator[bytes]:
    for part in (path or b"").split(b":"):
        directory = _expanded(part, owner, loader)
        if directory.startswith(b"/"):
            yield directory.rstrip(b"/") or b"/"


def _expanded(text: bytes, owner: _Loaded, loader: Loader) -> bytes:
    """`text` with the dynamic string tokens replaced; `$PLATFORM` as on any x86-64."""
    origin = b"/" + parent_of(owner.path)
    tokens = {b"ORIGIN": origin, b"LIB": loader.lib_token, b"PLATFORM": b"x86_64"}
    for token, value in tokens.items():
        text = text.replace(b"${%b}" % token, value).replace(b"$" + token, value)
    return text


def _missing_interpreter(program: _Loaded, wanted: bytes) -> Diagnostic:
    return refusal(
        Code.MISSING_LIBRARY,
        f"no dynamic loader `{shown_name(wanted)}` for `{shown(program.path)}`",
        notes=[f"`{shown(program.path)}` names it as its interpreter"],
        helps=["add the package that holds it: libc6 for glibc, musl for musl"],
    ).diagnostics[0]


def _missing_library(requester: _Loaded, name: bytes, searched: list[bytes]) -> Diagnostic:
    wanted = shown_name(name)
    needs = [
        f"`{shown(one.requester.path)}` needs `{shown_name(one.name)}`"
        for one in requester.chain()
        if one.requester is not None
    ]
    where = ", ".join(shown_name(directory) for directory in dict.fromkeys(searched))
    return refusal(
        Code.MISSING_LIBRARY,
        f"no library `{wanted}` for `{shown(requester.path)}`",
        notes=[*needs, f"searched: {where or 'nowhere'}"],
        helps=["add the package or the file that holds it, or the directory to RUNPATH"],
    ).diagnostics[0]
