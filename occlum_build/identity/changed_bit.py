"""Which bit of a SIGSTRUCT was changed, where it is one: the signature tells.

What the signature opens to is the digest of what was signed. If one bit of the signed bytes
was flipped since, flipping it back gives that digest; likewise for the key and the signature
themselves. A wider change is beyond that, and beyond anyone without the original.
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from occlum_build.sgx.sigstruct import (
    EXPONENT,
    KEY_BITS,
    KEY_BYTES,
    SIGNED_BYTES,
    SigStruct,
    signed_part,
)
from occlum_build.sgx.verify import padded, unpadded

MODULUS_AT: Final = 128
SIGNATURE_AT: Final = 516
_SECOND_AT: Final = 900
_FIRST_BYTES: Final = 128

FIELDS: Final = (
    (0, "HEADER"),
    (16, "VENDOR"),
    (20, "DATE"),
    (24, "HEADER2"),
    (40, "SWDEFINED"),
    (44, "RESERVED"),
    (128, "MODULUS"),
    (512, "EXPONENT"),
    (516, "SIGNATURE"),
    (900, "MISCSELECT"),
    (904, "MISCMASK"),
    (908, "CET_ATTRIBUTES"),
    (909, "CET_ATTRIBUTES_MASK"),
    (910, "RESERVED"),
    (912, "ISVFAMILYID"),
    (928, "ATTRIBUTES"),
    (944, "ATTRIBUTEMASK"),
    (960, "ENCLAVEHASH"),
    (992, "RESERVED"),
    (1008, "ISVEXTPRODID"),
    (1024, "ISVPRODID"),
    (1026, "ISVSVN"),
    (1028, "RESERVED"),
    (1040, "Q1"),
    (1424, "Q2"),
)
"""Where each field begins (Intel SDM vol. 3D, "Layout of Enclave Signature Structure")."""


def field_at(offset: int) -> str:
    """The field that has this byte of a SIGSTRUCT."""
    return next(name for start, name in reversed(FIELDS) if start <= offset)


def changed_bit(sigstruct: bytes) -> tuple[int, int] | None:
    """The byte and bit that make the signature right when they are flipped; None if none does."""
    parsed = SigStruct.read(sigstruct)
    if parsed.modulus.bit_length() == KEY_BITS and parsed.signature < parsed.modulus:
        digest = unpadded(pow(parsed.signature, EXPONENT, parsed.modulus))
        if digest is not None:
            return _in_signed_bytes(signed_part(sigstruct), digest)
    due = padded(hashlib.sha256(signed_part(sigstruct)).digest())
    for bit, signature in _flips(parsed.signature):
        if signature < parsed.modulus and pow(signature, EXPONENT, parsed.modulus) == due:
            return SIGNATURE_AT + bit // 8, bit % 8
    for bit, modulus in _flips(parsed.modulus):
        if modulus and pow(parsed.signature, EXPONENT, modulus) == due:
            return MODULUS_AT + bit // 8, bit % 8
    return None


def _in_signed_bytes(signed: bytes, digest: bytes) -> tuple[int, int] | None:
    changed = bytearray(signed)
    for index in range(SIGNED_BYTES):
        for bit in range(8):
            changed[index] ^= 1 << bit
            if hashlib.sha256(changed).digest() == digest:
                offset = index if index < _FIRST_BYTES else index - _FIRST_BYTES + _SECOND_AT
                return offset, bit
            changed[index] ^= 1 << bit
    return None


def _flips(number: int) -> Iterator[tuple[int, int]]:
    for bit in range(KEY_BYTES * 8):
        yield bit, number ^ 1 << bit
