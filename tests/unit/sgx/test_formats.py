"""Byte formats, each against what the manual says and against the LibOS's own definition."""

import re

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx import layout
from occlum_build.sgx.attributes import AttributeFlags, Attributes, flag_names, launch_terms
from occlum_build.sgx.boot import MAGIC, BootInfo, MemoryModel, ThreadInfo
from occlum_build.sgx.secinfo import (
    READ_EXECUTE,
    READ_ONLY,
    READ_WRITE,
    READ_WRITE_EXECUTE,
    TCS,
    SecInfo,
)
from occlum_build.sgx.secs import Secs
from occlum_build.sgx.tcs import Tcs
from tests.support.sgx_samples import ROOT, small_layout

ABI = ROOT / "libos_src" / "crates" / "abi" / "src"


@pytest.mark.parametrize(
    ("secinfo", "flags"),
    [
        (READ_ONLY, 0x201),
        (READ_WRITE, 0x203),
        (READ_EXECUTE, 0x205),
        (READ_WRITE_EXECUTE, 0x207),
        (TCS, 0x100),
    ],
)
def test_secinfo_has_the_flags_of_the_manual(secinfo: SecInfo, flags: int) -> None:
    assert secinfo.flags == flags
    assert SecInfo.parse(secinfo.pack()) == secinfo


@pytest.mark.parametrize("flags", [0x000, 0x001, 0x101, 0x202, 0x206, 0x208, 0x300, 0x10201])
def test_secinfo_that_eadd_would_refuse_cannot_be_read(flags: int) -> None:
    with pytest.raises(DiagnosticError):
        SecInfo.from_flags(flags)


def test_tcs_fields_lie_where_the_manual_says() -> None:
    page = Tcs(0x1000, 3, 0xABC, 0x4000, 0x5000).pack()

    assert len(page) == 4096
    assert page[16:24] == (0x1000).to_bytes(8, "little")
    assert page[28:32] == (3).to_bytes(4, "little")
    assert page[32:40] == (0xABC).to_bytes(8, "little")
    assert page[48:56] == (0x4000).to_bytes(8, "little")
    assert page[56:64] == (0x5000).to_bytes(8, "little")
    assert page[64:72] == b"\xff\x0f\0\0\xff\x0f\0\0"
    assert Tcs.parse(page) == Tcs(0x1000, 3, 0xABC, 0x4000, 0x5000)


@pytest.mark.parametrize("offset", [0, 8, 24, 40, 72, 4095])
def test_a_tcs_with_state_of_the_processor_is_refused(offset: int) -> None:
    page = bytearray(Tcs(0x1000, 3, 0, 0, 0).pack())
    page[offset] |= 1

    with pytest.raises(DiagnosticError):
        Tcs.parse(bytes(page))


def test_secs_fields_lie_where_the_manual_says() -> None:
    secs = Secs(
        1 << 30, 0, 1, 1, Attributes(4, 3), b"E" * 32, b"S" * 32, b"C" * 64, 0x1122, 0x3344, 0x5566
    )

    page = secs.pack()

    assert page[16:24] == b"\1\0\0\0\1\0\0\0"
    assert page[48:64] == Attributes(4, 3).pack()
    assert page[64:96] == b"E" * 32
    assert page[128:160] == b"S" * 32
    assert page[192:262] == b"C" * 64 + b"\x22\x11\x44\x33\x66\x55"
    assert Secs.parse(page) == secs


def test_a_release_enclave_cannot_start_with_debug() -> None:
    terms = launch_terms(debuggable=False, enable_kss=False)

    assert terms.attributes == Attributes(AttributeFlags.MODE64BIT, 3)
    assert terms.attribute_mask == Attributes((1 << 64) - 1, (1 << 64) - 1 - 0xE4)
    assert (terms.misc_select, terms.misc_mask) == (1, 0xFFFF_FFFF)


def test_a_debuggable_enclave_leaves_the_debug_bit_open() -> None:
    terms = launch_terms(debuggable=True, enable_kss=True)

    assert flag_names(terms.attributes.flags) == ["DEBUG", "MODE64BIT", "KSS"]
    assert terms.attribute_mask.flags == 0xFFFF_FFFF_FFFF_FFFD


def test_boot_info_survives_its_page() -> None:
    boot = small_layout().boot

    page = boot.pack()

    assert page.startswith(MAGIC + b"\2\0\0\0\0\0\0\0")
    assert BootInfo.parse(page) == boot


@pytest.mark.parametrize("offset", [0, 8, 112, 4095])
def test_boot_info_of_another_kind_is_refused(offset: int) -> None:
    page = bytearray(small_layout().boot.pack())
    page[offset] ^= 0x40

    with pytest.raises(DiagnosticError):
        BootInfo.parse(bytes(page))


def test_boot_info_is_the_one_of_the_libos() -> None:
    source = (ABI / "boot.rs").read_text(encoding="utf-8")

    fields = re.findall(r"^    pub (\w+): u64,", source, re.MULTILINE)

    assert fields == ["magic", "version", *BootInfo.__dataclass_fields__]
    assert f'b"{MAGIC.decode()}"' in source
    for model in MemoryModel:
        assert f"MEMORY_{model.name}: u64 = {model.value};" in source


def test_the_thread_block_is_the_one_of_the_libos() -> None:
    source = (ABI / "thread.rs").read_text(encoding="utf-8")

    constants = {
        name: int(value, 0)
        for name, value in re.findall(r"pub const (\w+): \w+ = (0x\w+|\d+);", source)
    }

    assert constants["SSA_OFFSET"] == layout.SSA_OFFSET
    assert constants["SSA_COUNT"] == layout.SSA_FRAMES
    assert constants["PAGE_OFFSET"] == layout.TLS_OFFSET
    assert constants["KERNEL_STACK_OFFSET"] == layout.KERNEL_STACK_OFFSET
    order = ("SELF", "BOOT_INFO", "TCS", "INDEX", "KERNEL_STACK_TOP", "EXCEPTION_STACK_TOP")
    page = ThreadInfo(*range(1, 7)).pack()
    for value, name in enumerate(order, start=1):
        assert page[constants[name]] == value
