"""The root file system of a suite: its files, and of the host what its programs need."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from occlum_build.conformance.suite import Suite
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error
from occlum_build.fs.archive import write_archive
from occlum_build.fs.closure import GLIBC, MUSL, find_libraries
from occlum_build.fs.content import HostContent
from occlum_build.fs.directory import read_directory
from occlum_build.fs.tree import Node, Tree, directory, regular_file, symlink
from occlum_build.output_file import replacing

_Entry = tuple[bytes, Node]

_ORIGIN: Final = "the host"
_LIBRARIES: Final = (*GLIBC.default_directories, *MUSL.default_directories, b"/lib64")
_MERGED: Final = (b"bin", b"lib", b"lib32", b"lib64", b"libx32", b"sbin")
_OPENED_LATER: Final = (b"libgcc_s.so.1",)
"""Libraries that no program names and glibc opens: to cancel or end a thread."""

_DATA: Final = (
    b"/etc/group",
    b"/etc/hosts",
    b"/etc/localtime",
    b"/etc/nsswitch.conf",
    b"/etc/passwd",
    b"/etc/protocols",
    b"/etc/resolv.conf",
    b"/etc/services",
    b"/usr/lib/locale/C.utf8",
)
"""What the C library reads of the host: names of users and machines, the time zone, and what a
character is."""

_MODE: Final = 0o755
_STICKY: Final = 0o1777


def write_tree(suite: Suite, tools: Sequence[str], output: Path) -> tuple[Diagnostic, ...]:
    """Write the canonical tar of a suite's root file system; the libraries that are missing.

    `tools` are programs of the host that the suite starts, and directories that it reads, by
    absolute path; the libraries of all programs come along from where the host's loader looks
    by default, with what the C library opens by itself.
    A program without its libraries starts on neither side, so that it spoils nothing.

    Raises:
        DiagnosticError: a tool is missing.
    """
    names = dict(_suite_entries(suite))
    for tool in tools:
        if not Path(tool).is_absolute() or not Path(tool).exists():
            raise DiagnosticError(
                error("OB0703", f"the host has no `{tool}`", helps=("name it from `/`",))
            )
        names |= dict(_host_entries(os.fsencode(tool)))
    libraries = dict(_host_libraries())
    later = {path: node for path, node in libraries.items() if path.endswith(_OPENED_LATER)}
    offers = libraries | names
    names = later | dict(_host_data()) | names
    closure = find_libraries(offers, set(names))
    names |= {path: offers[path] for path in closure.paths}
    with replacing(output) as archive:
        write_archive(Tree(names.items()), archive)
    return closure.missing


def _suite_entries(suite: Suite) -> Iterator[_Entry]:
    prefix = os.fsencode(suite.root)[1:]
    for path, node in read_directory(suite.directory):
        yield (prefix + b"/" + path if path else prefix), node
    yield b"tmp", directory(_STICKY, "the suite")
    for name in (b"dev", b"proc", b"root", b"sys"):
        yield name, directory(_MODE, "the suite")
    for name in _MERGED:
        if os.path.islink(b"/" + name):  # noqa: PTH114  # paths of the host are bytes here
            yield name, symlink(os.readlink(b"/" + name), _ORIGIN)  # noqa: PTH115


def _host_libraries() -> Iterator[_Entry]:
    """Every shared object in the directories where the host's loader looks by default."""
    for name in dict.fromkeys(os.path.realpath(one) for one in _LIBRARIES):
        for entry in os.scandir(name) if os.path.isdir(name) else ():  # noqa: PTH112
            if b".so" in entry.name:
                yield from _host_entries(entry.path)


def _host_data() -> Iterator[_Entry]:
    """The files and directories of `_DATA` that the host has."""
    for path in _DATA:
        if os.path.isdir(path):  # noqa: PTH112
            for name in sorted(os.listdir(path)):  # noqa: PTH208
                yield from _host_entries(os.path.join(path, name))  # noqa: PTH118
        else:
            yield from _host_entries(path)


def _host_entries(path: bytes) -> Iterator[_Entry]:
    """A file or directory of the host with the links that lead to it, each where it really is."""
    folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120
    here = os.path.join(folder, os.path.basename(path))  # noqa: PTH118, PTH119
    if os.path.islink(here):  # noqa: PTH114
        target = os.readlink(here)  # noqa: PTH115
        yield here[1:], symlink(target, _ORIGIN)
        here = os.path.join(folder, target)  # noqa: PTH118
        if os.path.exists(here):  # noqa: PTH110
            yield from _host_entries(here)
    elif os.path.isdir(here):  # noqa: PTH112
        prefix = here[1:]
        for below, node in read_directory(os.fsdecode(here)):
            yield (prefix + b"/" + below if below else prefix), node
    elif os.path.isfile(here):  # noqa: PTH113
        size = os.stat(here).st_size  # noqa: PTH116
        yield here[1:], regular_file(_MODE, HostContent(here, size), _ORIGIN)
