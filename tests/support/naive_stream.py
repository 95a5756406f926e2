"""The measured stream as the manual tells it: one record after the other, nothing shared."""

from collections.abc import Iterable, Iterator

from occlum_build.sgx.stream import PageRun
from tests.support.sgx_samples import content


def naive_stream(size_bytes: int, ssa_frame_pages: int, runs: Iterable[PageRun]) -> bytes:
    return b"".join(_records(size_bytes, ssa_frame_pages, runs))


def _records(size_bytes: int, ssa_frame_pages: int, runs: Iterable[PageRun]) -> Iterator[bytes]:
    yield (b"ECREATE\0" + _little(ssa_frame_pages, 4) + _little(size_bytes, 8) + bytes(44))
    for run in runs:
        data = content(run).ljust(run.page_count * 4096, b"\0")
        for page in range(run.page_count):
            offset = run.offset + page * 4096
            yield b"EADD\0\0\0\0" + _little(offset, 8) + _little(run.secinfo.flags, 8) + bytes(40)
            for chunk in range(0, 4096 if run.measured else 0, 256):
                yield b"EEXTEND\0" + _little(offset + chunk, 8) + bytes(48)
                yield data[page * 4096 + chunk : page * 4096 + chunk + 256]


def _little(value: int, length: int) -> bytes:
    return value.to_bytes(length, "little")
