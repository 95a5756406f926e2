"""What can be signed: a bundle, an enclave, or the bytes of somebody else's signer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.sgx.attributes import AttributeFlags
from occlum_build.sgx.metadata import NO_DATE, Metadata, read_metadata
from occlum_build.sgx.sigstruct import (
    SIGNED_BYTES,
    SIGSTRUCT_BYTES,
    EnclaveIdentity,
)
from occlum_build.sgx.stream import ECREATE_TAG
from occlum_build.sgx.verify import parse_and_check

if TYPE_CHECKING:
    from occlum_build.enclave_file.companions import Companions
    from occlum_build.enclave_file.image import EnclaveImage

MANIFEST: Final = "manifest.json"
SGXS: Final = "enclave.sgxs"
SIGNATURE: Final = "enclave.sig"
_SWITCHES: Final = ("debuggable", "enable_kss")
_UNSAID: Final = Metadata(
    product_id=0,
    version_number=0,
    debuggable=False,
    enable_kss=False,
    family_id=bytes(16),
    ext_prod_id=bytes(16),
    date=NO_DATE,
)
"""The fields of a signature for which neither a file nor an option says anything."""


@dataclass(frozen=True, slots=True)
class Signable:
    """What is to be signed.

    `is_measured` is false where MRENCLAVE is only what the file claims: somebody else has
    measured, and this signature vouches for that. `bundle` is the directory it came from, `image`
    the enclave that was measured.
    """

    identity: EnclaveIdentity
    is_measured: bool
    bundle: Path | None = None
    image: "EnclaveImage | None" = None


def read_signable(path: Path, metadata: Path | None, companions: "Companions") -> Signable:
    """Read what is to be signed; raises `DiagnosticError` if it is nothing that can be.

    An enclave is measured, whoever laid it out, with the companions that it needs. The other
    fields come from `metadata` if it is given, else from the signature that is there
    already, which must be right.
    """
    terms = None if metadata is None else read_metadata(read_file(metadata), str(metadata))
    size = path.stat().st_size if path.is_file() else 0
    is_stream = size == SIGSTRUCT_BYTES and read_file(path, len(ECREATE_TAG)) == ECREATE_TAG
    if size not in {SIGNED_BYTES, SIGSTRUCT_BYTES} or is_stream:
        return _measured(path, terms, companions)
    if companions.sigstruct is not None:
        message = f"`--signature` means nothing with `{path.name}`, which has its fields itself"
        raise DiagnosticError(error("OB0001", message, helps=("leave `--signature` out",)))
    if size == SIGNED_BYTES:
        identity = EnclaveIdentity.parse(read_file(path))
    else:
        identity = parse_and_check(read_file(path), str(path)).identity
    if terms is not None:
        identity = terms.identity(identity.mrenclave)
    return Signable(identity, is_measured=False)


def _measured(path: Path, terms: Metadata | None, companions: "Companions") -> Signable:
    from occlum_build.enclave_file.read import read_enclave

    image = read_enclave(path, companions)
    bundle = path if path.is_dir() else None
    if terms is not None or image.sigstruct_bytes is None:
        identity = (terms or _UNSAID).identity(image.mrenclave)
        return Signable(identity, is_measured=True, bundle=bundle, image=image)
    there = image.sigstruct_place.file if image.sigstruct_place is not None else str(path)
    signed = parse_and_check(image.sigstruct_bytes, there, image.mrenclave)
    return Signable(signed.identity, is_measured=True, bundle=bundle, image=image)


def check_debuggable(signable: Signable, identity: EnclaveIdentity) -> None:
    """Refuse a signature that allows debug mode where the sealed configuration does not.

    The LibOS believes the configuration, the processor the signature: they must say one thing.
    Raises `DiagnosticError`. Enclaves of other makers say nothing here.
    """
    if signable.image is None:
        return
    from occlum_build.identity.sealed_pages import sealed_pages

    sealed = sealed_pages(signable.image)
    if sealed is None:
        return
    is_measured = bool(sealed.document().get("debuggable"))
    is_signed = bool(identity.attributes.flags & AttributeFlags.DEBUG)
    if is_measured != is_signed:
        value = str(is_measured).lower()
        raise DiagnosticError(
            error(
                "OB0569",
                f"`debuggable` is {value} in the sealed configuration",
                Span(signable.image.file),
                notes=("it is measured, so no signature can change it",),
                helps=(
                    f"sign with `--debuggable {value}`, or change Occlum.yaml and build again",
                ),
            )
        )


def changed(identity: EnclaveIdentity, wanted: Mapping[str, Any]) -> EnclaveIdentity:
    """The identity with the fields that options name; raises `DiagnosticError` if it is none.

    `debuggable` and `enable_kss` are a bit of the attributes and one of their mask each, as in
    Occlum.yaml; every other name is a field of `EnclaveIdentity`.
    """
    plain = {name: value for name, value in wanted.items() if name not in _SWITCHES}
    identity = replace(identity, **plain)
    if "debuggable" in wanted:
        identity = _switched(
            identity, AttributeFlags.DEBUG, is_on=wanted["debuggable"], is_open=True
        )
    if "enable_kss" in wanted:
        identity = _switched(identity, AttributeFlags.KSS, is_on=wanted["enable_kss"])
    has_ids = any(identity.family_id + identity.ext_prod_id)
    if has_ids and not identity.attributes.flags & AttributeFlags.KSS:
        raise DiagnosticError(
            error(
                "OB0565",
                "a family id or an extended product id means nothing without KSS",
                helps=("add `--enable-kss true`",),
            )
        )
    return identity


def _switched(
    identity: EnclaveIdentity, flag: AttributeFlags, *, is_on: bool, is_open: bool = False
) -> EnclaveIdentity:
    """The flag on or off, and pinned; with `is_open` the host may take it away when it is on."""
    attributes, mask, bit = identity.attributes, identity.attribute_mask, int(flag)
    flags = attributes.flags | bit if is_on else attributes.flags & ~bit
    bits = mask.flags & ~bit if is_on and is_open else mask.flags | bit
    return replace(
        identity,
        attributes=replace(attributes, flags=flags),
        attribute_mask=replace(mask, flags=bits),
    )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as problem:
        raise DiagnosticError(
            error("OB0590", f"cannot read `{path.name}`: {problem.strerror}", Span(str(path)))
        ) from None


def read_file(path: Path, limit: int = 1 << 24) -> bytes:
    """The content; raises `DiagnosticError` if it cannot be read."""
    with _open(path) as file:
        return file.read(limit)
