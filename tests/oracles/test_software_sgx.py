"""What is built, measured and signed here, EINIT of the software SGX takes, and nothing else.

The platform hashes the pages that it adds, in a language of its own; no program runs.
"""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.cli.entry import main
from occlum_build.enclave_file.read import read_enclave
from occlum_build.sgx.elf import read_libos
from occlum_build.sgx.key import read_private_key
from occlum_build.sgx.layout import make_layout
from occlum_build.sgx.metadata import Metadata
from occlum_build.sgx.sealed import read_sealed
from occlum_build.sgx.sign import sign
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES
from occlum_build.sgx.stream import write_stream
from tests.support.built import built
from tests.support.elf_file import ElfFile, Part, R, W, X
from tests.support.keys import make_key
from tests.support.sgx_samples import metadata, sealed_json

FEW = settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PAGE = 4096


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory, "signing")


@pytest.fixture(scope="session")
def sgx_init() -> Path:
    """`sgx-init` of crate `occlum-run`: ECREATE, EADD, EEXTEND, EINIT, and no entry."""
    return built("sgx_init")


@st.composite
def liboses(draw: st.DrawFn) -> ElfFile:
    """Code and data of a few pages; they are measured and never run."""
    code = draw(st.binary(min_size=1, max_size=300)) * draw(st.integers(1, 40))
    data = draw(st.binary(max_size=64)) * draw(st.integers(0, 100))
    text = Part(R | X, 0x1000, code)
    at = 0x2000 + len(code) // PAGE * PAGE
    parts = [text, Part(R | W, at, data, memory_bytes=len(data) + draw(st.integers(1, 9000)))]
    return ElfFile(parts=parts, entry=0x1000 + draw(st.integers(0, len(code) - 1)))


@st.composite
def configurations(draw: st.DrawFn) -> bytes:
    return sealed_json(
        model=draw(st.sampled_from(["sgx1", "edmm"])),
        user_space_size=draw(st.integers(1, 2000)) * PAGE,
        kernel_space_heap_size=draw(st.integers(1, 300)) * PAGE,
        kernel_space_stack_size=draw(st.integers(1, 20)) * PAGE,
        threads=draw(st.integers(1, 6)),
    )


@st.composite
def terms(draw: st.DrawFn) -> Metadata:
    has_kss = draw(st.booleans())
    return metadata(
        product_id=draw(st.integers(0, 0xFFFF)),
        version_number=draw(st.integers(0, 0xFFFF)),
        debuggable=draw(st.booleans()),
        enable_kss=has_kss,
        family_id=draw(st.binary(min_size=16, max_size=16)) if has_kss else bytes(16),
        ext_prod_id=draw(st.binary(min_size=16, max_size=16)) if has_kss else bytes(16),
        date=draw(st.sampled_from(["0000-00-00", "2030-01-31", "1999-12-31"])),
    )


def make(folder: Path, libos: ElfFile, sealed: bytes, chosen: Metadata, key: Path) -> Path:
    """A bundle as the runner reads it, and the measurement that signing was told."""
    layout = make_layout(read_libos(libos.to_bytes(), "libos"), read_sealed(sealed, "sealed"))
    folder.mkdir(exist_ok=True)
    with (folder / "enclave.sgxs").open("wb") as file:
        write_stream(layout.size_bytes, 1, layout.runs, file.write)
    image = read_enclave(folder / "enclave.sgxs")
    signed = sign(chosen.identity(image.mrenclave), read_private_key(key))
    (folder / "enclave.sig").write_bytes(signed.pack())
    (folder / "manifest.json").write_text(json.dumps({"version": 1, "images": []}))
    return folder


def started(sgx_init: Path, bundle: Path) -> tuple[bool, str]:
    done = subprocess.run([sgx_init, bundle], capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1, 2}, done.stdout + done.stderr
    return done.returncode == 0, done.stdout


@FEW
@given(libos=liboses(), sealed=configurations(), chosen=terms())
def test_every_layout_that_is_measured_and_signed_starts(
    tmp_path: Path,
    sgx_init: Path,
    key: Path,
    libos: ElfFile,
    sealed: bytes,
    chosen: Metadata,
) -> None:
    bundle = make(tmp_path / "bundle", libos, sealed, chosen, key)

    is_started, said = started(sgx_init, bundle)

    assert is_started, said
    with_keeper = json.loads(sealed)["threads"]["max"] + 1
    assert f": {with_keeper} threads" in said


@FEW
@given(
    libos=liboses(),
    sealed=configurations(),
    chosen=terms(),
    file=st.sampled_from(["enclave.sgxs", "enclave.sig"]),
    position=st.integers(0),
    bit=st.integers(0, 7),
)
def test_what_the_platform_refuses_verify_refuses_too(
    tmp_path: Path,
    sgx_init: Path,
    key: Path,
    libos: ElfFile,
    sealed: bytes,
    chosen: Metadata,
    file: str,
    position: int,
    bit: int,
) -> None:
    bundle = make(tmp_path / "bundle", libos, sealed, chosen, key)
    data = bytearray((bundle / file).read_bytes())
    data[position % len(data)] ^= 1 << bit
    (bundle / file).write_bytes(data)

    is_started, said = started(sgx_init, bundle)
    stream, signature = (str(bundle / name) for name in ("enclave.sgxs", "enclave.sig"))
    status = main(["verify", stream, "--signature", signature])

    assert not is_started, said
    assert status != 0


def test_einit_names_the_measurement_that_differs(
    tmp_path: Path, sgx_init: Path, key: Path
) -> None:
    libos = ElfFile(parts=[Part(R | X, 0x1000, b"\x90")], entry=0x1000)
    bundle = make(tmp_path / "bundle", libos, sealed_json(), metadata(), key)
    other = make(tmp_path / "other", libos, sealed_json(threads=1), metadata(), key)
    (bundle / "enclave.sig").write_bytes((other / "enclave.sig").read_bytes())

    is_started, said = started(sgx_init, bundle)

    assert not is_started
    assert "EINIT" in said
    assert (bundle / "enclave.sig").stat().st_size == SIGSTRUCT_BYTES
