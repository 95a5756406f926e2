"""A file tree with the interpreter that runs this, its libraries and the modules it needs."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from occlum_build.fs.content import HostContent
from occlum_build.fs.elf import read_elf
from occlum_build.fs.tree import Node, Tree, regular_file

INTERPRETER = b"opt/bin/python"
_MODULES = """
import pathlib, py_compile, sys
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""
_MAPS = "import pathlib, py_compile; print(open('/proc/self/maps').read())"


def python_tree() -> Tree:
    """The interpreter at `INTERPRETER`, its library in `opt/lib`, shared ones in `lib`."""
    program = Path(sys.executable).resolve()
    names = {INTERPRETER: _file(program, 0o755)}
    elf = read_elf(HostContent(str(program).encode(), program.stat().st_size), "", "")
    assert elf is not None
    if elf.interpreter is not None:
        names[elf.interpreter.lstrip(b"/")] = _file(
            Path(elf.interpreter.decode()).resolve(), 0o755
        )
    for library in {line.split(None, 5)[5] for line in _said(_MAPS) if ".so" in line}:
        _add_library(names, Path(library))
    here = Path(sysconfig.get_path("stdlib"))
    for module in map(Path, _said(_MODULES)):
        if module.is_relative_to(here) and module.suffix == ".py":
            place = f"opt/lib/{here.name}/{module.relative_to(here)}"
            names[place.encode()] = _file(module, 0o644)
    return Tree(names.items())


def _add_library(names: dict[bytes, Node], path: Path) -> None:
    elf = read_elf(HostContent(str(path).encode(), path.stat().st_size), "", "")
    assert elf is not None
    name = (elf.soname or path.name.encode()).rpartition(b"/")[2]
    if not name.startswith(b"ld-"):
        names[b"lib/" + name] = _file(path, 0o755)


def _said(program: str) -> list[str]:
    run = subprocess.run(
        [Path(sys.executable).resolve(), "-I", "-S", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.split("\n")[:-1]


def _file(path: Path, mode: int) -> Node:
    return regular_file(mode, HostContent(str(path).encode(), path.stat().st_size), f"`{path}`")
