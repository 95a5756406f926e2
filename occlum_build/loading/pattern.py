"""Target patterns: what a user writes on the command line, turned into labels."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.label import BadLabelError, Label, is_too_long
from occlum_build.loading.loader import Loader
from occlum_build.loading.workspace import (
    BUILD_FILE,
    MARKER,
    OUTPUT_DIRECTORY,
    STATE_DIRECTORY,
)

_ALL: Final = "all"
_ALL_TARGETS: Final = frozenset({"*", "all-targets"})
MANUAL_TAG: Final = "manual"


@dataclass(frozen=True)
class Selection:
    """The targets of one command line, sorted."""

    labels: tuple[Label, ...]


def expand(
    patterns: Iterable[str], loader: Loader, directory: Path, *, is_query: bool = False
) -> Selection:
    """The targets that `patterns` mean, as a user in `directory` writes them.

    `//...` and `pkg/...` are every package below (`:all` behind it changes nothing),
    `//pkg:all` every target of one, `//pkg`, `:name` and `pkg:name` one target;
    `-pattern` takes targets away again. A word is the package of that name, if there is
    one, else a target of this package.
    Wildcards leave out targets tagged `manual`. `:*` and `:all-targets` are `:all`, and in a
    query, which leaves nothing out, the source files that the package speaks of as well:
    there is nothing to build of those. Problems go to the loader.
    """
    chosen: set[Label] = set()
    for pattern in patterns:
        text, is_negative = pattern.removeprefix("-"), pattern.startswith("-")
        try:
            found = list(_labels(text, loader, directory, is_query=is_query))
        except DiagnosticError as problem:
            loader.report(problem)
            continue
        if is_negative:
            chosen.difference_update(found)
        else:
            chosen.update(found)
    return Selection(tuple(sorted(chosen)))


def packages_below(root: Path, start: Path, note: Callable[[Path], None]) -> Iterator[str]:
    """The package names at and below `start`, sorted; nested workspaces are not entered."""
    if not start.is_dir():
        return
    found: list[str] = []
    for folder, names, files in os.walk(start):
        path = Path(folder)
        if path != root and MARKER in files:
            names.clear()
            continue
        note(path)
        if BUILD_FILE in files:
            found.append("" if path == root else path.relative_to(root).as_posix())
        hidden = {one for one in names if one.startswith(".")}
        own = {OUTPUT_DIRECTORY, STATE_DIRECTORY} if path == root else set()
        names[:] = sorted(set(names) - hidden - own - {"__pycache__"})
    yield from sorted(found)


def _labels(text: str, loader: Loader, directory: Path, *, is_query: bool) -> Iterator[Label]:
    """Each label that one pattern means."""
    root = loader.workspace.root
    here = PurePosixPath(directory.relative_to(root)).as_posix() if directory != root else ""
    text, are_files_meant = _without_files(text)
    are_files_meant &= is_query
    text = text.removesuffix(f":{_ALL}") if text.endswith(f"...:{_ALL}") else text
    if not text.startswith(("//", "@", ":")):
        text = _absolute(text, here, root)
    if text == "//..." or text.endswith("/..."):
        if text.startswith("@"):
            raise DiagnosticError(error("OB0121", "`...` works in the workspace only"))
        for package in _below(text, loader):
            yield from _all_of(package, loader, is_query=is_query, are_files_meant=are_files_meant)
        return
    try:
        label = loader.workspace.canonical(Label.parse(text, package=here))
    except BadLabelError as problem:
        helps = ("patterns look like `//pkg:name`, `//pkg:all`, `//pkg/...` or `:name`",)
        raise DiagnosticError(error("OB0121", str(problem), helps=helps)) from None
    if label.name == _ALL and ":" in text:
        yield from _all_of(label, loader, is_query=is_query, are_files_meant=are_files_meant)
    elif ":" not in text and _has_no_namesake(label, loader):
        helps = (f"`{text}:{_ALL}` takes every target of the package",)
        raise DiagnosticError(error("OB0103", f"no target `{label}`", helps=helps))
    elif loader.find(label) is not None:
        yield label


def _without_files(text: str) -> tuple[str, bool]:
    """The pattern with `:all` for what means files as well, and whether it did."""
    before, _, name = text.rpartition(":")
    is_wildcard = name in _ALL_TARGETS
    return (f"{before}:{_ALL}", True) if is_wildcard else (text, False)


def _has_no_namesake(label: Label, loader: Loader) -> bool:
    """Whether the package is there, and nothing in it is named as the package is."""
    if not loader.sources.has_package(label.sibling(BUILD_FILE)):
        return False
    package = loader.package(label)
    return package is not None and package.is_whole and label.name not in package.calls


def _absolute(text: str, here: str, root: Path) -> str:
    """`pkg:name`, `pkg/...`, `...`, `pkg` and `name` as seen from the package `here`."""
    if text == "...":
        return f"//{here}/..." if here else "//..."
    if ":" in text or "/" in text or _is_package(root / here / text):
        return f"//{here}/{text}" if here else f"//{text}"
    return f":{text}"


def _is_package(directory: Path) -> bool:
    return not is_too_long(directory.name) and (directory / BUILD_FILE).is_file()


def _below(text: str, loader: Loader) -> Iterator[Label]:
    """The BUILD file of each package at and below one."""
    root = loader.workspace.root
    start = text.removeprefix("//").removesuffix("...").rstrip("/")
    packages = list(packages_below(root, root / start, loader.sources.note_directory))
    if not packages:
        raise DiagnosticError(error("OB0121", f"no package at or below `//{start}`"))
    for package in packages:
        yield Label("", package, BUILD_FILE)


def _all_of(
    label: Label, loader: Loader, *, is_query: bool, are_files_meant: bool
) -> Iterator[Label]:
    """What a wildcard means in the package of `label`."""
    package = loader.package(label)
    for name in sorted(package.calls) if package is not None else ():
        one = label.sibling(name)
        target = loader.target(one)
        if target is not None and (is_query or MANUAL_TAG not in target.attrs.tags):
            yield one
    if package is not None and are_files_meant:
        yield from loader.files(package)
