"""From an identity to a SIGSTRUCT: with a key at hand, or with a signature made elsewhere."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error
from occlum_build.sgx.sigstruct import (
    EXPONENT,
    KEY_BYTES,
    EnclaveIdentity,
    SigStruct,
    mrsigner,
    quotients,
)
from occlum_build.sgx.verify import faults, padded, unpadded


def sign(identity: EnclaveIdentity, key: RSAPrivateKey) -> SigStruct:
    """Sign with a private key. The same key and identity give the same bytes.

    PKCS#1 v1.5 takes no random number, so nothing here depends on when or where.
    """
    signature = key.sign(identity.signed_bytes(), PKCS1v15(), SHA256())
    return attach(identity, key.public_key().public_numbers().n, signature, "the signature")


def attach(identity: EnclaveIdentity, modulus: int, signature: bytes, file: str) -> SigStruct:
    """Put a signature that a device or another machine made into a SIGSTRUCT.

    `signature` is big endian, as PKCS#1 and every signing tool write it. Raises
    `DiagnosticError` if it is not the signature of this identity by this key:
    a device that holds two keys may have used the wrong one.
    """
    if len(signature) != KEY_BYTES:
        raise DiagnosticError(
            error(
                "OB0562",
                f"a signature has {KEY_BYTES} bytes, not {len(signature)}",
                Span(file),
                helps=("give the raw signature: no PEM, no base64, no DER around it",),
            )
        )
    number = int.from_bytes(signature, "big")
    if number >= modulus or pow(number, EXPONENT, modulus) != _due(identity):
        raise DiagnosticError(_why_not(identity, modulus, signature, file))
    sigstruct = SigStruct(identity, modulus, number, *quotients(number, modulus))
    found = faults(sigstruct, file)
    if found:
        raise DiagnosticError(found)
    return sigstruct


def check_signer(modulus: int, expected: bytes | None, file: str) -> None:
    """Raises `DiagnosticError` if this is not the key whose MRSIGNER was expected."""
    found = mrsigner(modulus)
    if expected is not None and found != expected:
        raise DiagnosticError(
            error(
                "OB0563",
                "this is another key than the one that was expected",
                Span(file),
                notes=(f"MRSIGNER of this key {found.hex()}", f"expected {expected.hex()}"),
            )
        )


def _due(identity: EnclaveIdentity) -> int:
    return padded(hashlib.sha256(identity.signed_bytes()).digest())


def _why_not(identity: EnclaveIdentity, modulus: int, signature: bytes, file: str) -> Diagnostic:
    """Which of the usual mistakes was made: byte order, key, or what was signed."""
    reverse = int.from_bytes(signature, "little")
    if reverse < modulus and pow(reverse, EXPONENT, modulus) == _due(identity):
        return error(
            "OB0562",
            "this signature is in the wrong byte order",
            Span(file),
            notes=(
                "it is little endian, as in a SIGSTRUCT; PKCS#1 and signing tools are big endian",
            ),
            helps=("reverse its 384 bytes",),
        )
    opened = pow(int.from_bytes(signature, "big"), EXPONENT, modulus)
    digest = unpadded(opened)
    if digest is None:
        return error(
            "OB0562",
            "this signature was not made by this key",
            Span(file),
            notes=(
                f"MRSIGNER of the public key {mrsigner(modulus).hex()}",
                "or not as RSA with PKCS#1 v1.5 and SHA-256, which SGX takes alone",
            ),
        )
    signed = hashlib.sha256(identity.signed_bytes()).hexdigest()
    return error(
        "OB0562",
        "this signature was made by this key, but for other bytes",
        Span(file),
        notes=(
            f"SHA-256 of what was signed {digest.hex()}",
            f"SHA-256 of what is due    {signed}",
        ),
        helps=("write the bytes to sign again, with the same options as here",),
    )
