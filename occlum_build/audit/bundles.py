"""A published bundle and the one that was rebuilt: the same, the same but signed by another, no.

Whoever audits has no key of the publisher. What a key alone decides (MODULUS, EXPONENT,
SIGNATURE, Q1, Q2, and their digests in the manifest) is not compared; all that is signed is.
"""

import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from occlum_build.evidence import provenance
from occlum_build.evidence.envelope import opened
from occlum_build.evidence.explain import Difference, differences
from occlum_build.evidence.files import sha256_of
from occlum_build.evidence.manifest import NAME as MANIFEST
from occlum_build.evidence.manifest import SIGNATURE

# Intel SDM vol. 3D, "Layout of Enclave Signature Structure (SIGSTRUCT)": what is signed.
_HEADER: Final = slice(0, 128)
_BODY: Final = slice(900, 1028)
_MAX_SIGNATURE_BYTES: Final = 1 << 16
_OF_THE_KEY: Final = ("mrsigner", "signing_key")
_PROVENANCE: Final = "provenance"
_PROVENANCE_NAMES: Final = frozenset({provenance.SIGNED_NAME, provenance.UNSIGNED_NAME})


class Outcome(StrEnum):
    """How a part of the two bundles compares. All but the last three are a match."""

    SAME = "same"
    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    MISSING = "missing"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a bundle; digests are empty where there is no file. `note` says more."""

    name: str
    outcome: Outcome
    published: str
    rebuilt: str
    note: str = ""

    @property
    def is_match(self) -> bool:
        """Whether the source makes this part as it was published."""
        return self.outcome in {Outcome.SAME, Outcome.EQUIVALENT}


def compare_bundles(published: Path, rebuilt: Path) -> list[Part]:
    """Every part of either, the enclave first."""
    names, others = _files(published), _files(rebuilt)
    plain = (names & others) - {SIGNATURE, MANIFEST, *_PROVENANCE_NAMES}
    found = [_compared(name, published / name, rebuilt / name) for name in sorted(plain)]
    for name in sorted(names - others - _PROVENANCE_NAMES):
        digest = sha256_of(published / name)
        found.append(Part(name, Outcome.ADDED, digest, "", "the source makes none"))
    for name in sorted(others - names - _PROVENANCE_NAMES):
        digest = sha256_of(rebuilt / name)
        found.append(Part(name, Outcome.MISSING, "", digest, "the source makes one"))
    found += [Part(name, Outcome.ADDED, "", "", "is no plain file") for name in _odd(published)]
    if SIGNATURE in names & others:
        found.append(_signatures(published / SIGNATURE, rebuilt / SIGNATURE))
    found += _provenance(published, rebuilt)
    if MANIFEST in names & others:
        found.append(_manifests(published / MANIFEST, rebuilt / MANIFEST))
    return found


def causes(published: Path, rebuilt: Path) -> list[Difference]:
    """What the provenance of both says of why they differ."""
    return differences(statement_of(published), statement_of(rebuilt))


def statement_of(bundle: Path) -> Any:
    """The provenance in a bundle, whoever signed it; None if there is none."""
    path = _provenance_file(bundle)
    return None if path is None else _json(_payload(path))


def _files(bundle: Path) -> set[str]:
    """The plain files of a bundle; whatever else lies there might never end when it is read."""
    return {
        one.relative_to(bundle).as_posix()
        for one in bundle.rglob("*")
        if stat.S_ISREG(one.lstat().st_mode)
    }


def _odd(bundle: Path) -> list[str]:
    modes = {one: one.lstat().st_mode for one in bundle.rglob("*")}
    return sorted(
        one.relative_to(bundle).as_posix()
        for one, mode in modes.items()
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
    )


def _compared(name: str, published: Path, rebuilt: Path) -> Part:
    one, other = sha256_of(published), sha256_of(rebuilt)
    return Part(name, Outcome.SAME if one == other else Outcome.DIFFERENT, one, other)


def _signatures(published: Path, rebuilt: Path) -> Part:
    part = _compared(SIGNATURE, published, rebuilt)
    if part.outcome is Outcome.SAME or published.stat().st_size > _MAX_SIGNATURE_BYTES:
        return part
    contents = published.read_bytes(), rebuilt.read_bytes()
    signed = [one[_HEADER] + one[_BODY] for one in contents]
    if signed[0] == signed[1] and len(contents[0]) == len(contents[1]):
        note = "signs the same fields, with another key"
        return replace(part, outcome=Outcome.EQUIVALENT, note=note)
    return replace(part, note="signs other fields than the source asks for")


def _provenance(published: Path, rebuilt: Path) -> Iterator[Part]:
    paths = [_provenance_file(one) for one in (published, rebuilt)]
    if paths[0] is None or paths[1] is None:
        if paths[0] is not paths[1]:
            note = "only one of the bundles has any"
            digests = ["" if one is None else sha256_of(one) for one in paths]
            yield Part(_PROVENANCE, Outcome.MISSING, digests[0], digests[1], note)
        return
    part = _compared(_PROVENANCE, paths[0], paths[1])
    if part.outcome is Outcome.SAME:
        yield part
    elif _payload(paths[0]) == _payload(paths[1]):
        note = "says the same; what differs is who signed it"
        yield replace(part, outcome=Outcome.EQUIVALENT, note=note)
    else:
        why = causes(published, rebuilt)
        if why and all(one.kind == provenance.TOOL for one in why):
            note = f"names other tools: {'; '.join(map(str, why))}"
            yield replace(part, outcome=Outcome.EQUIVALENT, note=note)
        else:
            yield replace(part, note="names other inputs")


def _provenance_file(bundle: Path) -> Path | None:
    for name in sorted(_PROVENANCE_NAMES):
        if (bundle / name).is_file() and not (bundle / name).is_symlink():
            return bundle / name
    return None


def _payload(path: Path) -> bytes:
    text = path.read_bytes()
    if path.name != provenance.SIGNED_NAME:
        return text
    try:
        return opened(text)
    except ValueError:
        return text


def _manifests(published: Path, rebuilt: Path) -> Part:
    """Compare what manifests say of everything that no key decides."""
    part = _compared(MANIFEST, published, rebuilt)
    if part.outcome is Outcome.SAME:
        return part
    documents = [_without_key(_json(one.read_bytes())) for one in (published, rebuilt)]
    if documents[0] is not None and documents[0] == documents[1]:
        note = "says the same of all that no key decides"
        return replace(part, outcome=Outcome.EQUIVALENT, note=note)
    return replace(part, note="says something else of the parts")


def _without_key(document: Any) -> Mapping[str, Any] | None:
    if not isinstance(document, dict) or not isinstance(document.get("files"), list):
        return None
    signed = {SIGNATURE, *_PROVENANCE_NAMES}
    files = [
        one for one in document["files"] if isinstance(one, dict) and one.get("path") not in signed
    ]
    kept = {key: value for key, value in document.items() if key not in _OF_THE_KEY}
    return {**kept, "files": files}


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
