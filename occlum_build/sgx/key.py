"""Signing keys: RSA-3072 with exponent 3, in PEM files.

SGX takes no other kind (Intel SDM vol. 3D, SIGSTRUCT fields MODULUS, EXPONENT).
A private key is read by the one action that signs, and by nothing else.
"""

import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.output_file import temporary_beside
from occlum_build.sgx.sigstruct import EXPONENT, KEY_BITS

_PRIVATE_FILE_MODE: Final = 0o600
_PRIVATE_FOLDER_MODE: Final = 0o700
_MAX_PEM_BYTES: Final = 1 << 16
_MAKE_A_KEY: Final = f"`openssl genrsa -3 -out key.pem {KEY_BITS}` makes a key that SGX takes"


def read_private_key(path: Path) -> RSAPrivateKey:
    """The key in a PEM file (PKCS#1 or PKCS#8); raises `DiagnosticError`."""
    pem = _read_pem(path)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise _refusal(
            path,
            "it is encrypted",
            "sign in two steps with `--emit-tbs` and `--attach`, or give an unencrypted key",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise _refusal(path, "it is not a private key in PEM", _MAKE_A_KEY) from None
    if not isinstance(key, RSAPrivateKey):
        raise _refusal(path, "it is not an RSA key", _MAKE_A_KEY)
    check_numbers(path, key.key_size, key.public_key().public_numbers().e)
    return key


def read_public_key(path: Path) -> RSAPublicKey:
    """The public half, from a PEM file of a public or a private key."""
    pem = _read_pem(path)
    if b"PRIVATE KEY-----" in pem:
        return read_private_key(path).public_key()
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise _refusal(path, "it is not a public key in PEM") from None
    if not isinstance(key, RSAPublicKey):
        raise _refusal(path, "it is not an RSA key", _MAKE_A_KEY)
    check_numbers(path, key.key_size, key.public_numbers().e)
    return key


def public_pem(key: RSAPublicKey) -> bytes:
    """The key as SubjectPublicKeyInfo in PEM: one form whatever the key came from."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def ensure_development_key(path: Path, workspace: Path | None = None) -> bool:
    """Make `path` a new private key if there is no file; whether it was made.

    A key that is there stays, whoever else makes one at the same time. It is
    readable by its owner alone and must not lie in the workspace, where it
    could be committed or become an input of an action.
    """
    if workspace is not None and path.resolve().is_relative_to(workspace.resolve()):
        raise DiagnosticError(
            error(
                "OB0552",
                f"the development key `{path}` lies in the workspace",
                helps=("keep private keys outside the source tree",),
            )
        )
    if path.exists():
        read_private_key(path)
        return False
    try:
        path.parent.mkdir(mode=_PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
        return _link_new_file(path, _new_private_pem())
    except OSError as problem:
        raise DiagnosticError(
            error("OB0591", f"cannot write `{path}`: {problem.strerror}")
        ) from None


def _new_private_pem() -> bytes:

    key = generate_private_key(public_exponent=EXPONENT, key_size=KEY_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _link_new_file(path: Path, content: bytes) -> bool:
    """Give `content` the name `path` unless somebody has taken it."""
    temporary = temporary_beside(path)
    try:
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read_pem(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_PEM_BYTES)
    except OSError as problem:
        raise DiagnosticError(
            error("OB0550", f"cannot read the key `{path}`: {problem.strerror}", Span(str(path)))
        ) from None


def check_numbers(path: Path, bits: int, exponent: int) -> None:
    """Raises `DiagnosticError` unless SGX takes a key with these; `path` is what it is called."""
    if bits != KEY_BITS:
        raise _refusal(path, f"it has {bits} bits, and SGX takes {KEY_BITS}", _MAKE_A_KEY)
    if exponent != EXPONENT:
        reason = f"its public exponent is {exponent}, and SGX takes {EXPONENT}"
        raise _refusal(path, reason, _MAKE_A_KEY)


def _refusal(path: Path, reason: str, *helps: str) -> DiagnosticError:
    return DiagnosticError(
        error("OB0551", f"this key cannot sign an enclave: {reason}", Span(str(path)), helps=helps)
    )
