"""Layouts far larger than memory: measured in little of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.enclave_files import (
    ElfEnclave,
    Entry,
    Metadata,
    OpenEnclave,
    Part,
    W,
    sgxmeta_note,
)
from tests.support.open_enclave import OpenEnclaveFile

ROOT = Path(__file__).resolve().parents[3]
HEAP_PAGES = (64 << 30) // 4096
MAX_KIB = 100 << 10


def sdk_enclave() -> bytes:
    layout = [Entry(1, 1, HEAP_PAGES, 0x10000, W)]
    block = Metadata((3, 3), 1 << 37, 1, layout).to_bytes()
    return ElfEnclave([Part(4, 0, b"x", 1)], [sgxmeta_note([block])]).to_bytes()


def open_enclave() -> bytes:
    return OpenEnclaveFile(OpenEnclave(HEAP_PAGES, 64, 4)).elf.to_bytes()


@pytest.mark.parametrize("make", [sdk_enclave, open_enclave])
def test_a_heap_of_64_gib_is_measured_in_100_mb_of_memory(make: object, tmp_path: Path) -> None:
    path = tmp_path / "enclave.signed"
    path.write_bytes(make())  # type: ignore[operator]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from occlum_build.enclave_file.read import read_enclave;"
        "print(read_enclave(sys.argv[2]).mrenclave.hex());"
        "lines = open('/proc/self/status').read().splitlines();"
        "print(next(one.split()[1] for one in lines if one.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, ROOT, path],
        capture_output=True,
        text=True,
        check=True,
    )
    mrenclave, kib = done.stdout.split()

    assert len(mrenclave) == 64
    assert int(kib) < MAX_KIB
