"""From an identity to a SIGSTRUCT: with a key at hand, or with a signature made elsewhere."""

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.sigstruct import (
    KEY_BYTES,
    EnclaveIdentity,
    SigStruct,
    quotients,
)
from occlum_build.sgx.verify import faults


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
    number = int.from_bytes(signature[:KEY_BYTES], "big") if len(signature) == KEY_BYTES else 0
    q1, q2 = quotients(number, modulus)
    sigstruct = SigStruct(identity, modulus, number, q1, q2)
    found = faults(sigstruct, file)
    if found:
        raise DiagnosticError(found)
    return sigstruct
