"""Files that claim what they do not have: refused at once, whatever the number says."""

import os
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.diagnostic import Diagnostic, DiagnosticError
from occlum_build.enclave_file.read import read_enclave
from tests.support.enclave_files import (
    PAGE,
    ElfEnclave,
    Entry,
    Group,
    Metadata,
    OpenEnclave,
    Part,
    R,
    Section,
    W,
    sgxmeta_note,
)

GIB = 1 << 30
TIB = 1 << 40
PARTS = [Part(4, 0, b"x" * 100, 100), Part(6, 0x1000, b"y" * 100, 100)]


def refusal(path: Path, data: bytes) -> Diagnostic:
    path.write_bytes(data)
    with pytest.raises(DiagnosticError) as caught:
        read_enclave(path)
    return caught.value.diagnostics[0]


def sdk(
    layout: Sequence[Entry | Group] = (),
    *,
    size: int = 1 << 30,
    parts: Sequence[Part] = PARTS,
    **changes: object,
) -> bytes:
    block = Metadata((3, 3), size, 1, list(layout))
    block = replace(block, **changes)  # type: ignore[arg-type]
    return ElfEnclave(parts, [sgxmeta_note([block.to_bytes()])]).to_bytes()


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        pytest.param(
            sdk([Entry(1, 1, 1, 0x2000, W), Group(1, 2**32 - 1, 0)]),
            "OB0542",
            "repeats 4294967295 entries",
            id="a group that is loaded four thousand million times",
        ),
        pytest.param(
            sdk([Entry(10, 0, 1, 0x2000, 0), Group(1, 2**32 - 1, 0)]),
            "OB0542",
            "repeats 4294967295 entries",
            id="the same with pages that are never added",
        ),
        pytest.param(
            sdk([Entry(1, 1, 1, 0x2000, W), Group(1, 1, 0)]),
            "OB0542",
            "added a second time",
            id="a group that loads its pages where they are",
        ),
        pytest.param(
            sdk([Group(1, 1, PAGE)]), "OB0542", "repeats 1 entries before it", id="no such entry"
        ),
        pytest.param(
            sdk([Entry(1, 1, 1, 0x2000, W), Group(1, 1, PAGE), Group(2, 1, PAGE)]),
            "OB0542",
            "repeats another group",
            id="a group of groups",
        ),
        pytest.param(
            sdk([Entry(1, 3, 2**25, 0x2000, W)], size=1 << 46),
            "OB0543",
            "measures more than",
            id="128 GiB of measured zeros",
        ),
        pytest.param(
            sdk([Entry(1, 1, 2**30, 0x2000, W)], size=1 << 46),
            "OB0543",
            "adds more than",
            id="4 TiB of heap",
        ),
        pytest.param(
            sdk([Entry(1, 1, 1, 0xFFFF_FFFF_FFFF_F000, W)]),
            "OB0542",
            "lies outside the enclave",
            id="a page at the end of the address space",
        ),
        pytest.param(
            sdk([Entry(1, 1, 1, 0x2001, W)]), "OB0542", "inside a page", id="half a page"
        ),
        pytest.param(
            sdk([Entry(1, 1, 1, 0x1000, W)]), "OB0542", "added a second time", id="heap over data"
        ),
        pytest.param(
            sdk(parts=[PARTS[0], Part(6, 0x0F00, b"z" * 300, 300)]),
            "OB0542",
            "added a second time",
            id="overlapping segments",
        ),
        pytest.param(
            sdk(parts=[PARTS[0], Part(6, 0x1000, b"z", 1 << 45)], size=1 << 46),
            "OB0543",
            "adds more than",
            id="32 TiB of zeros after a segment",
        ),
        pytest.param(
            sdk(size=0x3000), "OB0542", "is not a power of two", id="a size of three pages"
        ),
        pytest.param(
            sdk(size=1 << 63), "OB0542", "is not a power of two", id="half the address space"
        ),
        pytest.param(
            sdk(ssa_frame_pages=0), "OB0542", "SSA frames have no pages", id="no SSA frame"
        ),
        pytest.param(
            sdk(patches=[(1 << 40, b"12")]), "OB0542", "outside the file", id="a patch far away"
        ),
        pytest.param(
            sdk([Entry(1, 1, 1, 0x2000, 0x1_0201)]), "OB0542", "sets bits", id="odd SECINFO"
        ),
        pytest.param(
            sdk(version=(13, 3)), "OB0542", "address range is missing", id="no address range"
        ),
        pytest.param(
            sdk(version=(13, 3), address_range=(GIB, 0, GIB)),
            "OB0542",
            "does not fit",
            id="an image beyond its address range",
        ),
        pytest.param(
            sdk(version=(14, 0)), "OB0541", "version 14.0", id="metadata of another time"
        ),
        pytest.param(
            sdk(shared_object=(1 << 40, 0, 100)),
            "OB0542",
            "second ELF file lies outside",
            id="a second ELF file far away",
        ),
        pytest.param(
            ElfEnclave(PARTS, [sgxmeta_note([])]).to_bytes(),
            "OB0541",
            "it is not signed",
            id="a note without metadata",
        ),
        pytest.param(
            ElfEnclave(PARTS, [Section(".note.sgxmeta", 7, b"x")]).to_bytes(),
            "OB0542",
            "too short",
            id="a note of one byte",
        ),
        pytest.param(
            ElfEnclave(PARTS, [Section(".note.sgxmeta", 7, b"x", size=1 << 50)]).to_bytes(),
            "OB0542",
            "has 1125899906842624 bytes",
            id="a note of a pebibyte",
        ),
    ],
)
def test_hostile_metadata_is_refused(tmp_path: Path, data: bytes, code: str, reason: str) -> None:
    found = refusal(tmp_path / "enclave.signed.so", data)

    assert (found.code, reason in found.message) == (code, True), found.message


