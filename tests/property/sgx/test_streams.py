"""Any layout: its stream is the naive one, and a reader sees the same pages."""

import hashlib
import io
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.secinfo import (
    READ_EXECUTE,
    READ_ONLY,
    READ_WRITE,
    READ_WRITE_EXECUTE,
)
from occlum_build.sgx.sgxs import SgxsReader
from occlum_build.sgx.stream import PageRun, measure, write_stream
from tests.support.naive_stream import naive_stream
from tests.support.sgx_samples import content

SIZE = 1 << 46
SECINFOS = st.sampled_from([READ_ONLY, READ_WRITE, READ_EXECUTE, READ_WRITE_EXECUTE])


@st.composite
def page_runs(draw: st.DrawFn) -> list[PageRun]:
    """Ascending runs; gaps from none to terabytes, so that every byte of an offset changes."""
    runs = []
    offset = 0
    for number in range(draw(st.integers(0, 6))):
        offset += draw(st.sampled_from([0, 1, 15, 16, 63, 4095, 1 << 20, (1 << 30) - 1])) * 4096
        measured = draw(st.booleans())
        pages = draw(st.integers(1, 70 if measured else 5000))
        length = draw(st.integers(0, pages * 4096)) if measured else 0
        seed = draw(st.binary(min_size=1, max_size=300))
        data = (seed * (length // len(seed) + 1))[:length]
        runs.append(PageRun(str(number), offset, pages, draw(SECINFOS), measured, data))
        offset = runs[-1].end
    return runs


def stream_of(runs: Sequence[PageRun]) -> bytes:
    parts: list[bytes] = []
    write_stream(SIZE, 1, runs, lambda part: parts.append(bytes(part)))
    return b"".join(parts)


@given(runs=page_runs())
def test_the_stream_is_the_naive_one(runs: list[PageRun]) -> None:
    stream = stream_of(runs)

    assert stream == naive_stream(SIZE, 1, runs)
    assert len(stream) == 64 + sum(run.stream_bytes for run in runs)
    assert measure(SIZE, 1, runs) == hashlib.sha256(stream).digest()


@given(runs=page_runs())
def test_a_reader_sees_the_pages_that_were_written(runs: list[PageRun]) -> None:
    reader = SgxsReader(io.BytesIO(stream_of(runs)), "x.sgxs")

    pages = iter(reader.pages())

    for run in runs:
        written = content(run).ljust(run.size_bytes, b"\0")
        for page in range(run.page_count):
            read = next(pages)
            assert (read.offset, read.secinfo) == (run.offset + page * 4096, run.secinfo)
            expected = written[page * 4096 : (page + 1) * 4096] if run.measured else None
            assert read.data == expected
    assert next(pages, None) is None
    assert reader.mrenclave == measure(SIZE, 1, runs)


RECORDS = st.one_of(
    st.sampled_from([b"ECREATE\0", b"EADD\0\0\0\0", b"EEXTEND\0", b"UNMEASRD", b"UNSIZED\0"]),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 1 << 21).map(lambda value: value.to_bytes(8, "little")),
    st.sampled_from([bytes(40), bytes(48), bytes(256), b"\1" + bytes(55)]),
)


@given(data=st.one_of(st.binary(max_size=300), st.lists(RECORDS, max_size=60).map(b"".join)))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        reader = SgxsReader(io.BytesIO(data), "x.sgxs")
        list(reader.pages())
    except DiagnosticError:
        return
    assert reader.mrenclave == hashlib.sha256(data).digest()


@given(runs=page_runs(), position=st.integers(0), change=st.integers(1, 255))
def test_a_changed_byte_changes_the_measurement_or_is_refused(
    runs: list[PageRun], position: int, change: int
) -> None:
    data = bytearray(stream_of(runs[:2]))
    data[position % len(data)] ^= change

    try:
        reader = SgxsReader(io.BytesIO(data), "x.sgxs")
        list(reader.pages())
    except DiagnosticError:
        return
    assert reader.mrenclave != measure(SIZE, 1, runs[:2])
