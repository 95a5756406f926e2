"""The SGXS reader: the same pages come back, and what is not canonical is refused."""

import io

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.secinfo import READ_WRITE, TCS
from occlum_build.sgx.sgxs import SgxsReader
from occlum_build.sgx.stream import PageRun, measure
from occlum_build.sgx.tcs import Tcs
from tests.support.naive_stream import naive_stream

SIZE = 1 << 20
PAGE = PageRun("page", 0x1000, 1, READ_WRITE, measured=True, data=b"data")
BARE = PageRun("bare", 0x3000, 1, READ_WRITE, measured=False)
THREAD = PageRun("tcs", 0x2000, 1, TCS, measured=True, data=Tcs(0x3000, 3, 0, 0, 0).pack())


def stream(*runs: PageRun) -> bytes:
    return naive_stream(SIZE, 1, runs)


def refusal_of(data: bytes) -> str:
    with pytest.raises(DiagnosticError) as caught:
        list(SgxsReader(io.BytesIO(data), "x.sgxs").pages())
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "OB0540"
    return diagnostic.message.removeprefix("this is no canonical SGXS file: ")


def patched(data: bytes, offset: int, patch: bytes) -> bytes:
    return data[:offset] + patch + data[offset + len(patch) :]


def test_pages_come_back_with_their_content() -> None:
    reader = SgxsReader(io.BytesIO(stream(PAGE, THREAD, BARE)), "x.sgxs")

    pages = list(reader.pages())

    assert (reader.size_bytes, reader.ssa_frame_pages) == (SIZE, 1)
    assert [(page.offset, page.secinfo) for page in pages] == [
        (0x1000, READ_WRITE),
        (0x2000, TCS),
        (0x3000, READ_WRITE),
    ]
    assert pages[0].data == b"data".ljust(4096, b"\0")
    assert pages[1].data == THREAD.data
    assert pages[2].data is None
    assert reader.mrenclave == measure(SIZE, 1, [PAGE, THREAD, BARE])


def test_measuring_without_checks_gives_the_same_value() -> None:
    data = stream(PAGE, BARE)

    assert SgxsReader(io.BytesIO(data), "x.sgxs").measure_only() == measure(SIZE, 1, [PAGE, BARE])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (stream()[:63], "it ends inside a record"),
        (patched(stream(), 0, b"UNSIZED\0"), "it is `UNSIZED`: it has no size, and so no"),
        (stream(BARE)[64:], "its first record is not ECREATE"),
        (patched(stream(), 63, b"\1"), "reserved bytes of ECREATE are not zero"),
        (patched(stream(), 12, b"\1"), "its size 0x100001 is not a power of two of at least two"),
        (naive_stream(4096, 1, []), "its size 0x1000 is not a power of two of at least two pages"),
        (naive_stream(SIZE, 0, []), "its SSA frames have no pages"),
        (stream() + stream(), "it has a second ECREATE"),
        (stream(BARE)[:100], "it ends inside a record"),
        (patched(stream(BARE), 127, b"\1"), "reserved bytes of EADD are not zero"),
        (patched(stream(BARE), 64, b"UNMEASRD"), "it has `UNMEASRD` data, which would escape"),
        (patched(stream(BARE), 64, b"EEXTEND\0"), "it has an EEXTEND without a page"),
        (patched(stream(BARE), 64, b"\xff\0\n ROOT"), "`\\xff\x00\n ROOT` begins no record"),
        (patched(stream(BARE), 72, b"\1"), "page offset 0x3001 is not a multiple of 0x1000"),
        (patched(stream(BARE), 74, b"\x10"), "page 0x103000 lies outside the enclave of 0x100000"),
        (stream(BARE, PAGE), "page 0x1000 is out of order: 0x4000 or above was due"),
        (stream(BARE, BARE), "page 0x3000 is out of order: 0x4000 or above was due"),
        (patched(stream(BARE), 80, b"\2"), "page 0x3000: SECINFO.FLAGS 0x202: writable but not"),
        (stream(PAGE)[:-1], "it ends inside page 0x1000"),
        (patched(stream(PAGE), 448, b"EADD\0\0\0\0"), "page 0x1000 is measured in part: 1 of 16"),
        (patched(stream(PAGE), 457, b"\x12"), "the chunks of page 0x1000 are not in order"),
        (patched(stream(PAGE), 511, b"\1"), "reserved bytes of EEXTEND in page 0x1000 are not"),
        (
            stream(PageRun("tcs", 0x2000, 1, TCS, measured=False)),
            "TCS 0x2000 is not measured: the host would choose the entry",
        ),
        (patched(stream(THREAD), 192, b"\1"), "TCS 0x2000: STATE, CSSA, AEP, DBGOPTIN and"),
    ],
)
def test_a_stream_that_is_not_canonical_is_refused(data: bytes, reason: str) -> None:
    assert refusal_of(data).startswith(reason)
