"""The LibOS's ELF file: what is taken from it, and what is refused."""

import dataclasses
import struct

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.elf import read_libos
from occlum_build.sgx.stream import PageRun
from tests.support.elf_file import (
    PT_INTERP,
    PT_TLS,
    RELATIVE,
    ElfFile,
    Part,
    R,
    W,
    X,
    small_libos,
)
from tests.support.sgx_samples import content

BASE = 0x4000_0000


def runs_of(elf: ElfFile) -> list[PageRun]:
    return read_libos(elf.to_bytes(), "libos.elf").page_runs(BASE)


def refusal_of(elf: ElfFile | bytes) -> str:
    data = elf if isinstance(elf, bytes) else elf.to_bytes()
    with pytest.raises(DiagnosticError) as caught:
        read_libos(data, "libos.elf")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "OB0520"
    return diagnostic.message.removeprefix("this file cannot be the LibOS of an enclave: ")


def changed(**changes: object) -> ElfFile:
    return dataclasses.replace(small_libos(), **changes)  # type: ignore[arg-type]


def test_each_segment_becomes_pages_with_its_permissions() -> None:
    runs = runs_of(small_libos())

    assert [
        (run.name, run.offset - BASE, run.page_count, run.secinfo.permissions.letters())
        for run in runs
    ] == [
        ("libos rodata", 0, 1, "r--"),
        ("libos text", 0x1000, 1, "r-x"),
        ("libos relro", 0x2000, 1, "r--"),
        ("libos data", 0x3000, 2, "rw-"),
    ]
    assert all(run.measured for run in runs)


def test_a_segment_keeps_its_place_within_its_first_page() -> None:
    text = runs_of(small_libos())[1]

    assert text.data == bytes(0x10) + b"\x90" * 100


def test_relocations_are_applied_for_the_address_of_the_libos() -> None:
    _, _, relro, data = runs_of(small_libos())

    assert struct.unpack_from("<Q", content(relro), 8) == (BASE + 0x1010,)
    assert struct.unpack_from("<Q", content(relro), 0xFF8) == (BASE - 16,)
    assert data.data == b"data"


def test_a_file_without_relro_keeps_its_data_in_one_piece() -> None:
    runs = runs_of(changed(relro=None))

    assert [run.name for run in runs] == ["libos rodata", "libos text", "libos data"]


@pytest.mark.parametrize(
    ("elf", "reason"),
    [
        (b"", "it is not an ELF file"),
        (b"\x7fELF" + bytes(20), "it is not an ELF file"),
        (changed(machine=183), "it is not a 64-bit little-endian x86-64 file"),
        (changed(extra={"class": 1}), "it is not a 64-bit little-endian x86-64 file"),
        (changed(elf_type=2), "it is not position independent"),
        (changed(extra={"phnum": 0}), "its program header table is broken (0 of 56 bytes)"),
        (changed(extra={"phnum": 65}), "its program header table is broken (65 of 56 bytes)"),
        (changed(headers=((PT_INTERP, 0, 1),)), "it asks for a dynamic linker (PT_INTERP)"),
        (
            changed(headers=((PT_TLS, 0, 1),)),
            "it has thread-local storage (PT_TLS) that nothing would set up",
        ),
        (
            changed(parts=(Part(R | W | X, 0x1000, b"x" * 64),), relro=None, relocations=()),
            "the segment at 0x1000 is writable and executable at once",
        ),
        (
            changed(parts=(Part(X, 0x1000, b"x" * 64),), relro=None, relocations=()),
            "the segment at 0x1000 is not readable",
        ),
        (
            changed(parts=(Part(R | X, 0x1000, b"x" * 64), Part(R | W, 0x1800, b"y")), relro=None),
            "the segment at 0x1800 shares a page with the one before it, or lies below it",
        ),
        (
            changed(parts=(Part(R | X, 0x2000, b"x" * 64), Part(R | W, 0x1000, b"y")), relro=None),
            "the segment at 0x1000 shares a page with the one before it, or lies below it",
        ),
        (changed(skew=8), "the segment at 0x1010 is not aligned as it says (offset 0x1018)"),
        (
            changed(
                parts=(Part(R | X, 0x1000, b"x" * 64, memory_bytes=1 << 40),),
                relro=None,
                relocations=(),
            ),
            "the segment at 0x1000 ends beyond 1 GiB",
        ),
        (changed(entry=0x2000), "its entry address 0x2000 is not in executable memory"),
        (
            changed(relro=(0x2000, 0x800)),
            "its read-only-after-relocation part is not a run of whole pages at the start of",
        ),
        (
            changed(relro=(0x2800, 0x800)),
            "its read-only-after-relocation part is not a run of whole pages at the start of",
        ),
        (
            changed(relocations=((0x2008, 1, 0),)),
            "it has a relocation of type 1 at 0x2008; only R_X86_64_RELATIVE (8) can be applied",
        ),
        (
            changed(relocations=((0x1018, RELATIVE, 0),)),
            "it has a relocation in its text at 0x1018",
        ),
        (
            changed(relocations=((0x4000, RELATIVE, 0),)),
            "it has a relocation at 0x4000, outside its data",
        ),
        (
            changed(relocations=((0x2FFD, RELATIVE, 0),)),
            "it has a relocation at 0x2ffd, outside its data",
        ),
        (changed(tags=((1, 0),)), "it needs shared libraries (DT_NEEDED)"),
        (changed(tags=((22, 0),)), "it has relocations in its text (DT_TEXTREL)"),
        (changed(tags=((2, 24),)), "it has PLT relocations (DT_PLTRELSZ)"),
        (changed(tags=((35, 8),)), "it has packed relocations (DT_RELRSZ)"),
        (
            changed(tags=((27, 8),)),
            "it has initialisers that nothing would run (DT_INIT_ARRAYSZ)",
        ),
    ],
)
def test_what_an_enclave_cannot_hold_is_refused(elf: ElfFile | bytes, reason: str) -> None:
    if reason.endswith("0x2ffd, outside its data"):
        elf = changed(
            relocations=((0x2FFD, RELATIVE, 0),),
            parts=(Part(R | X, 0x1010, b"\x90" * 100), Part(R | W, 0x2000, bytes(0x1000))),
        )

    assert refusal_of(elf).startswith(reason)


@pytest.mark.parametrize("length", [4, 64, 100, 300, 1100, 4200, 8190])
def test_a_file_that_was_cut_short_is_refused(length: int) -> None:
    assert refusal_of(small_libos().to_bytes()[:length])
