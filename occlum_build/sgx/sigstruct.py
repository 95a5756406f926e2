"""SIGSTRUCT: the 1808 bytes by which a signer vouches for an enclave."""

import hashlib
import struct
from dataclasses import dataclass, field
from typing import Final, Self

from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.sgx.attributes import Attributes

SIGSTRUCT_BYTES: Final = 1808
SIGNED_BYTES: Final = 256
KEY_BYTES: Final = 384
KEY_BITS: Final = KEY_BYTES * 8
EXPONENT: Final = 3
VENDOR_NONE: Final = 0
VENDOR_INTEL: Final = 0x8086
_VENDORS: Final = (VENDOR_NONE, VENDOR_INTEL)

# Intel SDM vol. 3D, table "Layout of Enclave Signature Structure (SIGSTRUCT)". The signed
# bytes are [0, 128) and [900, 1028).
_HEADER: Final = bytes.fromhex("06000000e10000000000010000000000")
_HEADER2: Final = bytes.fromhex("01010000600000006000000001000000")
_FIRST: Final = struct.Struct("<16sI4s16sI84s")
_KEY: Final = struct.Struct("<384sI384s")
_SECOND: Final = struct.Struct("<IIBB2s16s16s16s32s16s16sHH")
_QUOTIENTS: Final = struct.Struct("<12s384s384s")
_KEY_START: Final = _FIRST.size
_SECOND_START: Final = _KEY_START + _KEY.size
_QUOTIENTS_START: Final = _SECOND_START + _SECOND.size
if (_KEY_START, _SECOND_START, _QUOTIENTS_START) != (128, 900, 1028):
    raise AssertionError(_QUOTIENTS_START)


@dataclass(frozen=True, slots=True)
class EnclaveIdentity:
    """Everything that a SIGSTRUCT says about an enclave: its 256 signed bytes.

    `date` is eight digits, `20240131`, or `00000000` for none; the processor
    does not look at it. Family and extended product ids mean something only in
    an enclave with KSS.
    """

    mrenclave: bytes
    attributes: Attributes
    attribute_mask: Attributes
    misc_select: int
    misc_mask: int
    date: str
    isv_prod_id: int = 0
    isv_svn: int = 0
    family_id: bytes = bytes(16)
    ext_prod_id: bytes = bytes(16)
    vendor: int = VENDOR_NONE
    software_defined: int = 0
    cet_attributes: int = 0
    cet_attributes_mask: int = 0

    @classmethod
    def parse(cls, signed: bytes) -> Self:
        """Read the signed bytes, the block that `sgx_sign gendata` writes too.

        Raises `DiagnosticError` with every constant that is wrong.
        """
        if len(signed) != SIGNED_BYTES:
            raise DiagnosticError(
                error("OB0510", f"a signer signs {SIGNED_BYTES} bytes, not {len(signed)}")
            )
        _refuse_wrong_constants("these are not a SIGSTRUCT's signed bytes", _signed_faults(signed))
        return cls.read(signed)

    @classmethod
    def read(cls, signed: bytes) -> Self:
        """Read the signed bytes, whatever the constants among them are."""
        _, vendor, date, _, software_defined, _ = _FIRST.unpack_from(signed)
        second = _SECOND.unpack_from(signed, _FIRST.size)
        return cls(
            mrenclave=second[8],
            attributes=Attributes.parse(second[6]),
            attribute_mask=Attributes.parse(second[7]),
            misc_select=second[0],
            misc_mask=second[1],
            date=date[::-1].hex(),
            isv_prod_id=second[11],
            isv_svn=second[12],
            family_id=second[5],
            ext_prod_id=second[10],
            vendor=vendor,
            software_defined=software_defined,
            cet_attributes=second[2],
            cet_attributes_mask=second[3],
        )

    def signed_bytes(self) -> bytes:
        """What the signature covers; the signer hashes exactly this."""
        return b"".join(self.halves())

    def halves(self) -> tuple[bytes, bytes]:
        """The signed bytes as they lie in SIGSTRUCT: before the key, and after the signature."""
        return self._first(), self._second()

    def _first(self) -> bytes:
        date = bytes.fromhex(self.date)[::-1]
        return _FIRST.pack(_HEADER, self.vendor, date, _HEADER2, self.software_defined, bytes(84))

    def _second(self) -> bytes:
        return _SECOND.pack(
            self.misc_select,
            self.misc_mask,
            self.cet_attributes,
            self.cet_attributes_mask,
            bytes(2),
            self.family_id,
            self.attributes.pack(),
            self.attribute_mask.pack(),
            self.mrenclave,
            bytes(16),
            self.ext_prod_id,
            self.isv_prod_id,
            self.isv_svn,
        )


