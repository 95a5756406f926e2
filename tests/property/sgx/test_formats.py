"""Byte formats survive being written and read; hostile bytes are refused, never a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.attributes import Attributes
from occlum_build.sgx.elf import read_libos
from occlum_build.sgx.metadata import read_metadata
from occlum_build.sgx.sealed import read_sealed
from occlum_build.sgx.secinfo import SecInfo
from occlum_build.sgx.secs import Secs
from occlum_build.sgx.sigstruct import (
    KEY_BITS,
    SIGSTRUCT_BYTES,
    EnclaveIdentity,
    SigStruct,
    quotients,
)
from occlum_build.sgx.tcs import Tcs
from occlum_build.sgx.verify import faults
from tests.support.elf_file import small_libos
from tests.support.sgx_samples import content

U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
ATTRIBUTES = st.builds(Attributes, U64, U64)
BIG = st.integers(0, (1 << KEY_BITS) - 1)


def exactly(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


IDENTITIES = st.builds(
    EnclaveIdentity,
    mrenclave=exactly(32),
    attributes=ATTRIBUTES,
    attribute_mask=ATTRIBUTES,
    misc_select=U32,
    misc_mask=U32,
    date=st.integers(0, 99_999_999).map("{:08}".format),
    isv_prod_id=U16,
    isv_svn=U16,
    family_id=exactly(16),
    ext_prod_id=exactly(16),
    vendor=st.sampled_from([0, 0x8086]),
    software_defined=U32,
    cet_attributes=st.integers(0, 255),
    cet_attributes_mask=st.integers(0, 255),
)


@given(sigstruct=st.builds(SigStruct, IDENTITIES, BIG, BIG, BIG, BIG))
def test_a_sigstruct_survives_its_bytes(sigstruct: SigStruct) -> None:
    packed = sigstruct.pack()

    assert len(packed) == SIGSTRUCT_BYTES
    assert SigStruct.parse(packed) == sigstruct
    assert packed[:128] + packed[900:1028] == sigstruct.identity.signed_bytes()
    assert faults(sigstruct, "random.sig") != []


@given(data=st.one_of(st.binary(max_size=100), exactly(SIGSTRUCT_BYTES)))
def test_random_bytes_are_no_sigstruct(data: bytes) -> None:
    with pytest.raises(DiagnosticError):
        SigStruct.parse(data)


@given(signature=BIG, modulus=st.integers(1 << KEY_BITS - 1, (1 << KEY_BITS) - 1))
def test_quotients_obey_the_equations_of_the_manual(signature: int, modulus: int) -> None:
    signature %= modulus

    q1, q2 = quotients(signature, modulus)

    assert q1 == signature**2 // modulus
    assert q2 == (signature**3 - q1 * signature * modulus) // modulus
    assert signature**3 - q1 * signature * modulus - q2 * modulus == pow(signature, 3, modulus)


@given(
    tcs=st.builds(Tcs, U64, U32, U64, U64, U64, U32, U32, U64.map(lambda flags: flags & ~1)),
)
def test_a_tcs_survives_its_page(tcs: Tcs) -> None:
    assert Tcs.parse(tcs.pack()) == tcs


@given(
    secs=st.builds(
        Secs, U64, U64, U32, U32, ATTRIBUTES, exactly(32), exactly(32), exactly(64), U16, U16, U16
    )
)
def test_a_secs_survives_its_page(secs: Secs) -> None:
    assert Secs.parse(secs.pack()) == secs


@given(flags=st.one_of(st.integers(0, 0x800), U64))
def test_secinfo_flags_are_read_back_or_refused(flags: int) -> None:
    try:
        secinfo = SecInfo.from_flags(flags)
    except DiagnosticError:
        return
    assert secinfo.flags == flags


@given(edits=st.lists(st.tuples(st.integers(0, 0x600), st.binary(min_size=1, max_size=8))))
def test_a_damaged_elf_is_read_or_refused(edits: list[tuple[int, bytes]]) -> None:
    data = bytearray(small_libos().to_bytes())
    for offset, patch in edits:
        data[offset : offset + len(patch)] = patch

    try:
        libos = read_libos(bytes(data), "libos.elf")
    except DiagnosticError:
        return
    runs = libos.page_runs(1 << 21)
    assert sum(run.size_bytes for run in runs) <= libos.size_bytes
    assert all(len(content(run)) <= run.size_bytes for run in runs)


@given(data=st.binary(max_size=200))
def test_random_bytes_are_no_elf_and_no_json(data: bytes) -> None:
    for read in (read_libos, read_sealed, read_metadata):
        with pytest.raises(DiagnosticError):
            read(data, "input")
