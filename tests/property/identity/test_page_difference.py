"""Differences of runs are those of pages, and the first is where the streams part."""

from itertools import zip_longest

from hypothesis import given, settings
from hypothesis import strategies as st

from occlum_build.identity.page_difference import Kind, differences, first_difference
from occlum_build.identity.region import region_differences
from occlum_build.sgx.secinfo import READ_ONLY, READ_WRITE, TCS, SecInfo
from occlum_build.sgx.stream import PageRun
from tests.support.naive_stream import naive_stream

PAGE = 4096
SIZE = 1 << 40
SECINFOS = st.sampled_from([READ_ONLY, READ_WRITE, TCS])


@st.composite
def layouts(draw: st.DrawFn) -> list[PageRun]:
    """Runs of a few pages with a few gaps, so that two of them often meet."""
    runs = []
    offset = 0
    for _ in range(draw(st.integers(0, 5))):
        offset += draw(st.integers(0, 2)) * PAGE
        pages = draw(st.integers(1, 4))
        measured = draw(st.booleans())
        length = draw(st.integers(0, pages)) * PAGE if measured else 0
        data = bytes([draw(st.integers(0, 2))]) * length
        if data and draw(st.booleans()):
            at = draw(st.integers(0, len(data) - 1))
            data = data[:at] + b"\xff" + data[at + 1 :]
        fill = draw(st.sampled_from([b"", b"\xcc" * PAGE])) if measured else b""
        name = draw(st.sampled_from(["heap", "thread 0", "thread 1"]))
        runs.append(PageRun(name, offset, pages, draw(SECINFOS), measured, data, fill))
        offset += pages * PAGE
    return runs


def by_page(runs: list[PageRun]) -> dict[int, tuple[SecInfo, bool, bytes]]:
    return {
        run.offset + index * PAGE: (
            run.secinfo,
            run.measured,
            run.page(index) if run.measured else b"",
        )
        for run in runs
        for index in range(run.page_count)
    }


@given(a=layouts(), b=layouts())
def test_what_differs_is_what_differs_page_by_page(a: list[PageRun], b: list[PageRun]) -> None:
    pages_a, pages_b = by_page(a), by_page(b)
    expected = {
        offset
        for offset in pages_a.keys() | pages_b.keys()
        if pages_a.get(offset) != pages_b.get(offset)
    }

    found: set[int] = set()
    changed = 0
    for one in differences(a, b):
        found.update(range(one.offset, one.end, PAGE))
        if one.kind is Kind.CONTENT:
            assert one.changed_pages == one.page_count
            changed += one.changed_bytes
            for place in one.places:
                start = place.offset - place.offset % PAGE
                assert pages_a[start][2][place.offset % PAGE :].startswith(place.a)
                assert pages_b[start][2][place.offset % PAGE :].startswith(place.b)
                assert place.a[0] != place.b[0]

    assert found == expected
    assert changed == sum(
        x != y
        for offset in pages_a.keys() & pages_b.keys()
        if pages_a[offset][1] and pages_b[offset][1]
        for x, y in zip(pages_a[offset][2], pages_b[offset][2], strict=True)
    )


@given(layout=layouts())
def test_an_enclave_does_not_differ_from_itself(layout: list[PageRun]) -> None:
    assert list(differences(layout, layout)) == []
    assert first_difference(layout, layout) is None
    assert region_differences(layout, layout) == []


@settings(max_examples=60)
@given(a=layouts(), b=layouts())
def test_the_first_difference_is_where_the_streams_part(
    a: list[PageRun], b: list[PageRun]
) -> None:
    filled = [[_written_out(one) for one in runs] for runs in (a, b)]
    streams = [naive_stream(SIZE, 1, runs) for runs in filled]
    at = next((i for i, (x, y) in enumerate(zip_longest(*streams)) if x != y), None)

    first = first_difference(a, b)

    if at is None or first is None:
        assert first is None
        assert at is None
        return
    if first.record == "measured":
        at = _start_of(streams[0], at) - 1  # the EADD before it
    records = [_record_at(stream, at) for stream in streams]
    assert first.offset_a == records[0][1]
    assert first.offset_b == records[1][1]
    if first.record == "EEXTEND":
        assert records[0][0] == "EEXTEND"


def _written_out(run: PageRun) -> PageRun:
    """The run with all of its content in `data`, as the naive stream takes it."""
    data = b"".join(run.page(index) for index in range(run.page_count)) if run.measured else b""
    return PageRun(run.name, run.offset, run.page_count, run.secinfo, run.measured, data)


def _start_of(stream: bytes, at: int) -> int:
    """Where the record begins that has this byte, or would begin if the stream went on."""
    position = 64
    while position < at:
        size = 320 if stream[position : position + 8] == b"EEXTEND\0" else 64
        if at < position + size:
            break
        position += size
    return position


def _record_at(stream: bytes, at: int) -> tuple[str, int | None]:
    """The record that has this byte, and the address that it is about."""
    position = 64
    while position < len(stream):
        tag = stream[position : position + 8].rstrip(b"\0").decode()
        offset = int.from_bytes(stream[position + 8 : position + 16], "little")
        size = 64 if tag == "EADD" else 320
        if at < position + size:
            is_content = tag == "EEXTEND" and at >= position + 64
            return tag, offset + at - position - 64 if is_content else offset
        position += size
    return "end", None
