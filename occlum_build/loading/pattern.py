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
MANUAL_TAG: Final = "manual"


@dataclass(frozen=True)
class Selection:
    """The targets of one command line, sorted."""

    labels: tuple[Label, ...]


def expand(patterns: Iterable[str], loader: Loader, directory: Path) -> Selection:
    """The targets that `patterns` mean, as a user in `directory` writes them.

    `//...` and `pkg/...` are every package below (`:all` behind it changes nothing),
    `//pkg:all` every target of one, `//pkg`, `:name` and `pkg:name` one target;
    `-pattern` takes targets away again. A word is the package of that name, if there is
    one, else a target of this package.
    Wildcards leave out targets tagged `manual`. Problems go to the loader.
    """
    chosen: set[Label] = set()
    for pattern in patterns:
        text, is_negative = pattern.removeprefix("-"), pattern.startswith("-")
        try:
            found = list(_labels(text, loader, directory))
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


def _labels(text: str, loader: Loader, directory: Path) -> Iterator[Label]:
    """Each label that one pattern means."""
    root = loader.workspace.root
    here = PurePosixPath(directory.relative_to(root)).as_posix() if directory != root else ""
    text = text.removesuffix(f":{_ALL}") if text.endswith(f"...:{_ALL}") else text
    if not text.startswith(("//", "@", ":")):
        text = _absolute(text, here, root)
    if text == "//..." or text.endswith("/..."):
        if text.startswith("@"):
            raise DiagnosticError(error("OB0121", "`...` works in the workspace only"))
        yield from _below(text, loader)
        return
    try:
        label = loader.workspace.canonical(Label.parse(text, package=here))
    except BadLabelError as problem:
        helps = ("patterns look like `//pkg:name`, `//pkg:all`, `//pkg/...` or `:name`",)
        raise DiagnosticError(error("OB0121", str(problem), helps=helps)) from None
    if label.name == _ALL and ":" in text:
        yield from _all_of(label, loader)
    elif ":" not in text and _has_no_namesake(label, loader):
        helps = (f"`{text}:{_ALL}` takes every target of the package",)
        raise DiagnosticError(error("OB0103", f"no target `{label}`", helps=helps))
    elif loader.find(label) is not None:
        yield label


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
    root = loader.workspace.root
    start = text.removeprefix("//").removesuffix("...").rstrip("/")
    packages = list(packages_below(root, root / start, loader.sources.note_directory))
    if not packages:
        raise DiagnosticError(error("OB0121", f"no package at or below `//{start}`"))
    for package in packages:
        yield from _all_of(Label("", package, BUILD_FILE), loader)


def _all_of(label: Label, loader: Loader) -> Iterator[Label]:
    package = loader.package(label)
    for name in sorted(package.calls) if package is not None else ():
        one = label.sibling(name)
        target = loader.target(one)
        if target is not None and MANUAL_TAG not in target.attrs.tags:
            yield one
