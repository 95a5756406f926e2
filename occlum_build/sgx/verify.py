"""Is this SIGSTRUCT what it claims to be? Answers without a key and without SGX hardware."""

import hashlib
from typing import Final

from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error
from occlum_build.sgx.sigstruct import EXPONENT, KEY_BITS, KEY_BYTES, SigStruct, quotients

# RFC 8017, section 9.2, note 1: DER of DigestInfo for SHA-256, before the digest.
DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")


def faults(sigstruct: SigStruct, file: str, mrenclave: bytes | None = None) -> list[Diagnostic]:
    """Everything for which EINIT would refuse this signature; empty if it is right.

    With `mrenclave`, also whether it is the signature of that enclave. Who the
    signer is, and whether DEBUG is allowed, is for the caller to judge.
    """
    found: list[str] = []
    if sigstruct.modulus.bit_length() != KEY_BITS:
        found.append(f"MODULUS has {sigstruct.modulus.bit_length()} bits, not {KEY_BITS}")
    elif not is_signature(sigstruct, sigstruct.identity.signed_bytes()):
        found.append("SIGNATURE is not the signer's signature of these fields")
    elif quotients(sigstruct.signature, sigstruct.modulus) != (sigstruct.q1, sigstruct.q2):
        found.append("Q1 and Q2 do not belong to SIGNATURE and MODULUS")
    diagnostics = [error("OB0560", one, Span(file)) for one in found]
    claimed = sigstruct.identity.mrenclave
    if mrenclave is not None and claimed != mrenclave:
        diagnostics.append(
            error(
                "OB0561",
                "this signature is for another enclave",
                Span(file),
                notes=(
                    f"MRENCLAVE in the signature {claimed.hex()}",
                    f"MRENCLAVE of the enclave    {mrenclave.hex()}",
                ),
            )
        )
    return diagnostics


def parse_and_check(data: bytes, file: str, mrenclave: bytes | None = None) -> SigStruct:
    """Read a SIGSTRUCT that must be right; raises `DiagnosticError` with every fault."""
    try:
        sigstruct = SigStruct.parse(data)
    except DiagnosticError as problem:
        located = [
            error(one.code, one.message, Span(file), notes=one.notes)
            for one in problem.diagnostics
        ]
        raise DiagnosticError(located) from None
    found = faults(sigstruct, file, mrenclave)
    if found:
        raise DiagnosticError(found)
    return sigstruct


def padded(digest: bytes) -> int:
    """The number whose cube root modulo N signs `digest` (RFC 8017, EMSA-PKCS1-v1_5)."""
    payload = DIGEST_INFO + digest
    padding = b"\xff" * (KEY_BYTES - len(payload) - 3)
    return int.from_bytes(b"\x00\x01" + padding + b"\x00" + payload, "big")


def unpadded(number: int) -> bytes | None:
    """The digest that `padded` made this number of; None if it made no such number."""
    digest = (number & (1 << 256) - 1).to_bytes(32, "big")
    return digest if padded(digest) == number else None


def is_signature(sigstruct: SigStruct, signed: bytes) -> bool:
    """Whether SIGNATURE is the signature of these bytes by the key with this MODULUS."""
    if sigstruct.signature >= sigstruct.modulus:
        return False
    opened = pow(sigstruct.signature, EXPONENT, sigstruct.modulus)
    return opened == padded(hashlib.sha256(signed).digest())
