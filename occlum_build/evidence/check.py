"""Compares a bundle with the evidence that travels with it, offline.

What this proves: that the parts are the ones that were described. That the description is
true is proved by a signature of somebody who is trusted, or by building again (`audit`).
"""

import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.evidence import manifest, provenance, sbom
from occlum_build.evidence.canonical import is_canonical
from occlum_build.evidence.envelope import EnvelopeError, opened, signers
from occlum_build.evidence.files import sha256_of

if TYPE_CHECKING:  # its module takes longer to load than most bundles take to check
    from occlum_build.evidence.dsse import PublicKey

_MAX_DOCUMENT_BYTES: Final = 256 << 20
_NOT_SUBJECTS: Final = frozenset(
    {manifest.SIGNATURE, provenance.SIGNED_NAME, provenance.UNSIGNED_NAME}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it holds, and why that matters.

    `has_passed` is None where there was nothing to look at, or no key to check with.
    """

    name: str
    has_passed: bool | None
    detail: str
    why: str


def check_evidence(bundle: Path, key: "PublicKey | None" = None) -> list[Finding]:
    """Compare the bill of materials and the provenance in a directory with its parts.

    `key` is who must have signed the provenance. Every part is read and nothing is run; it
    never raises for what it finds. The manifest is for whoever calls this to check.
    """
    digests = {name: sha256_of(bundle / name) for name in _present(bundle)}
    return [_check_sbom(bundle, digests), *_check_provenance(bundle, digests, key)]


def _present(bundle: Path) -> Iterator[str]:
    """Each plain file in the bundle but its manifest; a link would lead out of it."""
    for folder, folders, names in os.walk(bundle):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            inside = path.relative_to(bundle).as_posix()
            if inside != manifest.NAME and stat.S_ISREG(path.lstat().st_mode):
                yield inside


def _check_sbom(bundle: Path, digests: Mapping[str, str]) -> Finding:
    name, why = "bill of materials", "it answers which package a file came from, years later"
    if sbom.NAME not in digests:
        return Finding(name, None, "there is none", why)
    try:
        document = _document(bundle / sbom.NAME)
        problems, count = [], 0
        hashes = _component_hashes(document)
        for part, digest in sorted(digests.items()):
            if part in _NOT_SUBJECTS or part == sbom.NAME:
                continue
            if hashes.get(part) != digest:
                problems.append(f"it says {hashes.get(part)} of `{part}`, which is {digest}")
            if part.startswith("images/"):
                listed = sbom.listed_files(document, part)
                found = {
                    sbom.file_ref(part, path): content
                    for path, _, content in sbom.files_of_image(bundle / part)
                }
                count += len(found)
                problems += _wrong_files(listed, found)
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        return Finding(name, False, f"it cannot be understood: {problem}", why)  # noqa: FBT003
    except DiagnosticError as problem:
        return Finding(name, False, problem.diagnostics[0].message, why)  # noqa: FBT003
    return _finding(name, problems, f"lists all {count} files of the images, as they are", why)


def _wrong_files(listed: Mapping[str, str | None], found: Mapping[str, str | None]) -> list[str]:
    missing = [f"it does not list `{one}`" for one in sorted(found.keys() - listed.keys())]
    surplus = [f"it lists `{one}`, which is not there" for one in sorted(listed - found.keys())]
    wrong = [
        f"it has another digest for `{one}`"
        for one in sorted(found.keys() & listed.keys())
        if found[one] != listed[one]
    ]
    return [*missing, *surplus, *wrong]


def _check_provenance(
    bundle: Path, digests: Mapping[str, str], key: "PublicKey | None"
) -> Iterator[Finding]:
    name, why = "provenance", "it says which sources and tools these parts were made from"
    signature = "provenance signature"
    signature_why = "who vouches that the provenance is true"
    is_signed = provenance.SIGNED_NAME in digests
    file = provenance.SIGNED_NAME if is_signed else provenance.UNSIGNED_NAME
    if file not in digests:
        yield Finding(name, None, "there is none", why)
        return
    try:
        text = _text(bundle / file)
        payload = opened(text) if is_signed else text
        subjects = provenance.subjects(_parsed(payload))
    except ValueError as problem:
        yield Finding(name, False, str(problem), why)  # noqa: FBT003
        return
    problems = []
    for part, digest in sorted(digests.items()):
        if part not in _NOT_SUBJECTS and subjects.get(part) != digest:
            problems.append(f"it is about {subjects.get(part)} for `{part}`, which is {digest}")
    yield _finding(name, problems, f"is about the {len(subjects)} unsigned parts", why)
    if not is_signed:
        has_passed = None if key is None else False
        yield Finding(signature, has_passed, "nobody has signed it", signature_why)
    elif key is None:
        claimed = ", ".join(signers(text))
        detail = f"not checked: give the public key of {claimed}"
        yield Finding(signature, None, detail, signature_why)
    else:
        from occlum_build.evidence.dsse import verified

        try:
            verified(text, key)
        except EnvelopeError as problem:
            yield Finding(signature, False, str(problem), signature_why)  # noqa: FBT003
        else:
            yield Finding(signature, True, "is that of the key", signature_why)  # noqa: FBT003


def _component_hashes(document: Any) -> dict[str, str]:
    return {
        str(one["bom-ref"]): str(one["hashes"][0]["content"])
        for one in document["components"]
        if one.get("hashes")
    }


def _document(path: Path) -> Any:
    """A JSON document that is in canonical form.

    Raises:
        ValueError: it is missing, too large, no JSON, or in another form.
    """
    return _parsed(_text(path))


def _text(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_DOCUMENT_BYTES + 1)
    except OSError as problem:
        raise ValueError(f"`{path.name}` cannot be read: {problem.strerror}") from None
    if len(text) > _MAX_DOCUMENT_BYTES:
        raise ValueError(f"`{path.name}` has more than {_MAX_DOCUMENT_BYTES} bytes")
    return text


def _parsed(text: bytes) -> Any:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"it is no JSON: {problem}") from None
    if not is_canonical(text, document):
        raise ValueError("it is not in canonical form (RFC 8785)")
    return document


def _finding(name: str, problems: list[str], good: str, why: str) -> Finding:
    return Finding(name, not problems, "; ".join(problems) or good, why)
