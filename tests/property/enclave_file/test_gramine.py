"""Enclaves as `gramine-sgx-sign` lays them out: ours measures what it measured."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.companions import Companions
from occlum_build.enclave_file.read import read_enclave
from tests.support.enclave_files import (
    PAGE,
    RWX,
    TCS_PAGE,
    ElfEnclave,
    Part,
    R,
    W,
    bare,
    measured,
    pages_of,
)

PAL = ElfEnclave(
    [
        Part(4, 0, b"pal" * 700, 2100),
        Part(5, 0x1000, b"\x90" * 0x2345, 0x2345),
        Part(6, 0x4F00, b"data" * 99, 0x3000),
    ],
    entry=0x1234,
)


def manifest(size: str, threads: int, *, edmm: bool, extra: str = "", text: str = "") -> bytes:
    edmm_text = str(edmm).lower()
    return (
        f'loader.argv = ["{text}"]\n[sgx]\nenclave_size = "{size}"\nmax_threads = {threads}\n'
        f"edmm_enable = {edmm_text}\n{extra}"
    ).encode()


def expected(data: bytes, size: int, threads: int, *, edmm: bool, base: int = 0) -> str:
    """Areas are taken from the top, one after the other; then their content is filled in."""
    top = size
    place: dict[str, list[int]] = {}
    areas = [("manifest", len(data) + 1), ("ssa", threads * 8 * PAGE), ("tcs", threads * PAGE)]
    areas += [("tls", threads * PAGE)]
    areas += [("stack", 64 * PAGE)] * threads + [("signal", 16 * PAGE)] * threads
    areas += [("pal", 0x8000)]
    for name, length in areas:
        top -= -(-length // PAGE) * PAGE
        place.setdefault(name, []).append(top)
    pal, ssa, tcs, tls = (place[name][0] for name in ("pal", "ssa", "tcs", "tls"))
    heap = max(0, 0x10000 - base)
    manifest_memory = (data + b"\0").ljust(-(-(len(data) + 1) // PAGE) * PAGE, b"\0")
    pages = pages_of(place["manifest"][0], R, manifest_memory)
    pages += pages_of(ssa, W, bytes(threads * 8 * PAGE))
    for thread in range(threads):
        page = bytearray(PAGE)
        own_ssa = ssa + thread * 8 * PAGE
        for at, value, length in (
            (16, own_ssa, 8),
            (28, 2, 4),
            (32, pal + 0x1234, 8),
            (56, tls + thread * PAGE, 8),
            (64, 0xFFF, 4),
            (68, 0xFFF, 4),
        ):
            page[at : at + length] = value.to_bytes(length, "little")
        pages += pages_of(tcs + thread * PAGE, TCS_PAGE, bytes(page))
    for thread in range(threads):
        page = bytearray(PAGE)
        own_ssa = base + ssa + thread * 8 * PAGE
        words = {
            0: base + tls + thread * PAGE,
            8: 0xBADBADBADBAD,
            272: size,
            280: tcs + thread * PAGE,
            288: base + place["stack"][thread] + 64 * PAGE,
            304: base + place["signal"][thread],
            312: base + place["signal"][thread] + 16 * PAGE,
            328: own_ssa,
            336: own_ssa + 4 * PAGE - 184,
            416: len(data) + 1,
            424: base + heap,
            432: base + pal,
        }
        for at, value in words.items():
            page[at : at + 8] = value.to_bytes(8, "little")
        pages += pages_of(tls + thread * PAGE, W, bytes(page))
    for name, length in (("stack", 64), ("signal", 16)):
        for offset in place[name]:
            pages += pages_of(offset, W, bytes(length * PAGE))
    for part in PAL.parts:
        start, memory = part.memory()
        pages += pages_of(pal + start, part.page_flags, bytes(memory))
    if not edmm:
        pages += bare(heap, RWX, (pal - heap) // PAGE)
    return measured(size, 4, pages)


def ours(folder: Path, data: bytes, sigstruct: bytes = b"") -> str:
    (folder / "app.manifest.sgx").write_bytes(data)
    (folder / "libpal.so").write_bytes(PAL.to_bytes())
    (folder / "app.sig").write_bytes(sigstruct)
    return read_enclave(folder / "app.manifest.sgx").mrenclave.hex()


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([("8M", 8 << 20), ("0x400000", 4 << 20), ("16384K", 16 << 20)]),
    st.integers(1, 3),
    st.booleans(),
    st.integers(0, 9000),
)
def test_an_enclave_measures_what_gramine_measured(
    size: tuple[str, int],
    threads: int,
    edmm: bool,  # noqa: FBT001  # drawn
    length: int,
) -> None:
    data = manifest(size[0], threads, edmm=edmm, text="é" * length)

    with tempfile.TemporaryDirectory() as folder:
        assert ours(Path(folder), data) == expected(data, size[1], threads, edmm=edmm)


def test_position_independent_programs_of_old_versions_lie_above_the_size(tmp_path: Path) -> None:
    data = manifest("8M", 2, edmm=False, extra="nonpie_binary = false\n")
    old = expected(data, 8 << 20, 2, edmm=False, base=8 << 20)

    assert ours(tmp_path, data) == old


def test_of_two_places_the_one_that_was_signed_counts(tmp_path: Path) -> None:
    data = manifest("8M", 1, edmm=False, extra="nonpie_binary = false\n")
    new = expected(data, 8 << 20, 1, edmm=False)
    signed = bytes(960) + bytes.fromhex(new) + bytes(1808 - 992)

    assert ours(tmp_path, data, signed) == new
    assert read_enclave(tmp_path / "app.sig").claimed_mrenclave == bytes.fromhex(new)


def test_a_manifest_without_its_loader_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "app.manifest.sgx"
    path.write_bytes(manifest("8M", 1, edmm=True))

    with pytest.raises(DiagnosticError) as caught:
        read_enclave(path)
    assert caught.value.diagnostics[0].code == "OB0545"

    (tmp_path / "pal").write_bytes(PAL.to_bytes())
    image = read_enclave(path, Companions(libpal=str(tmp_path / "pal")))
    assert [run.name for run in image.runs()][-1] == "libpal segment 2"


def test_pages_are_found_in_the_file_that_has_them(tmp_path: Path) -> None:
    from occlum_build.enclave_file.image import place

    ours(tmp_path, manifest("8M", 1, edmm=True))
    image = read_enclave(tmp_path / "app.manifest.sgx")
    runs = {run.name: run for run in image.runs()}
    found = place(runs["libpal segment 1"], 1, 5)
    assert found is not None
    assert found.file == str(tmp_path / "libpal.so")
    assert PAL.to_bytes()[found.offset : found.offset + 3] == b"\x90" * 3
    assert found.offset == PAL.offset_of(0x2005)
    assert place(runs["thread 0 TCS"], 0) is None
