"""The specification of a root file system: the JSON that an action hands to `rootfs`.

    {"version": 1, "label": "//app:rootfs",
     "files": [{"path": "/bin/app", "source": "out/app", "mode": "0755",
                "origin": {"label": "//app:app"}}],
     "directories": [{"path": "/tmp", "mode": "1777"}],
     "symlinks": [{"path": "/bin/sh", "target": "bash"}],
     "layers": [{"tar": "libc6.tar", "label": "//deb:libc6",
                 "include": ["usr/lib/**"], "exclude": ["**/*.a"]}],
     "debs": "packages", "debs_exclude": ["usr/share/doc/**"],
     "copies": [{"path": "/etc/passwd", "of": "/usr/share/base-passwd/passwd.master"}],
     "closure": true, "closure_from": ["libc6.tar"],
     "origins": {"libc6.tar": "libc6.origins.json"}}

The `origin` of a file, and the file of `origins` of a tar, say where things come from (see
`origins`). `debs` is a directory of Debian packages, each of which is a layer without what
`debs_exclude` matches. `copies` are made of the finished tree.

Modes are octal strings; a file's may be left out, and so may every part but
`version`. The order of lists means nothing. A key that is not known is refused.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from occlum_build.diagnostic import near
from occlum_build.fs.content import Storage
from occlum_build.fs.glob import Pattern, os_bytes
from occlum_build.fs.problem import Code, refusal
from occlum_build.fs.tree import MAX_MODE, Origin, check_path

VERSION: Final = 1
_MAX_BYTES: Final = 64 << 20
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FileItem:
    """A file of the host that goes into the tree.

    Without a mode it gets 0755 if its owner may execute the source, else 0644: the
    one bit that version control keeps, and no umask takes away.
    """

    path: bytes
    source: str
    mode: int | None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class DirectoryItem:
    """A directory with a mode of its own; it decides where layers differ."""

    path: bytes
    mode: int


@dataclass(frozen=True, slots=True)
class SymlinkItem:
    """A symlink; the target is kept as written."""

    path: bytes
    target: bytes


@dataclass(frozen=True, slots=True)
class CopyItem:
    """A regular file that is there a second time, as a file of its own."""

    path: bytes
    of: bytes


@dataclass(frozen=True, slots=True)
class Layer:
    """A canonical tar of which all, or what the patterns choose, goes into the tree."""

    tar: str
    label: str
    include: tuple[Pattern, ...]
    exclude: tuple[Pattern, ...]
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Specification:
    """Everything that a root file system is made of.

    `origins` has, for a tar, the file that says where what is in it comes from.
    """

    label: str
    files: tuple[FileItem, ...]
    directories: tuple[DirectoryItem, ...]
    symlinks: tuple[SymlinkItem, ...]
    layers: tuple[Layer, ...]
    debs: str | None
    debs_exclude: tuple[Pattern, ...]
    copies: tuple[CopyItem, ...]
    closure: bool
    closure_from: tuple[str, ...]
    origins: Mapping[str, str]


def read_specification(path: Path) -> Specification:
    """The specification in a file; anything that is not one is refused."""
    storage = Storage.open(path)
    try:
        text = storage.read(0, min(storage.size, _MAX_BYTES)).decode()
        root = _Fields(json.loads(text, object_pairs_hook=_without_duplicates), "")
        return _specification(root)
    except (TypeError, ValueError, RecursionError) as failure:
        raise refusal(
            Code.BAD_SPECIFICATION,
            f"the specification is wrong: {failure}",
            file=str(path),
        ) from failure


def _specification(root: "_Fields") -> Specification:
    version = root.take("version", int, None)
    if version != VERSION:
        raise ValueError(f"version {version} is not known, only {VERSION} is")
    specification = Specification(
        label=root.take("label", str, ""),
        files=root.items("files", _file),
        directories=root.items("directories", _directory),
        symlinks=root.items("symlinks", _symlink),
        layers=root.items("layers", _layer),
        debs=root.take("debs", str, None) if root.has("debs") else None,
        debs_exclude=root.patterns("debs_exclude"),
        copies=root.items("copies", _copy),
        closure=root.take("closure", bool, default=False),
        closure_from=root.texts("closure_from"),
        origins=root.mapping("origins"),
    )
    root.finish()
    return specification


def _file(item: "_Fields") -> FileItem:
    mode = item.mode("mode") if item.has("mode") else None
    origin = item.take("origin", dict, None) if item.has("origin") else None
    return FileItem(item.path("path"), item.take("source", str, None), mode, origin)


def _directory(item: "_Fields") -> DirectoryItem:
    return DirectoryItem(item.path("path"), item.mode("mode"))


def _symlink(item: "_Fields") -> SymlinkItem:
    return SymlinkItem(item.path("path"), os_bytes(item.take("target", str, None)))


def _copy(item: "_Fields") -> CopyItem:
    return CopyItem(item.path("path"), item.path("of"))


def _layer(item: "_Fields") -> Layer:
    tar = item.take("tar", str, None)
    return Layer(
        tar, item.take("label", str, tar), item.patterns("include"), item.patterns("exclude")
    )


class _Fields:
    """One JSON object being read: each key is taken once, and none may be left."""

    def __init__(self, data: object, where: str) -> None:
        self._where = where
        if not isinstance(data, dict):
            raise TypeError(f"`{where.rstrip('.') or 'it'}` must be an object")
        self._data: Mapping[str, object] = data
        self._taken: set[str] = set()

    def has(self, key: str) -> bool:
        """Whether a value is given; `null` is none."""
        self._taken.add(key)
        return self._data.get(key) is not None

    def take(self, key: str, kind: type[_T], default: _T | None) -> _T:
        self._taken.add(key)
        value = self._data.get(key, default)
        if type(value) is not kind:
            raise self._wrong(key, f"must be {_KIND_NAMES[kind]}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        texts = self.take(key, list, [])
        if not all(isinstance(text, str) for text in texts):
            raise self._wrong(key, "must be a list of strings")
        return tuple(texts)

    def mapping(self, key: str) -> Mapping[str, str]:
        texts: dict[str, object] = self.take(key, dict, {})
        found = {name: text for name, text in texts.items() if isinstance(text, str)}
        if len(found) != len(texts):
            raise self._wrong(key, "must map strings to strings")
        return found

    def items(self, key: str, read: "Callable[[_Fields], _T]") -> tuple[_T, ...]:
        items = []
        for index, data in enumerate(self.take(key, list, [])):
            fields = _Fields(data, f"{self._where}{key}[{index}].")
            items.append(read(fields))
            fields.finish()
        return tuple(items)

    def path(self, key: str) -> bytes:
        text = self.take(key, str, None)
        path = os_bytes(text).removeprefix(b"/")
        check_path(path, f"`{self._where}{key}`")
        return path

    def mode(self, key: str) -> int:
        text = self.take(key, str, None)
        if text.strip("01234567") or not text or int(text, 8) > MAX_MODE:
            raise self._wrong(key, f"must be an octal string such as `0755`, not `{text}`")
        return int(text, 8)

    def patterns(self, key: str) -> tuple[Pattern, ...]:
        patterns = []
        for text in self.texts(key):
            try:
                patterns.append(Pattern.parse(text))
            except ValueError as failure:
                raise self._wrong(key, f"has the pattern `{text}`: {failure}") from failure
        return tuple(patterns)

    def finish(self) -> None:
        unknown = sorted(self._data.keys() - self._taken)
        if unknown:
            meant = near(unknown[0], self._taken)
            hint = f"; `{meant}` is known" if meant else ""
            raise self._wrong(unknown[0], f"is not a known key{hint}")

    def _wrong(self, key: str, what: str) -> ValueError:
        return ValueError(f"`{self._where}{key}` {what}")


_KIND_NAMES: Final = {
    int: "a number",
    str: "a string",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def _without_duplicates(pairs: Collection[tuple[str, object]]) -> dict[str, object]:
    data = dict(pairs)
    if len(data) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key `{twice}` is there twice")
    return data
