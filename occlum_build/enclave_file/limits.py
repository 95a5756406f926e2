"""What no honest enclave exceeds: a small file must not claim years of hashing."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NoReturn

from occlum_build.enclave_file.content import broken, refuse
from occlum_build.sgx.page import PAGE_BYTES, describe_bytes
from occlum_build.sgx.stream import PageRun

MAX_ADDED_BYTES: Final = 1 << 40
"""More EPC than any machine has: two sockets of 512 GiB."""

MAX_MEASURED_BYTES: Final = 1 << 36
"""Content that is hashed in about a minute."""

MAX_RUNS: Final = 1 << 18
"""Ten thousand threads have a quarter of this."""

MIN_ENCLAVE_BYTES: Final = 2 * PAGE_BYTES
MAX_ENCLAVE_BYTES: Final = 1 << 56
"""ECREATE takes a linear address range: 57 bits with five levels of page tables, half of it."""


def check_size(size_bytes: int, ssa_frame_pages: int, file: str) -> None:
    """Refuse what ECREATE would refuse (Intel SDM vol. 3D, ECREATE)."""
    if not MIN_ENCLAVE_BYTES <= size_bytes <= MAX_ENCLAVE_BYTES or size_bytes & size_bytes - 1:
        broken(file, f"its size {size_bytes:#x} is not a power of two from 0x2000 to 2^56")
    if not ssa_frame_pages:
        broken(file, "its SSA frames have no pages")


class AddedPages:
    """Which pages have been added: each one once, inside the enclave, and not too many.

    It holds the ranges in which pages lie, so an enclave with few gaps needs little
    memory, whatever its size.
    """

    def __init__(self, enclave_bytes: int, file: str) -> None:
        self._enclave_bytes = enclave_bytes
        self._file = file
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._added_bytes = 0
        self._measured_bytes = 0

    def add(self, offset: int, page_count: int, name: str) -> None:
        """Take note of pages; raises `DiagnosticError` if EADD would refuse them."""
        end = offset + page_count * PAGE_BYTES
        if offset % PAGE_BYTES:
            broken(self._file, f"{name} begins at {offset:#x}, inside a page")
        if not 0 <= offset <= end <= self._enclave_bytes:
            broken(
                self._file,
                f"{name}, from {offset:#x} to {end:#x}, lies outside the enclave of"
                f" {self._enclave_bytes:#x} bytes",
            )
        if offset == end:
            return
        self._added_bytes += end - offset
        if self._added_bytes > MAX_ADDED_BYTES:
            _refuse_amount("adds", self._added_bytes, MAX_ADDED_BYTES, self._file)
        index = bisect_right(self._starts, offset)
        before = self._ends[index - 1] if index else 0
        after = self._starts[index] if index < len(self._starts) else self._enclave_bytes
        if before > offset or after < end:
            at = offset if before > offset else after
            broken(self._file, f"page {at:#x} of {name} is added a second time")
        if index and before == offset:
            index -= 1
            self._ends[index] = end
        else:
            self._starts.insert(index, offset)
            self._ends.insert(index, end)
        if index + 1 < len(self._starts) and after == end:
            self._ends[index] = self._ends.pop(index + 1)
            del self._starts[index + 1]
        if len(self._starts) > MAX_RUNS:
            broken(self._file, f"its pages lie in more than {MAX_RUNS} places")

    def measure(self, size_bytes: int) -> None:
        """Take note of measured content."""
        self._measured_bytes += size_bytes
        if self._measured_bytes > MAX_MEASURED_BYTES:
            _refuse_amount("measures", self._measured_bytes, MAX_MEASURED_BYTES, self._file)

    def holds(self, offset: int) -> bool:
        """Whether the page at this offset has been added."""
        index = bisect_right(self._starts, offset)
        return index > 0 and offset < self._ends[index - 1]

    def gaps(self) -> list[tuple[int, int]]:
        """The ranges, start and end, in which no page was added."""
        edges = [0]
        for start, end in zip(self._starts, self._ends, strict=True):
            edges += [start, end]
        edges.append(self._enclave_bytes)
        return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]


def check_runs(runs: Iterable[PageRun], enclave_bytes: int, file: str) -> AddedPages:
    """Refuse pages that no processor would add, before any of them is read or hashed."""
    pages = AddedPages(enclave_bytes, file)
    for count, run in enumerate(runs):
        if count >= MAX_RUNS:
            broken(file, f"it has more than {MAX_RUNS} runs of pages")
        pages.add(run.offset, run.page_count, run.name)
        if run.measured:
            pages.measure(run.size_bytes)
    return pages


def _refuse_amount(verb: str, amount: int, limit: int, file: str) -> NoReturn:
    refuse(
        "OB0543",
        f"this enclave file {verb} more than {describe_bytes(limit)} of memory",
        file,
        notes=(f"it claims {describe_bytes(amount)} or more; nothing was hashed",),
        helps=("no machine has so much memory for enclaves: get the file anew",),
    )
