"""The real LibOS, read by us and by tools that nobody in this project made."""

import io
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection

from occlum_build.sgx.elf import read_libos
from tests.support.built import built
from tests.support.sgx_samples import content

BASE = 0x4000_0000


@pytest.fixture(scope="module")
def compiled() -> Path:
    """The LibOS as rustc and rust-lld made it."""
    return built("libos.elf")


def test_a_linked_file_gives_the_pages_that_pyelftools_sees(compiled: Path) -> None:
    data = compiled.read_bytes()
    elf = ELFFile(io.BytesIO(data))
    loads = [one for one in elf.iter_segments() if one["p_type"] == "PT_LOAD"]
    table = elf.get_section_by_name(".rela.dyn")
    assert isinstance(table, RelocationSection)
    memory = bytearray(max(one["p_vaddr"] + one["p_memsz"] for one in loads))
    for one in loads:
        memory[one["p_vaddr"] : one["p_vaddr"] + one["p_filesz"]] = one.data()
    for row in table.iter_relocations():
        struct.pack_into("<Q", memory, row["r_offset"], BASE + row["r_addend"])

    libos = read_libos(data, "libos.elf")

    assert table.num_relocations() > 0
    assert libos.entry == elf["e_entry"]
    for run in libos.page_runs(BASE):
        expected = bytes(memory[run.offset - BASE : run.end - BASE]).ljust(run.size_bytes, b"\0")
        assert content(run).ljust(run.size_bytes, b"\0") == expected


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not installed")
def test_readelf_counts_the_same_relocations(compiled: Path) -> None:
    listing = subprocess.run(
        ["readelf", "-rW", compiled], capture_output=True, text=True, check=True
    ).stdout

    libos = read_libos(compiled.read_bytes(), "libos.elf")

    assert listing.count("R_X86_64_RELATIVE") == len(libos.relocations) > 0