@dataclass(frozen=True, slots=True)
class SigStruct:
    """A signed identity. Holding one does not mean that its signature is right.

    `q1` and `q2` help the processor check the signature without long division;
    `quotients` makes them, `verify.faults` compares.
    """

    identity: EnclaveIdentity
    modulus: int = field(repr=False)
    signature: int = field(repr=False)
    q1: int = field(repr=False)
    q2: int = field(repr=False)

    @property
    def mrsigner(self) -> bytes:
        """SHA-256 over MODULUS as it is stored."""
        return mrsigner(self.modulus)

    def pack(self) -> bytes:
        """The 1808 bytes."""
        first, second = self.identity.halves()
        key = _KEY.pack(_number(self.modulus), EXPONENT, _number(self.signature))
        quotient = _QUOTIENTS.pack(bytes(12), _number(self.q1), _number(self.q2))
        return first + key + second + quotient

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read 1808 bytes; raises `DiagnosticError` with every constant that is wrong."""
        sigstruct = cls.read(data)
        _refuse_wrong_constants("this is no SIGSTRUCT", constant_faults(data))
        return sigstruct

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Read 1808 bytes, whatever is in them; raises `DiagnosticError` for another number.

        Constants that are wrong are not kept: `constant_faults` names them, and
        `pack` gives other bytes than these if there are any.
        """
        if len(data) != SIGSTRUCT_BYTES:
            raise DiagnosticError(
                error("OB0510", f"a SIGSTRUCT has {SIGSTRUCT_BYTES} bytes, not {len(data)}")
            )
        modulus, _, signature = _KEY.unpack_from(data, _KEY_START)
        _, q1, q2 = _QUOTIENTS.unpack_from(data, _QUOTIENTS_START)
        numbers = (int.from_bytes(one, "little") for one in (modulus, signature, q1, q2))
        return cls(EnclaveIdentity.read(signed_part(data)), *numbers)


def signed_part(sigstruct: bytes) -> bytes:
    """The 256 of its bytes that the signature covers, as they are."""
    return sigstruct[:_KEY_START] + sigstruct[_SECOND_START:_QUOTIENTS_START]


def constant_faults(sigstruct: bytes) -> list[tuple[str, str]]:
    """The fields whose bytes the manual fixes and that have others, each with what is wrong."""
    _, exponent, _ = _KEY.unpack_from(sigstruct, _KEY_START)
    end, _, _ = _QUOTIENTS.unpack_from(sigstruct, _QUOTIENTS_START)
    checks = (
        ("EXPONENT", f"EXPONENT is {exponent}, not {EXPONENT}", exponent != EXPONENT),
        ("RESERVED", f"reserved bytes at {_QUOTIENTS_START} are not zero", any(end)),
    )
    found = [(name, message) for name, message, is_wrong in checks if is_wrong]
    return _signed_faults(signed_part(sigstruct)) + found


def _signed_faults(signed: bytes) -> list[tuple[str, str]]:
    header, vendor, date, header2, _, reserved = _FIRST.unpack_from(signed)
    second = _SECOND.unpack_from(signed, _FIRST.size)
    constant = "is not the constant of the manual"
    checks = (
        ("HEADER", f"HEADER {constant}", header != _HEADER),
        ("HEADER2", f"HEADER2 {constant}", header2 != _HEADER2),
        ("VENDOR", f"VENDOR is {vendor:#x}, not 0 or 0x8086", vendor not in _VENDORS),
        ("DATE", f"DATE {date[::-1].hex()} is not eight digits", not date.hex().isdecimal()),
        ("RESERVED", "reserved bytes at 44 are not zero", any(reserved)),
        ("RESERVED", "reserved bytes at 910 are not zero", any(second[4])),
        ("RESERVED", "reserved bytes at 992 are not zero", any(second[9])),
    )
    return [(name, message) for name, message, is_wrong in checks if is_wrong]


def mrsigner(modulus: int) -> bytes:
    """The signer's name to the processor: SHA-256 over the little-endian modulus."""
    return hashlib.sha256(_number(modulus)).digest()


def quotients(signature: int, modulus: int) -> tuple[int, int]:
    """Q1 and Q2 (Intel SDM vol. 3D, SIGSTRUCT fields Q1, Q2).

    Q1 = floor(S^2 / N), Q2 = floor((S^3 - Q1*S*N) / N).
    """
    q1, remainder = divmod(signature * signature, modulus)
    return q1, remainder * signature // modulus


def _number(value: int) -> bytes:
    return value.to_bytes(KEY_BYTES, "little")


def _refuse_wrong_constants(what: str, faults: list[tuple[str, str]]) -> None:
    if faults:
        raise DiagnosticError([error("OB0511", f"{what}: {message}") for _, message in faults])
