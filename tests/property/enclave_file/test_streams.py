"""SGX streams in any order: the hash is that of the file, and every page is found in it."""

import hashlib
import random
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage, place
from occlum_build.enclave_file.read import read_enclave
from occlum_build.sgx.stream import measure, page_records
from tests.support.enclave_files import PAGE, TCS_PAGE, R, W, X

SIZE = 1 << 30
TCS_BYTES = struct.pack("<QQQIIQQQQII", 0, 0, 0x5000, 0, 2, 0, 0, 0, 0x9000, 0xFFF, 0xFFF)


def create(size: int = SIZE) -> bytes:
    return b"ECREATE\0" + (2).to_bytes(4, "little") + size.to_bytes(8, "little") + bytes(44)


def add(offset: int, flags: int) -> bytes:
    return b"EADD\0\0\0\0" + offset.to_bytes(8, "little") + flags.to_bytes(8, "little") + bytes(40)


def chunk(offset: int, content: bytes, tag: bytes = b"EEXTEND\0") -> bytes:
    return tag + offset.to_bytes(8, "little") + bytes(48) + content


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes, dict[int, bytes]]:
    """A stream, the part of it that is hashed, and what each page holds."""
    noise = random.Random(draw(st.integers(0, 2**32)))
    whole = hashed = create()
    pages: dict[int, bytes] = {}
    at = 0
    for _ in range(draw(st.integers(1, 6))):
        offset = draw(st.sampled_from([at, at + PAGE, 0x100000 * draw(st.integers(1, 200))]))
        count = draw(st.sampled_from([1, 2, 70, 5000]))
        flags = draw(st.sampled_from([R, W, X]))
        shape = draw(st.sampled_from(["bare", "whole", "part", "unmeasured", "late"]))
        if shape != "bare":
            count = min(count, 70)
        span = range(offset, offset + count * PAGE, PAGE)
        if any(one in pages for one in span) or span.stop > SIZE:
            continue
        late = b""
        for one in span:
            content = noise.randbytes(PAGE)
            numbers = list(range(16))
            if shape == "bare":
                numbers, content = [], bytes(PAGE)
            elif shape == "part":
                noise.shuffle(numbers)
                numbers = numbers[: noise.randrange(1, 17)]
            tag = b"UNMEASRD" if shape == "unmeasured" else b"EEXTEND\0"
            records = b"".join(
                chunk(one + 256 * n, content[256 * n : 256 * n + 256], tag) for n in numbers
            )
            known = bytearray(PAGE)
            for n in numbers:
                known[256 * n : 256 * n + 256] = content[256 * n : 256 * n + 256]
            pages[one] = bytes(known)
            if shape == "late":
                late += records
                records = b""
            whole += add(one, flags) + records
            hashed += add(one, flags) + (b"" if shape == "unmeasured" else records)
        whole, hashed = whole + late, hashed + late
        at = span.stop
    return whole, hashed, pages


def image_of(folder: str, data: bytes) -> EnclaveImage:
    path = Path(folder) / "x.sgxs"
    path.write_bytes(data)
    return read_enclave(path)


@settings(max_examples=60, deadline=None)
@given(streams())
def test_a_stream_measures_what_is_hashed_of_it(
    stream: tuple[bytes, bytes, dict[int, bytes]],
) -> None:
    whole, hashed, pages = stream
    with tempfile.TemporaryDirectory() as folder:
        image = image_of(folder, whole)
        assert image.mrenclave == hashlib.sha256(hashed).digest()
        assert image.format is (EnclaveFormat.SGXS if whole == hashed else EnclaveFormat.ESGXS)

        # The runs are the same enclave: measured by our writer they give the same hash.
        runs = list(image.runs())
        assert measure(SIZE, 2, runs) == image.mrenclave
        records = create() + b"".join(
            page_records(run, index) for run in runs for index in range(run.page_count)
        )
        assert records == hashed
        held = {offset: bytearray(PAGE) for offset in pages}
        for run in runs:
            for index in range(run.page_count):
                offset = run.offset + index * PAGE
                content = run.page(index)
                for byte in range(0, PAGE, 256):
                    found = place(run, index, byte)
                    if found is not None:
                        assert whole[found.offset :][:256] == content[byte : byte + 256]
                        held[offset][byte : byte + 256] = content[byte : byte + 256]
        assert {offset: bytes(one) for offset, one in held.items()} == pages


