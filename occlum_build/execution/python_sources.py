"""Which files of the tool a Python tool consists of: an edit of others re-runs nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = "occlum_build"


def python_sources(package_parent: Path, module: str) -> list[Path]:
    """The files that running `module` may read: its package, and what that imports of ours.

    Modules of other distributions are not among them; the lock file stands for those.
    """
    if module.partition(".")[0] != _PACKAGE:
        return []
    waiting = [module]
    seen: set[str] = set()
    files: set[Path] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for file in _files(package_parent, name):
            if file in files:
                continue
            files.add(file)
            if file.suffix == ".py":
                waiting += _imports(file)
    return sorted(files)


def _files(parent: Path, name: str) -> Iterator[Path]:
    """A module's file, or all of a package but the root's own (every module is in that)."""
    path = parent.joinpath(*name.split("."))
    if name == _PACKAGE:
        yield path / "__init__.py"
    elif path.is_dir():
        yield from (
            one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts
        )
    elif path.with_suffix(".py").is_file():
        yield path.with_suffix(".py")


def _imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{one.name}" for one in node.names)]
        else:
            continue
        yield from (one for one in names if one.partition(".")[0] == _PACKAGE)
