"""What can be signed: a bundle, an enclave, or the bytes of somebody else's signer."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.sgx.attributes import AttributeFlags
from occlum_build.sgx.metadata import NO_DATE, Metadata, read_metadata
from occlum_build.sgx.sgxs import SgxsReader
from occlum_build.sgx.sigstruct import (
    SIGNED_BYTES,
    SIGSTRUCT_BYTES,
    EnclaveIdentity,
)
from occlum_build.sgx.verify import parse_and_check

MANIFEST: Final = "manifest.json"
SGXS: Final = "enclave.sgxs"
SIGNATURE: Final = "enclave.sig"
_SWITCHES: Final = ("debuggable", "enable_kss")
_ECREATE: Final = b"ECREATE\0"
_CAN_BE: Final = (
    f"a bundle, an SGXS file, a SIGSTRUCT or the {SIGNED_BYTES} bytes that a signer signs can be"
)
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
    measured, and this signature vouches for that. `bundle` is the directory it came from.
    """

    identity: EnclaveIdentity
    is_measured: bool
    bundle: Path | None = None


def read_signable(path: Path, metadata: Path | None) -> Signable:
    """Read what is to be signed; raises `DiagnosticError` if it is nothing that can be.

    An enclave is measured. The other fields come from `metadata` if it is given, else from the
    signature that is there already, which must be right.
    """
    terms = None if metadata is None else read_metadata(read_file(metadata), str(metadata))
    if path.is_dir():
        return _of_bundle(path, terms)
    with _open(path) as file:
        head = file.read(SIGSTRUCT_BYTES + 1)
    if head.startswith(_ECREATE):
        return Signable((terms or _UNSAID).identity(_measured(path)), is_measured=True)
    if len(head) == SIGNED_BYTES:
        identity = EnclaveIdentity.parse(head)
    elif len(head) == SIGSTRUCT_BYTES:
        identity = parse_and_check(head, str(path)).identity
    else:
        raise DiagnosticError(
            error(
                "OB0564",
                "this is nothing that can be signed",
                Span(str(path)),
                notes=(_CAN_BE,),
            )
        )
    if terms is not None:
        return Signable(terms.identity(identity.mrenclave), is_measured=False)
    return Signable(identity, is_measured=False)


def _of_bundle(path: Path, terms: Metadata | None) -> Signable:
    mrenclave = _measured(path / SGXS)
    if terms is not None:
        return Signable(terms.identity(mrenclave), is_measured=True, bundle=path)
    signature = path / SIGNATURE
    there = parse_and_check(read_file(signature), str(signature), mrenclave)
    return Signable(there.identity, is_measured=True, bundle=path)


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


def _measured(path: Path) -> bytes:
    with _open(path) as file:
        reader = SgxsReader(file, str(path))
        for _ in reader.pages():
            pass
        return reader.mrenclave


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
