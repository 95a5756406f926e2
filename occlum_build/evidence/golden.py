"""The golden record of an enclave: what it is expected to measure, and enough to say why not.

    {"version": 1, "mrenclave": "…", "size": 134217728, "ssa_frame_pages": 2,
     "config": {…the sealed configuration…},
     "regions": [{"name": "libos text", "offset": 69206016, "pages": 122,
                  "permissions": "r-x", "sha256": "…"}, …]}

It lies beside a BUILD file and is read by people in reviews: a few kilobytes, whatever the
enclave's size. Regions that differ in a number only (threads) are one entry. What is not
measured has no digest.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.evidence.document_difference import ABSENT, field_differences
from occlum_build.evidence.files import read, read_json, reason, unreadable
from occlum_build.sgx.page import PAGE_BYTES
from occlum_build.sgx.sgxs import SgxsReader

VERSION: Final = 1
_NUMBER: Final = re.compile(r"\d+")
_STEP: Final = re.compile(r"[^.\[\]]+")
_OUTSIDE: Final = "pages outside of every region"


def render_golden(sgxs: Path, report: Path, sealed: Path) -> bytes:
    """The record of an enclave; raises `DiagnosticError` if its parts do not fit together."""
    told = read_json(report)
    regions = _Regions(told["regions"])
    try:
        with sgxs.open("rb") as stream:
            reader = SgxsReader(stream, str(sgxs))
            for page in reader.pages():
                regions.add(page.offset, page.data)
    except OSError as problem:
        raise unreadable(sgxs, problem) from None
    document = {
        "version": VERSION,
        "mrenclave": reader.mrenclave.hex(),
        "size": reader.size_bytes,
        "ssa_frame_pages": reader.ssa_frame_pages,
        "config": read_json(sealed),
        "regions": [one.as_json() for one in regions.groups.values()],
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def read_golden(path: Path) -> Mapping[str, Any] | None:
    """The record in a file; None if the file is empty, because nothing was accepted yet.

    Raises:
        DiagnosticError: it is no record.
    """
    if not read(path).strip():
        return None
    document = read_json(path)
    try:
        if document["version"] != VERSION:
            raise ValueError(f"it has version {document['version']}, and {VERSION} is known")  # noqa: TRY301
        str(document["mrenclave"]), document["size"], document["ssa_frame_pages"]
        dict(document["config"]), {one["name"]: one["sha256"] for one in document["regions"]}
    except (KeyError, TypeError, ValueError) as problem:
        raise DiagnosticError(
            error(
                "OB0805",
                f"`{path.name}` is no golden record of an enclave",
                Span(str(path)),
                notes=(reason(problem),),
                helps=("empty the file, and accept the measurement anew",),
            )
        ) from None
    found: Mapping[str, Any] = document
    return found


def explain(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs between two records, one line each; nothing if the measurements are equal."""
    if expected["mrenclave"] == found["mrenclave"]:
        return []
    lines = [
        f"{title} is {found[name]}, and was {expected[name]}"
        for name, title in (("size", "the enclave's size"), ("ssa_frame_pages", "SSA frame"))
        if expected[name] != found[name]
    ]
    lines += _configs(expected["config"], found["config"])
    lines += _regions(
        {one["name"]: one for one in expected["regions"]},
        {one["name"]: one for one in found["regions"]},
    )
    return lines or ["nothing that the golden record holds: compare the enclaves with `diff`"]


@dataclass
class _Group:
    """Regions whose names differ in a number only."""

    name: str
    offset: int
    permissions: str
    pages: int = 0
    is_measured: bool = False
    digest: Any = field(default_factory=hashlib.sha256)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "offset": self.offset,
            "pages": self.pages,
            "permissions": self.permissions,
            "sha256": self.digest.hexdigest() if self.is_measured else None,
        }


class _Regions:
    """The regions of a report, filled page by page in the order of the stream."""

    def __init__(self, told: list[Mapping[str, Any]]) -> None:
        self._spans = sorted((int(one["offset"]), int(one["size"]), one) for one in told)
        self._at = 0
        self.groups: dict[str, _Group] = {}

    def add(self, offset: int, data: bytes | None) -> None:
        while self._at < len(self._spans) and sum(self._spans[self._at][:2]) <= offset:
            self._at += 1
        name, letters = _OUTSIDE, "?"
        if self._at < len(self._spans) and self._spans[self._at][0] <= offset:
            told = self._spans[self._at][2]
            name, letters = _NUMBER.sub("*", str(told["name"])), str(told["permissions"])
        group = self.groups.setdefault(name, _Group(name, offset, letters))
        group.pages += 1
        if data is not None:
            group.is_measured = True
            group.digest.update(data)


def _configs(expected: object, found: object) -> Iterator[str]:
    """Each value of the sealed configuration that differs, by its path."""
    for one in field_differences(expected, found):
        was, now = ("" if value is ABSENT else json.dumps(value) for value in (one.a, one.b))
        if one.a is ABSENT:
            yield f"configuration: `{one.path}` is {now}, and was not there"
        elif one.b is ABSENT:
            yield f"configuration: `{one.path}` is gone, and was {was}"
        elif one.path.endswith(".root_hash"):
            name = json.dumps(_sibling(found, one.path, "name"))
            yield f"image {name}: a file in it, its mode or its name (another root hash)"
        else:
            yield f"configuration: `{one.path}` is {now}, and was {was}"


def _sibling(document: Any, path: str, name: str) -> Any:
    """The value `name` of the object that has the value at `path`."""
    for part in _STEP.findall(path)[:-1]:
        document = document[int(part) if isinstance(document, list) else part]
    return document.get(name)


def _regions(
    expected: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Each region that differs; one that only moved says so."""
    for name in dict.fromkeys([*expected, *found]):
        old, new = expected.get(name), found.get(name)
        if old is None or new is None:
            yield f"region `{name}` is {'new' if old is None else 'gone'}"
            continue
        changes = [
            f"{what} {new[key]}, was {old[key]}"
            for key, what in (("pages", "pages:"), ("permissions", "permissions:"))
            if old[key] != new[key]
        ]
        if old["sha256"] != new["sha256"]:
            changes.append("other content")
        if old["offset"] != new["offset"]:
            distance = (int(new["offset"]) - int(old["offset"])) // PAGE_BYTES
            changes.append(f"moved by {distance:+} pages")
        if changes:
            yield f"region `{name}` ({new['pages']} pages, {new['permissions']}): " + ", ".join(
                changes
            )
