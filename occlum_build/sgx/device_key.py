"""A signing key that never leaves its device: PKCS#11 (OASIS, "PKCS #11 Specification").

A key is chosen by its id (CKA_ID). A label is no name: a token may hold two keys
with one label, and tools that take the first sign with the wrong one without a
word. `python-pkcs11` is an optional package, loaded here and nowhere else.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.sgx.key import check_numbers
from occlum_build.sgx.verify import DIGEST_INFO

REQUIREMENT: Final = "python-pkcs11>=0.10"
_MAX_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """Which key of which token, behind which module (a shared library of the device's maker).

    `token` is the label that a person gave the token when it was set up, `serial` its maker's
    number for it; at least one is needed where the module shows more than one token.
    """

    module: Path
    key_id: bytes
    token: str | None = None
    serial: str | None = None


def sign_on_device(
    key: DeviceKey, signed_bytes: bytes, pin: Callable[[], str], check: Callable[[int], None]
) -> tuple[int, bytes]:
    """The key's modulus, and its big-endian signature (PKCS#1 v1.5, SHA-256) of `signed_bytes`.

    `pin` is asked once, after the module and the token are found: a wrong one is never tried
    twice, as devices lock themselves. `check` may refuse the key before it is used.
    Raises `DiagnosticError` if the module, the token or the key is not there, or is another kind.
    """
    library = _library()
    with _explained(library, key):
        token = _token(library, key)
        needs_no_pin = library.TokenFlag.PROTECTED_AUTHENTICATION_PATH in token.flags
        user_pin: Any = library.types.PROTECTED_AUTH if needs_no_pin else pin()
        with token.open(user_pin=user_pin) as session:
            private = _private_key(library, session, key)
            modulus = _modulus(library, private, key)
            check(modulus)
            return modulus, _signature(library, token, private, signed_bytes)


def _library() -> Any:
    try:
        import pkcs11
    except ImportError:
        raise DiagnosticError(
            error(
                "OB0553",
                "signing with a PKCS#11 device needs the Python package `python-pkcs11`",
                notes=("it is optional: nothing else uses it",),
                helps=(f"`{sys.executable} -m pip install '{REQUIREMENT}'` installs it",),
            )
        ) from None
    return pkcs11


def _token(library: Any, key: DeviceKey) -> Any:
    """The one token that was meant; to guess among two would sign with a key of somebody else."""
    try:
        module = library.lib(str(key.module))
    except library.PKCS11Error as problem:
        raise _refusal(f"the module `{key.module}` does not load", str(problem)) from None
    everything = list(module.get_tokens(token_flags=library.TokenFlag.TOKEN_INITIALIZED))
    found = [
        one
        for one in everything
        if key.token in (None, one.label) and key.serial in (None, _text(one.serial))
    ]
    if len(found) == 1:
        return found[0]
    wanted = f"the token `{key.token or key.serial}`" if key.token or key.serial else "one token"
    there = [f"a token `{one.label}`, serial `{_text(one.serial)}`" for one in found or everything]
    raise _refusal(
        f"the module `{key.module.name}` shows {len(found)} tokens where {wanted} was expected",
        *(there[:_MAX_SHOWN] or ("it shows no token at all",)),
        helps=("name one with `--token LABEL` or `--token-serial SERIAL`",),
    )


def _private_key(library: Any, session: Any, key: DeviceKey) -> Any:
    attributes = {library.Attribute.CLASS: library.ObjectClass.PRIVATE_KEY}
    everything = list(session.get_objects(attributes))
    found = [one for one in everything if bytes(one[library.Attribute.ID]) == key.key_id]
    if len(found) == 1:
        return found[0]
    ids = [bytes(one[library.Attribute.ID]).hex() or "(none)" for one in everything]
    raise _refusal(
        f"the token has {len(found)} private keys with the id `{key.key_id.hex()}`, not one",
        *([f"it has private keys with the ids {', '.join(ids[:_MAX_SHOWN])}"] if ids else ()),
    )


def _modulus(library: Any, private: Any, key: DeviceKey) -> int:
    """The modulus that the device gives for its private key, if SGX takes such a key."""
    file = Path(f"{key.module.name}:{key.key_id.hex()}")
    if private.key_type != library.KeyType.RSA:
        raise _refusal(f"the key `{key.key_id.hex()}` is not an RSA key")
    modulus = int.from_bytes(private[library.Attribute.MODULUS], "big")
    exponent = int.from_bytes(private[library.Attribute.PUBLIC_EXPONENT], "big")
    check_numbers(file, modulus.bit_length(), exponent)
    return modulus


def _signature(library: Any, token: Any, private: Any, signed_bytes: bytes) -> bytes:
    """Let the device hash, or where it cannot, hash here and let it sign the DigestInfo."""
    import hashlib

    if library.Mechanism.SHA256_RSA_PKCS in token.slot.get_mechanisms():
        mechanism, data = library.Mechanism.SHA256_RSA_PKCS, signed_bytes
    else:
        mechanism = library.Mechanism.RSA_PKCS
        data = DIGEST_INFO + hashlib.sha256(signed_bytes).digest()
    return bytes(private.sign(data, mechanism=mechanism))


@contextmanager
def _explained(library: Any, key: DeviceKey) -> Iterator[None]:
    """Turn what the device says into a diagnostic."""
    try:
        yield
    except library.PinIncorrect:
        raise _refusal(
            "the PIN is wrong", helps=("devices lock after a few wrong PINs",)
        ) from None
    except library.PinLocked:
        raise _refusal("the token is locked: its PIN was wrong too often") from None
    except library.PKCS11Error as problem:
        said = f"{type(problem).__name__} {problem}".rstrip()
        raise _refusal(f"the device behind `{key.module.name}` refuses", said) from None


def _text(serial: bytes) -> str:
    return serial.decode("ascii", "backslashreplace").rstrip(" \0")


def _refusal(message: str, *notes: str, helps: tuple[str, ...] = ()) -> DiagnosticError:
    return DiagnosticError(error("OB0554", message, notes=notes, helps=helps))
