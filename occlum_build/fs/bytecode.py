"""The compiled modules of Python files, as the interpreter of a file tree writes them.

An image is read-only and no maintainer script has run in it, so that without these a
program compiles each module that it imports, at each start. They are made as
`py_compile` makes them, with time and size of the source (PEP 552 calls it
timestamp-based): in an image every file is of time 0.
"""

import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import Diagnostic, DiagnosticError
from occlum_build.fs.closure import library_closure
from occlum_build.fs.content import HostContent, chunks
from occlum_build.fs.elf import read_elf
from occlum_build.fs.glob import Pattern
from occlum_build.fs.problem import Code, reason, refusal, shown, shown_name
from occlum_build.fs.tree import Kind, Node, Tree, parent_of, regular_file
from occlum_build.fs.walk import walk

_COMPILER: Final = Path(__file__).with_name("compile_modules.py")
_SUFFIX: Final = b".py"
_PYTHON: Final = re.compile(rb"(?:.*/)?bin/python[0-9.]*")
_MODE: Final = 0o644
_EXECUTABLE: Final = 0o755
_ROOT: Final = "root"
_SOURCES: Final = "sources"
_OUTPUT: Final = "compiled"


def compiled_modules(
    python: Tree,
    interpreter: bytes,
    trees: Sequence[Tree],
    exclude: Sequence[Pattern],
    folder: Path,
) -> Tree:
    """The compiled modules, and they alone, of all `*.py` of `trees` that no pattern excludes.

    A module that a tree has compiled already is left out. The program at the path
    `interpreter` of the tree `python` runs on this machine, with the loader, the libraries and
    the modules of its tree. `folder` is an empty directory, which must last as long as the result.
    Raises DiagnosticError with every file that does not compile.
    """
    sources = dict(_sources(trees, exclude))
    for path, node in sources.items():
        _write(folder / _SOURCES, path, node)
    command = _install(python, interpreter, folder / _ROOT)
    places = _compile(command, sorted(sources), folder)
    known = {path for tree in trees for path in tree.names}
    return Tree(
        (place, _compiled(folder / _OUTPUT, place, sources[source]))
        for source, place in places.items()
        if place not in known
    )


def _install(python: Tree, interpreter: bytes, root: Path) -> list[bytes]:
    """Put an interpreter and what it needs into `root`; the words that start it there."""
    names = python.names
    program = walk(names, interpreter).path
    node = names.get(program)
    if node is None or node.content is None:
        message = f"there is no Python at `{shown(interpreter.lstrip(b'/'))}`"
        raise refusal(Code.NO_INTERPRETER, message, helps=_pythons(names))
    elf = read_elf(node.content, shown(program), node.origin)
    if elf is None:
        message = f"`{shown(program)}` is no program for x86-64 Linux"
        raise refusal(Code.NO_INTERPRETER, message, notes=[f"it comes from {node.origin}"])
    _write(root, program, node)
    prefix = parent_of(parent_of(program))
    for path, other in names.items():
        if other.kind is Kind.FILE and path.startswith(prefix) and path.endswith(_SUFFIX):
            _write(root, path, other)
    if elf.interpreter is None:
        return [_host_path(root, program)]
    directories = set()
    for path in library_closure(names, {program}):
        library = names[walk(names, path).path]
        if library.kind is Kind.FILE:
            _write(root, path, library)
            directories.add(_host_path(root, parent_of(path)))
    loader = _host_path(root, walk(names, elf.interpreter).path)
    Path(os.fsdecode(loader)).chmod(_EXECUTABLE)
    search = b":".join(sorted(directories))
    return [loader, b"--library-path", search, _host_path(root, program)]


def _pythons(names: Mapping[bytes, Node]) -> list[str]:
    found = sorted(shown(path) for path in names if _PYTHON.fullmatch(path))
    return [f"the tree has {' and '.join(f'`{path}`' for path in found)}"] if found else []


def _compile(
    command: Sequence[bytes], sources: Sequence[bytes], folder: Path
) -> Mapping[bytes, bytes]:
    """Compile `sources`; where the module of each lies below the output."""
    words = _said_by(command, sources, folder).split(b"\0")
    problems: list[Diagnostic] = []
    for source, why in zip(sources, words[1::2], strict=True):
        if why:
            message = f"`{shown(source)}` does not compile"
            problems += refusal(
                Code.NOT_COMPILED,
                message,
                notes=[shown_name(why)],
                helps=["leave it out with `exclude` if no program imports it"],
            ).diagnostics
    if problems:
        raise DiagnosticError(problems)
    return dict(zip(sources, words[0:-1:2], strict=True))


def _said_by(command: Sequence[bytes], sources: Sequence[bytes], folder: Path) -> bytes:
    """What `compile_modules` says, with `command` as its interpreter."""
    # alone in its directory, which is the first place where an interpreter looks for modules
    script = folder / "script" / _COMPILER.name
    script.parent.mkdir()
    script.write_bytes(_COMPILER.read_bytes())
    options = (b"-S", b"-s", b"-B", b"-W", b"ignore")
    try:
        run = subprocess.run(
            [*command, *options, script, folder / _SOURCES, folder / _OUTPUT],
            input=b"".join(path + b"\0" for path in sources),
            capture_output=True,
            env={"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"},
            check=False,
        )
    except OSError as failure:
        message = f"the interpreter cannot be started: {reason(failure)}"
        raise refusal(Code.NO_INTERPRETER, message) from failure
    if run.returncode or run.stdout.count(b"\0") != 2 * len(sources):
        last = run.stderr.strip().rpartition(b"\n")[2]
        message = f"the interpreter ended with status {run.returncode}"
        raise refusal(Code.NO_INTERPRETER, message, notes=[f"it said: {shown_name(last)}"])
    return run.stdout


def _write(root: Path, path: bytes, node: Node) -> None:
    """Write the file `node` to `path` below `root`."""
    assert node.content is not None  # noqa: S101 (callers choose files)
    file = Path(os.fsdecode(_host_path(root, path)))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as output:
        output.writelines(chunks(node.content))
    file.chmod(_EXECUTABLE if node.mode & stat.S_IXUSR else _MODE)


def _host_path(root: Path, path: bytes) -> bytes:
    return os.fsencode(root) + b"/" + path


def _sources(trees: Iterable[Tree], exclude: Iterable[Pattern]) -> Iterator[tuple[bytes, Node]]:
    for tree in trees:
        for path in tree.names:
            if not path.endswith(_SUFFIX) or any(one.matches(path) for one in exclude):
                continue
            # a link to a module is a module: what it is compiled to lies beside the link
            node = tree.names.get(walk(tree.names, path).path)
            if node is not None and node.kind is Kind.FILE:
                yield path, node


def _compiled(output: Path, place: bytes, source: Node) -> Node:
    file = _host_path(output, place)
    content = HostContent(file, Path(os.fsdecode(file)).stat().st_size)
    return regular_file(_MODE, content, f"`{shown(place)}`, compiled", source.source)
