"""Signatures over documents, in the envelope of DSSE 1.0 (see `envelope`).

Two kinds of keys: Ed25519, and ECDSA on P-256 with SHA-256 and the nonce of RFC 6979. Both
give one signature for one document, so that a rebuild with the same key has the same bytes.
"""

import base64
import hashlib
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.evidence.canonical import canonical
from occlum_build.evidence.envelope import (
    PAYLOAD_TYPE,
    EnvelopeError,
    decoded,
    from_base64,
    pre_authentication,
)

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
PublicKey = Ed25519PublicKey | EllipticCurvePublicKey

_MAKE_A_KEY: Final = "`openssl genpkey -algorithm ed25519 -out key.pem` makes one"
_MAX_PEM_BYTES: Final = 1 << 16


def sign(payload: bytes, key: PrivateKey) -> bytes:
    """The envelope of a document, as canonical JSON."""
    signed = pre_authentication(PAYLOAD_TYPE, payload)
    if isinstance(key, Ed25519PrivateKey):
        signature = key.sign(signed)
    else:
        signature = key.sign(signed, ECDSA(hashes.SHA256(), deterministic_signing=True))
    return canonical(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}
            ],
        }
    )


def verified(envelope: bytes, key: PublicKey) -> bytes:
    """The document in an envelope that `key` has signed.

    Raises:
        EnvelopeError: it is no envelope, or no signature in it is the key's.
    """
    payload, signatures = decoded(envelope)
    signed = pre_authentication(PAYLOAD_TYPE, payload)
    for one in signatures:
        if _is_signature(key, from_base64(one.get("sig")), signed):
            return payload
    raise EnvelopeError(f"no signature in it is that of the key {key_id(key)}")


def key_id(key: PublicKey) -> str:
    """SHA-256 of the key's SubjectPublicKeyInfo in DER, as sigstore and others name keys."""
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def read_private_key(path: Path) -> PrivateKey:
    """The key in a PEM file; raises `DiagnosticError`."""
    try:
        key = load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise _refusal(path, "it is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _refusal(path, "it is not a private key in PEM") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
        return key
    raise _refusal(path, "it is neither an Ed25519 key nor one on the curve P-256")


def read_public_key(path: Path) -> PublicKey:
    """The public half, from a PEM file of a public or a private key; raises `DiagnosticError`."""
    pem = _read(path)
    if b"PRIVATE KEY-----" in pem:
        return read_private_key(path).public_key()
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise _refusal(path, "it is not a public key in PEM") from None
    if isinstance(key, Ed25519PublicKey):
        return key
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return key
    raise _refusal(path, "it is neither an Ed25519 key nor one on the curve P-256")


def _is_signature(key: PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, signed)
        else:
            key.verify(signature, signed, ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_PEM_BYTES)
    except OSError as problem:
        raise _refusal(path, f"{problem.strerror}") from None


def _refusal(path: Path, why: str) -> DiagnosticError:
    return DiagnosticError(
        error(
            "OB0802",
            "the key cannot sign or check provenance",
            Span(str(path)),
            notes=(why,),
            helps=(_MAKE_A_KEY,),
        )
    )
