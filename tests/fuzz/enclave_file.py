"""Fuzzing of everything that reads enclave files of others.

    pip install --require-hashes -r tests/fuzz/requirements.lock
    python tests/fuzz/enclave_file.py [options of libFuzzer] CORPUS

Coverage of the readers guides it (atheris). Whatever the bytes are, a reader answers with
an enclave or with a diagnostic, in little time and memory; and an enclave has the same
measurement whichever way it is computed.
"""

import hashlib
import os
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

MAX_STREAM_BYTES = 1 << 20


def main() -> None:
    """Fuzz until libFuzzer is told to stop."""
    import atheris

    with atheris.instrument_imports(include=["occlum_build.enclave_file", "occlum_build.sgx"]):
        import occlum_build.enclave_file.gramine
        import occlum_build.enclave_file.intel_sdk
        import occlum_build.enclave_file.open_enclave
        import occlum_build.enclave_file.read
        import occlum_build.enclave_file.sgxs_file  # noqa: F401
    corpus = next((one for one in sys.argv[1:] if not one.startswith("-")), None)
    if corpus is not None:
        Path(corpus).mkdir(exist_ok=True)
        for number, seed in enumerate(seeds()):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


def seeds() -> list[bytes]:
    """Inputs that reach each layout: how the file is made of them, and what it is made of."""
    from occlum_build.sgx.stream import MEASURED_PAGE_BYTES, write_stream
    from tests.support.enclave_files import Entry, Group, Metadata, OpenEnclave
    from tests.support.sgx_samples import small_layout

    layout: list[Entry | Group] = [
        Entry(1, 1, 2, 0x4000, 0x203),
        Entry(8, 3, 1, 0x6000, 0x203, fill=0xCC),
        Entry(4, 3, 1, 0x7000, 0x100, content=bytes(72)),
        Group(2, 2, 0x2000),
    ]
    block = Metadata((13, 3), 1 << 20, 1, layout, [(0x40, b"patch")], (1 << 20, 0, 1 << 21))
    old = replace(block, version=(1, 3), address_range=None)
    properties = OpenEnclave(3, 1, 1, flags=6, start_address=0x10000).properties(bytes(1808))
    stream = bytearray()
    made = small_layout(model="edmm", threads=1)
    write_stream(made.size_bytes, 1, made.runs[:4], stream.extend)
    records = bytes(stream[64 : 64 + MEASURED_PAGE_BYTES])
    return [
        b"\x01" + block.to_bytes(),
        b"\x01" + old.to_bytes() + block.to_bytes(),
        b"\x02" + properties,
        b"\x02" + properties.ljust(0x800, b"\0") + struct.pack("<QQ", 0x40, 9),
        b"\x03" + records,
        b"\x03" + records.replace(b"EEXTEND\0", b"UNMEASRD"),
        b'\x04[sgx]\nenclave_size = "8M"\nmax_threads = 1\n',
        *(b"\x00" + file for file in (_sdk(block.to_bytes()), _open_enclave(properties))),
        b"\x00" + bytes(stream[:64]) + records,
    ]


def check(data: bytes) -> str | None:
    """Read a file made of these bytes; its layout, or None for a diagnostic.

    Raises anything else if the readers are wrong.
    """
    from occlum_build.diagnostic import DiagnosticError
    from occlum_build.enclave_file.companions import Companions
    from occlum_build.enclave_file.read import read_enclave
    from occlum_build.sgx.stream import ECREATE_FORMAT, ECREATE_TAG, page_records

    if not data:
        return None
    make = _MAKERS.get(data[0], bytes)
    number = os.memfd_create("enclave")
    try:
        os.write(number, make(data[1:]))
        path = f"/proc/self/fd/{number}"
        image = read_enclave(path, Companions(libpal=_libpal(), ego_enclave=path))
        runs = list(image.runs())
        assert list(image.runs()) == runs
        if sum(one.stream_bytes for one in runs) > MAX_STREAM_BYTES:
            return image.format.value
        digest = hashlib.sha256(
            ECREATE_FORMAT.pack(ECREATE_TAG, image.ssa_frame_pages, image.size_bytes)
        )
        for run in runs:
            for page in range(run.page_count):
                digest.update(page_records(run, page))
        assert digest.digest() == image.mrenclave
        assert all(image.describe(one.offset) is not None for one in runs)
    except DiagnosticError:
        return None
    else:
        return image.format.value
    finally:
        os.close(number)


@cache
def _libpal() -> str:
    """What a manifest is measured with."""
    number = os.memfd_create("libpal")
    os.write(number, _open_enclave(b"pal"))
    return f"/proc/self/fd/{number}"


def _sdk(blocks: bytes) -> bytes:
    from tests.support.enclave_files import ElfEnclave, Part, Section

    name = b"sgx_metadata\0"
    note = struct.pack("<III", len(name), len(blocks), 1) + name + blocks
    parts = [Part(4, 0, b"head", 4), Part(5, 0x1000, b"text" * 99, 0x1800)]
    return ElfEnclave(parts, [Section(".note.sgxmeta", 7, note)]).to_bytes()


def _open_enclave(info: bytes) -> bytes:
    from tests.support.enclave_files import OpenEnclave
    from tests.support.open_enclave import OpenEnclaveFile

    file = OpenEnclaveFile(
        OpenEnclave(1, 1, 1),
        tdata=9,
        tbss=9,
        info=info or b"\0",
        relocations=[(0x3000, 8, 1), (0x3008, 1 << 32 | 18, 2), (0x3010, 2 << 32 | 6, 0)],
        symbols={"_module_info": (0x3100, 144, 1)},
    )
    return file.elf.to_bytes()


def _stream(records: bytes) -> bytes:
    create = b"ECREATE\0" + struct.pack("<IQ44x", 1, 1 << 36)
    return create + records


_MAKERS: dict[int, Callable[[bytes], bytes]] = {
    1: _sdk,
    2: _open_enclave,
    3: _stream,
}

if __name__ == "__main__":
    main()
