"""What the pages of a bare stream are: said by its threads, and by our own boot page."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.boot import MAGIC, BootInfo
from occlum_build.sgx.page import PAGE_BYTES, align_up
from occlum_build.sgx.secinfo import READ_ONLY, PageType
from occlum_build.sgx.stream import PageRun

# OSSA, CSSA, NSSA, OENTRY, AEP, OFSBASE, OGSBASE (Intel SDM vol. 3D, "Layout of TCS")
_TCS: Final = struct.Struct("<16xQIIQQQQ")
_MAX_THREADS: Final = 1 << 14


@dataclass(frozen=True, slots=True)
class _Name:
    start: int
    end: int
    text: str


class PageNames:
    """Learns names from the pages of a stream, then gives them to the same pages."""

    def __init__(self, ssa_frame_pages: int) -> None:
        self.boot: BootInfo | None = None
        self._ssa_frame_bytes = ssa_frame_pages * PAGE_BYTES
        self._threads: list[tuple[int, bytes]] = []
        self._starts: list[int] = []
        self._names: list[_Name] = []

    def see(self, run: PageRun) -> None:
        """Learn from pages."""
        if run.secinfo.page_type is PageType.TCS:
            for index in range(min(run.page_count, _MAX_THREADS - len(self._threads))):
                self._threads.append((run.offset + index * PAGE_BYTES, run.page(index)))
        elif run.secinfo == READ_ONLY and run.measured and self.boot is None:
            page = run.page(0)
            if page.startswith(MAGIC):
                self._see_boot(page)

    def learned(self) -> None:
        """All pages have been seen."""
        names = list(self._thread_names())
        if self.boot is not None:
            names += _boot_names(self.boot)
        names.sort(key=lambda one: (one.start, one.end))
        for name in names:
            if name.start < name.end and (not self._names or self._names[-1].end <= name.start):
                self._names.append(name)
        self._starts = [one.start for one in self._names]

    def named(self, runs: Iterator[PageRun]) -> Iterator[PageRun]:
        """The same pages, each run with the name of what it belongs to."""
        for run in runs:
            offset = run.offset
            while offset < run.end:
                name, stop = self._at(offset)
                stop = min(stop, run.end)
                yield _part(run, offset, stop, name or run.name)
                offset = stop

    def facts(self) -> dict[str, object]:
        """What the boot page says, in an enclave of this project."""
        if self.boot is None:
            return {}
        return {
            "memory_model": self.boot.memory_model.name.lower(),
            "threads": self.boot.thread_count,
        }

    def _at(self, offset: int) -> tuple[str, int]:
        """The name at an offset, and where the next one begins."""
        index = bisect_right(self._starts, offset) - 1
        if index >= 0 and offset < self._names[index].end:
            return self._names[index].text, align_up(self._names[index].end, PAGE_BYTES)
        following = index + 1
        end = self._starts[following] if following < len(self._starts) else 1 << 64
        return "", max(align_up(end, PAGE_BYTES), offset + PAGE_BYTES)

    def _see_boot(self, page: bytes) -> None:
        try:
            self.boot = BootInfo.parse(page)
        except DiagnosticError:
            return

    def _thread_names(self) -> Iterator[_Name]:
        for number, (offset, page) in enumerate(self._threads):
            ssa, _, frames, _, _, fs_base, gs_base = _TCS.unpack_from(page)
            thread = f"thread {number}"
            yield _Name(offset, offset + PAGE_BYTES, f"{thread} TCS")
            yield _Name(ssa, ssa + frames * self._ssa_frame_bytes, f"{thread} SSA")
            for base in {fs_base, gs_base} - {0}:
                yield _Name(base, base + PAGE_BYTES, f"{thread} TLS")


def _boot_names(boot: BootInfo) -> Iterator[_Name]:
    """The regions of an enclave that this project made."""
    from occlum_build.sgx.layout import (
        EXCEPTION_STACK_BYTES,
        KERNEL_STACK_OFFSET,
        SSA_OFFSET,
        TLS_OFFSET,
    )

    yield _Name(boot.user_start, boot.user_start + boot.user_size_bytes, "user")
    yield _Name(boot.libos_start, boot.libos_start + boot.libos_size_bytes, "libos")
    yield _Name(boot.config_start - PAGE_BYTES, boot.config_start, "boot information")
    end = align_up(boot.config_start + boot.config_size_bytes, PAGE_BYTES)
    yield _Name(boot.config_start, end, "sealed config")
    yield _Name(boot.heap_start, boot.heap_start + boot.heap_size_bytes, "kernel heap")
    for number in range(min(boot.thread_count, _MAX_THREADS)):
        base = boot.threads_start + number * boot.thread_stride_bytes
        stack = base + KERNEL_STACK_OFFSET
        top = stack + boot.kernel_stack_size_bytes
        thread = f"thread {number}"
        yield _Name(base + SSA_OFFSET, base + TLS_OFFSET, f"{thread} SSA")
        yield _Name(base + TLS_OFFSET, base + TLS_OFFSET + PAGE_BYTES, f"{thread} TLS")
        yield _Name(stack, top, f"{thread} kernel stack")
        exception_stack = top + PAGE_BYTES
        yield _Name(
            exception_stack, exception_stack + EXCEPTION_STACK_BYTES, f"{thread} exception stack"
        )


def _part(run: PageRun, start: int, stop: int, name: str) -> PageRun:
    if (start, stop) == (run.offset, run.end):
        return replace(run, name=name)
    first, count = (start - run.offset) // PAGE_BYTES, (stop - start) // PAGE_BYTES
    part = getattr(run.data, "part", None)
    data = run.data if part is None else part(first, count)
    return replace(run, name=name, offset=start, page_count=count, data=data)
