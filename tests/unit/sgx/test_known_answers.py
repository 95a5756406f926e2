"""SIGSTRUCTs and an RSA vector that others made: what we read, check and make agrees."""

import hashlib

import pytest

from occlum_build.sgx.sigstruct import SigStruct, quotients
from occlum_build.sgx.verify import faults, padded
from tests.support.sgx_samples import vector

KNOWN = {
    "fortanix-test_enclave.sig": (
        "784acfd7d5096a8f0fbd3265760bff21b120f62407a9a9e5ba31aa3c8ed198fc",
        "fb4bab3d6036ac1d730fa83d7366df1dd2dfeac194ef335d6854d8a6c6475542",
        "20161214",
        0,
    ),
    "fortanix-sig1.sigstruct.bin": (
        "c50673624a6cb17c1c6c2a4e6906f47a170c4629b8723781d1017ef376f1a75d",
        "83d719e77deaca1470f6baf62a4d774303c899db69020f9c70ee1dfc08c7ce9e",
        "20160109",
        0,
    ),
    "mobilecoin-valid.css": (
        "5b9fbfca6ac62d8236ec5e1c4eebd847fb1807450a78ea2421be5cb4b49a5ea9",
        "7ee5e29d74623fdbc6fbf1454be6f3bb0b86c12366b7b478ad13353e44de8411",
        "20200128",
        0,
    ),
    "intel-le_prod_css.bin": (
        "7881af9f9def547da9908c008f29cde9bd78064e36ac7e14c83c294ca4806150",
        "acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4",
        "20240811",
        0x8086,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_sigstruct_of_others_says_what_its_maker_says(name: str) -> None:
    mrenclave, mrsigner, date, vendor = KNOWN[name]

    sigstruct = SigStruct.parse(vector(name))

    assert sigstruct.identity.mrenclave.hex() == mrenclave
    assert sigstruct.mrsigner.hex() == mrsigner
    assert sigstruct.identity.date == date
    assert sigstruct.identity.vendor == vendor
    assert faults(sigstruct, name, bytes.fromhex(mrenclave)) == []


@pytest.mark.parametrize("name", KNOWN)
def test_a_sigstruct_of_others_is_made_again_from_key_signature_and_fields(name: str) -> None:
    known = SigStruct.parse(vector(name))

    q1, q2 = quotients(known.signature, known.modulus)
    again = SigStruct(known.identity, known.modulus, known.signature, q1, q2)

    assert again.pack() == vector(name)


def test_the_signed_bytes_hash_to_the_known_value() -> None:
    signed = SigStruct.parse(vector("fortanix-sig1.sigstruct.bin")).identity.signed_bytes()

    assert (
        hashlib.sha256(signed).hexdigest()
        == "ea7ced3b8c78324bce65ad851152a125fd1989df324dc72b244ed5f44573ac95"
    )


def test_quotients_are_those_of_the_known_vector() -> None:
    modulus, signature, q1, q2 = (
        int.from_bytes(vector(f"fortanix-sig1.{part}.bin"), "little")
        for part in ("key_n", "sig", "q1", "q2")
    )

    assert quotients(signature, modulus) == (q1, q2)
    assert pow(signature, 3, modulus) == padded(vector("fortanix-sig1.data.bin"))


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("offset", [20, 130, 520, 900, 945, 970, 1024, 1045, 1430, 1807])
def test_one_changed_bit_is_noticed(name: str, offset: int) -> None:
    data = bytearray(vector(name))
    data[offset] ^= 1

    sigstruct = SigStruct.parse(bytes(data))

    assert faults(sigstruct, name) != []
