"""Everything in which two enclaves differ, gathered; `diff` shows it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.image import EnclaveImage
from occlum_build.evidence import sbom
from occlum_build.evidence.document_difference import FieldDifference, field_differences
from occlum_build.evidence.envelope import opened
from occlum_build.evidence.explain import Difference as Cause
from occlum_build.evidence.explain import differences as why
from occlum_build.evidence.provenance import SIGNED_NAME, UNSIGNED_NAME
from occlum_build.identity.bundle_checks import digest_of
from occlum_build.identity.page_difference import First, first_difference
from occlum_build.identity.region import RegionDifference, region_differences
from occlum_build.identity.sealed_pages import SealedPages, sealed_pages
from occlum_build.identity.signable import MANIFEST, SGXS, SIGNATURE, read_file
from occlum_build.identity.signature_difference import (
    SignatureDifference,
    signature_differences,
)
from occlum_build.identity.tree_difference import FileDifference, file_differences

_ACCOUNTS: Final = frozenset({MANIFEST, sbom.NAME, SIGNED_NAME, UNSIGNED_NAME})
"""Files that say what the others are: they differ wherever those do."""

_MAX_STATEMENT_BYTES: Final = 1 << 28


@dataclass
class ImageDifference:
    """An image of a bundle that is another one; `problem` says why its files cannot be told."""

    name: str
    a: str
    b: str
    files: list[FileDifference] = field(default_factory=list)
    problem: str = ""


@dataclass
class Comparison:
    """What `diff` found. All lists are empty for two enclaves that are the same."""

    a: EnclaveImage
    b: EnclaveImage
    created: list[FieldDifference] = field(default_factory=list)
    first: First | None = None
    regions: list[RegionDifference] = field(default_factory=list)
    config: list[FieldDifference] = field(default_factory=list)
    images: list[ImageDifference] = field(default_factory=list)
    signature: list[SignatureDifference] = field(default_factory=list)
    signed: tuple[bool, bool] = (True, True)
    files: list[FieldDifference] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    is_ours: bool = False

    @property
    def is_same_measurement(self) -> bool:
        """Whether the two are one enclave to a processor."""
        return self.a.mrenclave == self.b.mrenclave

    @property
    def is_same(self) -> bool:
        """Whether nothing differs at all."""
        return (
            self.is_same_measurement
            and not (self.signature or self.images or self.files)
            and self.signed[0] == self.signed[1]
        )

    @property
    def is_signature_alone(self) -> bool:
        """Whether only the signer, or what is signed besides the measurement, differs."""
        return (
            self.is_same_measurement and bool(self.signature) and not (self.images or self.files)
        )


def compare(a: EnclaveImage, b: EnclaveImage) -> Comparison:
    """Compare two enclaves, and if both are bundles all that is in them."""
    found = Comparison(a, b)
    one, other = a.sigstruct_bytes, b.sigstruct_bytes
    found.signed = one is not None, other is not None
    if one is not None and other is not None:
        found.signature = signature_differences(one, other)
    if not found.is_same_measurement:
        found.created = [
            FieldDifference(name, x, y)
            for name, x, y in (
                ("SIZE", a.size_bytes, b.size_bytes),
                ("SSAFRAMESIZE", a.ssa_frame_pages, b.ssa_frame_pages),
            )
            if x != y
        ]
        if not found.created:
            found.first = first_difference(a.runs(), b.runs())
        found.regions = region_differences(a.runs(), b.runs())
    sealed_a, sealed_b = _sealed(a), _sealed(b)
    found.is_ours = sealed_a is not None and sealed_b is not None
    if sealed_a is not None and sealed_b is not None:
        document_a, document_b = _document(sealed_a), _document(sealed_b)
        if document_a is not None and document_b is not None:
            found.config = list(field_differences(document_a, document_b))
            if _is_bundle(a) and _is_bundle(b):
                found.images = list(_images(Path(a.file), Path(b.file), document_a, document_b))
    if _is_bundle(a) and _is_bundle(b):
        found.files = list(_files(Path(a.file), Path(b.file), found.images))
        found.causes = _causes(Path(a.file), Path(b.file))
    return found


def _is_bundle(image: EnclaveImage) -> bool:
    return Path(image.file).is_dir()


def _causes(a: Path, b: Path) -> list[Cause]:
    """Which inputs and tools explain it, as far as both bundles have provenance."""
    one, other = _statement(a), _statement(b)
    return [] if one is None or other is None else why(one, other)


def _statement(bundle: Path) -> Any:
    """What a bundle says of how it was made, whoever signed that; None if it says nothing."""
    try:
        signed = bundle / SIGNED_NAME
        if signed.is_file():
            return json.loads(opened(read_file(signed, _MAX_STATEMENT_BYTES)))
        return json.loads(read_file(bundle / UNSIGNED_NAME, _MAX_STATEMENT_BYTES))
    except (ValueError, RecursionError, DiagnosticError):
        return None


def _sealed(image: EnclaveImage) -> SealedPages | None:
    try:
        return sealed_pages(image)
    except DiagnosticError:
        return None


def _document(sealed: SealedPages) -> dict[str, Any] | None:
    try:
        return sealed.document()
    except DiagnosticError:
        return None


def _images(
    a: Path, b: Path, config_a: dict[str, Any], config_b: dict[str, Any]
) -> Iterator[ImageDifference]:
    """Images that both mount and that have other root hashes; the rest is in the configuration."""
    roots_a, roots_b = _roots(config_a), _roots(config_b)
    for name in sorted(roots_a.keys() & roots_b.keys()):
        if roots_a[name] == roots_b[name]:
            continue
        found = ImageDifference(name, roots_a[name], roots_b[name])
        paths = [one / "images" / f"{name}.erofs" for one in (a, b)]
        try:
            found.files = list(file_differences(*paths))
        except DiagnosticError as problem:
            found.problem = problem.diagnostics[0].message
        yield found


def _roots(config: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for mount in config.get("mount", ()):
        image = mount.get("image") if isinstance(mount, dict) else None
        if isinstance(image, dict) and "/" not in str(image.get("name")):
            found[str(image.get("name"))] = str(image.get("root_hash"))
    return found


def _files(a: Path, b: Path, images: list[ImageDifference]) -> Iterator[FieldDifference]:
    """Files of two bundles that differ, but for those that are looked into elsewhere."""
    seen = {SGXS, SIGNATURE, *(f"images/{one.name}.erofs" for one in images)}
    digests_a, digests_b = _digests(a), _digests(b)
    found = [one for one in field_differences(digests_a, digests_b) if one.path not in seen]
    is_consequence = any(one.path not in _ACCOUNTS for one in found) or any(
        digests_a.get(name) != digests_b.get(name) for name in seen
    )
    yield from (one for one in found if one.path not in _ACCOUNTS or not is_consequence)


def _digests(bundle: Path) -> dict[str, str]:
    return {
        str(one.relative_to(bundle)): digest_of(one)
        for one in sorted(bundle.rglob("*"))
        if one.is_file() and not one.is_symlink()
    }