def open_enclave(info: bytes, *, size: int = 0) -> bytes:
    parts = [Part(4, 0, b"x" * 100, 100), Part(6, 0x1000, info, len(info))]
    return ElfEnclave(parts, [Section(".oeinfo", 1, info, 0x1000, size=size)]).to_bytes()


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        pytest.param(
            open_enclave(OpenEnclave(2**64 - 1, 1, 1).properties(bytes(1808))),
            "OB0542",
            "power of two",
            id="a heap of all there is",
        ),
        pytest.param(
            open_enclave(OpenEnclave(1, 2**40, 1).properties(bytes(1808))),
            "OB0543",
            "more than",
            id="a stack of petabytes",
        ),
        pytest.param(
            open_enclave(OpenEnclave(1, 1, 2**60).properties(bytes(1808))),
            "OB0542",
            "1152921504606846976 threads",
            id="a million million million threads",
        ),
        pytest.param(open_enclave(b"\0" * 40), "OB0541", "not for SGX", id="another kind"),
        pytest.param(
            open_enclave(struct.pack("<IIQQQ", 9, 2, 0, 0, 0)),
            "OB0541",
            "properties have 9 bytes",
            id="properties of another time",
        ),
        pytest.param(
            open_enclave(struct.pack("<IIQQQ", 1960, 2, 0, 0, 0)),
            "OB0541",
            "properties have 1960 bytes",
            id="properties that are cut off",
        ),
        pytest.param(
            open_enclave(b"12", size=1 << 40), "OB0542", "outside the file", id="a huge section"
        ),
    ],
)
def test_hostile_properties_are_refused(
    tmp_path: Path, data: bytes, code: str, reason: str
) -> None:
    found = refusal(tmp_path / "enclave.signed", data)

    assert (found.code, reason in found.message) == (code, True), found.message


@pytest.mark.parametrize(
    ("at", "value", "reason"),
    [
        (4, b"\x07", "no little-endian ELF"),
        (18, b"\xb7\0", "machine 183"),
        (32, b"\xff" * 8, "program header table lies outside"),
        (40, b"\xff" * 7 + b"\x7f", "section header table lies outside"),
        (54, b"\x39\0", "program headers have 57 bytes"),
        (58, b"\x41\0", "section headers have 65 bytes"),
        (62, b"\xff\xff", "no table of section names"),
        (60, b"\xff\xff", "section header table lies outside"),
    ],
)
def test_a_broken_elf_header_is_refused(
    tmp_path: Path, at: int, value: bytes, reason: str
) -> None:
    data = bytearray(sdk())
    data[at : at + len(value)] = value

    found = refusal(tmp_path / "enclave.signed.so", bytes(data))

    assert found.code == "OB0542"
    assert reason in found.message


def test_every_cut_of_a_file_is_refused_or_measured(tmp_path: Path) -> None:
    whole = sdk([Entry(1, 1, 1, 0x2000, W), Entry(8, 3, 1, 0x3000, R, content=b"abc")])
    path = tmp_path / "enclave.signed.so"
    for length in [*range(300), *range(300, len(whole), 211)]:
        assert refusal(path, whole[:length]).code in ("OB0541", "OB0542")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "layout is not known"),
        (b"MZ\x90\0" + bytes(60), "a Windows PE file"),
        (b"PK\x03\x04" + bytes(60), "a ZIP archive"),
        (b"\x1f\x8b" + bytes(60), "a gzip archive"),
        (b"!<arch>\n" + bytes(60), "an ar archive"),
        (bytes.fromhex("06000000e100000000000100") + bytes(1796), "a SIGSTRUCT alone"),
        (b"\xff" * 64, "layout is not known"),
        (b"just text\n", "no Gramine manifest"),
        (b"a = 1\n", "no Gramine manifest"),
        (b"[sgx]\n", "not the one that is measured"),
        (ElfEnclave(PARTS).to_bytes(), "without an enclave's metadata"),
    ],
)
def test_what_is_no_enclave_is_refused_with_what_it_is(
    tmp_path: Path, data: bytes, found: str
) -> None:
    refused = refusal(tmp_path / "file", data)

    assert refused.code == "OB0541"
    assert found in refused.message


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path / "absent", Path("/dev/null"), tmp_path):
        with pytest.raises(DiagnosticError) as caught:
            read_enclave(path)
        assert caught.value.diagnostics[0].code in ("OB0541", "OB0590")


def test_a_remark_says_that_two_metadata_blocks_differ(tmp_path: Path) -> None:
    blocks = [
        Metadata((3, 3), 1 << 20, 1, [Entry(1, 1, 2, 0x2000, W)]).to_bytes(),
        Metadata((1, 5), 1 << 20, 1, [Entry(1, 1, 1, 0x2000, W)]).to_bytes(),
    ]
    path = tmp_path / "enclave.signed.so"
    path.write_bytes(ElfEnclave(PARTS, [sgxmeta_note(blocks)]).to_bytes())

    (remark,) = read_enclave(path).remarks

    assert remark.code == "OB0544"
    assert "metadata 1.5 describes other pages" in remark.message
