"""The measured stream, against records that are made one by one."""

import hashlib

from occlum_build.sgx.secinfo import READ_WRITE, READ_WRITE_EXECUTE
from occlum_build.sgx.stream import PageRun, measure, write_stream
from tests.support.naive_stream import naive_stream
from tests.support.sgx_samples import small_layout


def collected(size_bytes: int, runs: list[PageRun]) -> bytes:
    parts: list[bytes] = []
    write_stream(size_bytes, 1, runs, lambda part: parts.append(bytes(part)))
    return b"".join(parts)


def test_the_stream_of_one_page_is_the_records_of_the_manual() -> None:
    run = PageRun("page", 0x1000, 1, READ_WRITE, measured=True, data=b"data")

    stream = collected(0x2000, [run])

    assert stream[:64] == b"ECREATE\0" + b"\1\0\0\0" + b"\0\x20" + bytes(50)
    assert stream[64:128] == b"EADD\0\0\0\0" + b"\0\x10" + bytes(6) + b"\3\2" + bytes(46)
    assert stream[128:192] == b"EEXTEND\0" + b"\0\x10" + bytes(54)
    assert stream[192:448] == b"data".ljust(256, b"\0")
    assert stream[448:512] == b"EEXTEND\0" + b"\0\x11" + bytes(54)
    assert len(stream) == 64 + 64 + 16 * (64 + 256)


def test_the_measurement_is_the_hash_of_the_stream() -> None:
    runs = list(small_layout().runs)

    assert measure(1 << 22, 1, runs) == hashlib.sha256(collected(1 << 22, runs)).digest()


def test_runs_that_cross_many_windows_give_the_same_records() -> None:
    runs = [
        PageRun("a", 0xFF_F000, 4099, READ_WRITE, measured=False),
        PageRun("b", 0x1_0000_3000, 130, READ_WRITE_EXECUTE, measured=True, data=b"x" * 300_001),
        PageRun("c", 0xFFFF_FF00_0000_0000, 5000, READ_WRITE_EXECUTE, measured=False),
        PageRun("d", 0x7F_FFFF_F000, 2, READ_WRITE, measured=True),
    ]

    assert collected(1 << 40, runs) == naive_stream(1 << 40, 1, runs)


def test_a_layout_knows_how_long_its_stream_is() -> None:
    layout = small_layout()

    assert layout.stream_bytes == len(collected(layout.size_bytes, list(layout.runs)))
