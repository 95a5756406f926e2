"""Keys that sign documents in tests: always the same ones."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from occlum_build.evidence import dsse

KEYS: dict[str, dsse.PrivateKey] = {
    "ed25519": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    "ecdsa": ec.derive_private_key(12345, ec.SECP256R1()),
}


def pem(key: Any) -> bytes:
    """The PEM file of a private key."""
    content: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return content