@settings(max_examples=200, deadline=None)
@given(streams(), st.integers(0), st.binary(min_size=1, max_size=8), st.booleans())
def test_a_damaged_stream_is_measured_or_refused(
    stream: tuple[bytes, bytes, dict[int, bytes]],
    position: int,
    patch: bytes,
    cut: bool,  # noqa: FBT001  # drawn
) -> None:
    data = bytearray(stream[0][:20000])
    position %= len(data)
    if cut:
        del data[position:]
    else:
        data[position : position + len(patch)] = patch
    with tempfile.TemporaryDirectory() as folder:
        try:
            image = image_of(folder, bytes(data))
        except DiagnosticError as problem:
            codes = {one.code for one in problem.diagnostics}
        else:
            codes = set()
            assert measure(image.size_bytes, image.ssa_frame_pages, image.runs()) == (
                image.mrenclave
            )
    assert codes <= {"OB0541", "OB0542"}


def test_threads_name_their_pages(tmp_path: Path) -> None:
    page = TCS_BYTES.ljust(PAGE, b"\0")
    tcs = add(0x4000, TCS_PAGE)
    tcs += b"".join(chunk(0x4000 + at, page[at : at + 256]) for at in range(0, PAGE, 256))
    bare = b"".join(add(offset, W) for offset in range(0x5000, 0xB000, PAGE))
    image = image_of(str(tmp_path), create() + tcs + bare)

    assert [(run.name, run.offset, run.page_count) for run in image.runs()] == [
        ("thread 0 TCS", 0x4000, 1),
        ("thread 0 SSA", 0x5000, 4),
        ("thread 0 TLS", 0x9000, 1),
        ("pages", 0xA000, 1),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (create()[:63], "ends inside its first record"),
        (create(0x3000), "is not a power of two"),
        (create() + add(0x1001, R), "is not a multiple"),
        (create() + add(SIZE, R), "lies outside the enclave"),
        (create() + add(0, R) + add(0x5000, R) + add(0, R), "added a second time"),
        (create() + add(0, 0x202), "writable but not readable"),
        (create() + add(0, 0x101), "has no permissions"),
        (create() + add(0, 0x300), "TCS and REG pages only"),
        (create() + chunk(0, bytes(256)), "measured before it is added"),
        (create() + add(0, R) + chunk(0x10, bytes(256)), "not as EEXTEND takes it"),
        (create() + add(0, R) + chunk(0, bytes(9)), "ends inside a record"),
        (
            create() + add(0, R) + chunk(0, bytes(256)) + chunk(0, b"x" * 256),
            "is there twice, with other content",
        ),
        (create() + create(), "a second ECREATE"),
        (create() + b"EMODPR\0\0" + bytes(56), "begins no record"),
    ],
)
def test_a_stream_that_no_processor_takes_is_refused(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    with pytest.raises(DiagnosticError) as caught:
        image_of(str(tmp_path), data)

    assert caught.value.diagnostics[0].code == "OB0542"
    assert reason in caught.value.diagnostics[0].message


def test_a_chunk_may_be_measured_twice(tmp_path: Path) -> None:
    data = create() + add(0, R) + chunk(0, b"x" * 256) * 2

    assert image_of(str(tmp_path), data).mrenclave == hashlib.sha256(data).digest()


def test_a_stream_without_a_size_says_so(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        image_of(str(tmp_path), b"UNSIZED\0" + create()[8:])

    assert "cannot be measured yet" in caught.value.diagnostics[0].message
