"""Where everything in an enclave lies.

    [0, 64 KiB)   never added: address 0 must fault
    USER          addresses of the programs; with SGX1 their memory is the first part
    LIBOS         text, read-only data, data
    CONFIG        BootInfo page, sealed configuration
    THREADS       one block a thread: TCS, SSA frames, TLS page, two stacks
    HEAP          memory of the LibOS

The enclave's base is address 0, so an offset is an address, programs that are
linked to a fixed low address work, and a null pointer stays inside the enclave
(docs/adr/0001). Programs have all addresses that the rest does not need, because
addresses cost nothing and memory does (docs/adr/0017). Regions are in ascending
order, which is the canonical order of an SGXS file, with pages between them that
are never added.
"""

from dataclasses import dataclass
from typing import Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.sgx.boot import BootInfo, MemoryModel, ThreadInfo
from occlum_build.sgx.elf import LibOs
from occlum_build.sgx.page import (
    PAGE_BYTES,
    align_up,
    describe_bytes,
    next_power_of_two,
)
from occlum_build.sgx.sealed import SealedConfig
from occlum_build.sgx.secinfo import READ_ONLY, READ_WRITE, READ_WRITE_EXECUTE, TCS
from occlum_build.sgx.stream import PageRun
from occlum_build.sgx.tcs import Tcs

USER_START: Final = 0x10000
GUARD_BYTES: Final = 0x10000
SSA_FRAMES: Final = 3
SSA_FRAME_PAGES: Final = 1
SSA_OFFSET: Final = PAGE_BYTES
TLS_OFFSET: Final = SSA_OFFSET + SSA_FRAMES * SSA_FRAME_PAGES * PAGE_BYTES
KERNEL_STACK_OFFSET: Final = TLS_OFFSET + 2 * PAGE_BYTES
EXCEPTION_STACK_BYTES: Final = 16 << 10

MAX_ENCLAVE_BYTES: Final = 1 << 46
"""A quarter of the address space of a process: the host must live above the enclave."""

MIN_ENCLAVE_BYTES: Final = 1 << 36
"""As large as every CPU with SGX allows: programs reserve more addresses than they use."""

MIN_LIBOS_WINDOW_BYTES: Final = 1 << 30
"""The end of an enclave, for the LibOS: a size that changes moves only what follows it."""

MAX_ADDED_BYTES: Final = 1 << 40
"""More EPC than any machine has: two sockets of 512 GiB."""

MAX_THREADS: Final = 4096

KEEPERS: Final = 1
"""Threads of the LibOS itself, beside those of programs: it keeps timers and takes signals."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Every page of an enclave, in the order in which it is added and measured."""

    size_bytes: int
    boot: BootInfo
    runs: tuple[PageRun, ...]

    @property
    def stream_bytes(self) -> int:
        """Length of the SGXS file."""
        return 64 + sum(run.stream_bytes for run in self.runs)


def make_layout(libos: LibOs, sealed: SealedConfig) -> Layout:
    """Place all parts; raises `DiagnosticError` with the numbers if they do not fit."""
    if sealed.thread_count > MAX_THREADS:
        raise DiagnosticError(
            error("OB0533", f"{sealed.thread_count} threads are more than {MAX_THREADS}")
        )
    boot = place(libos.size_bytes, libos.entry, sealed)
    _refuse_too_large(libos, sealed, boot)
    below, above = runs_around_libos(boot, sealed.data)
    runs = (*below, *libos.page_runs(boot.libos_start), *above)
    return Layout(boot.enclave_size_bytes, boot, runs)


def runs_around_libos(
    boot: BootInfo, sealed_json: bytes
) -> tuple[tuple[PageRun, ...], tuple[PageRun, ...]]:
    """All pages below and above the LibOS: they follow from the sealed configuration."""
    user = _unmeasured("user", boot.user_start, boot.user_added_bytes, executable=True)
    heap = _unmeasured("kernel heap", boot.heap_start, boot.heap_size_bytes, executable=False)
    threads = [run for index in range(boot.thread_count) for run in _thread_runs(boot, index)]
    below = (user,) if boot.user_added_bytes else ()
    return below, (_config_run(boot, sealed_json), *threads, heap)


def thread_stride(kernel_stack_bytes: int) -> int:
    """Distance between the blocks of two threads; a guard page follows each stack."""
    return KERNEL_STACK_OFFSET + kernel_stack_bytes + EXCEPTION_STACK_BYTES + 2 * PAGE_BYTES


def place(libos_size_bytes: int, entry: int, sealed: SealedConfig) -> BootInfo:
    """Where everything lies around a LibOS of this size; `entry` counts from its start."""
    config_bytes = PAGE_BYTES + align_up(len(sealed.data), PAGE_BYTES)
    stride = thread_stride(sealed.kernel_stack_bytes)
    threads = sealed.thread_count + KEEPERS
    config_offset = libos_size_bytes + GUARD_BYTES
    threads_offset = config_offset + config_bytes + GUARD_BYTES
    heap_offset = threads_offset + threads * stride + GUARD_BYTES
    libos_and_rest = heap_offset + sealed.kernel_heap_bytes
    window = max(MIN_LIBOS_WINDOW_BYTES, next_power_of_two(libos_and_rest))
    least = USER_START + sealed.user_space_bytes + GUARD_BYTES
    enclave_bytes = max(MIN_ENCLAVE_BYTES, next_power_of_two(least + window))
    libos_start = enclave_bytes - window
    is_added = sealed.memory_model is MemoryModel.SGX1
    return BootInfo(
        enclave_size_bytes=enclave_bytes,
        user_start=USER_START,
        user_size_bytes=libos_start - GUARD_BYTES - USER_START,
        libos_start=libos_start,
        libos_size_bytes=libos_size_bytes,
        config_start=libos_start + config_offset + PAGE_BYTES,
        config_size_bytes=len(sealed.data),
        threads_start=libos_start + threads_offset,
        thread_stride_bytes=stride,
        thread_count=threads,
        heap_start=libos_start + heap_offset,
        heap_size_bytes=sealed.kernel_heap_bytes,
        memory_model=sealed.memory_model,
        kernel_stack_size_bytes=sealed.kernel_stack_bytes,
        exception_stack_size_bytes=EXCEPTION_STACK_BYTES,
        entry_address=libos_start + entry,
        user_added_bytes=sealed.user_space_bytes if is_added else 0,
    )


def _refuse_too_large(libos: LibOs, sealed: SealedConfig, boot: BootInfo) -> None:
    libos_and_rest = boot.heap_start + boot.heap_size_bytes - boot.libos_start
    added = libos_and_rest + boot.user_added_bytes
    needed = libos_and_rest + USER_START + sealed.user_space_bytes
    limit, subject, taken = (
        (MAX_ENCLAVE_BYTES, "the address range of an enclave", needed)
        if boot.enclave_size_bytes > MAX_ENCLAVE_BYTES
        else (MAX_ADDED_BYTES, "the memory that is added before an enclave starts", added)
    )
    if taken <= limit:
        return
    raise DiagnosticError(
        error(
            "OB0531",
            f"the parts of this enclave need {describe_bytes(taken)}; {subject} "
            f"ends at {describe_bytes(limit)}",
            Span(libos.file),
            notes=(
                f"user space {describe_bytes(sealed.user_space_bytes)}",
                f"LibOS {describe_bytes(libos.size_bytes)}",
                f"{sealed.thread_count} threads, {describe_bytes(boot.thread_stride_bytes)} each",
                f"kernel heap {describe_bytes(sealed.kernel_heap_bytes)}",
            ),
            helps=("lower the largest of them in `resource_limits` of Occlum.yaml",),
        )
    )


def _config_run(boot: BootInfo, sealed_json: bytes) -> PageRun:
    start = boot.config_start - PAGE_BYTES
    pages = 1 + align_up(len(sealed_json), PAGE_BYTES) // PAGE_BYTES
    return PageRun(
        "config", start, pages, READ_ONLY, measured=True, data=boot.pack() + sealed_json
    )


def _thread_runs(boot: BootInfo, index: int) -> list[PageRun]:
    """The pages of one thread. All are measured: the host cannot choose their content."""
    base = boot.threads_start + index * boot.thread_stride_bytes
    tls = base + TLS_OFFSET
    kernel_stack_top = base + KERNEL_STACK_OFFSET + boot.kernel_stack_size_bytes
    exception_stack = kernel_stack_top + PAGE_BYTES
    tcs = Tcs(
        ssa_offset=base + SSA_OFFSET,
        ssa_frames=SSA_FRAMES,
        entry_offset=boot.entry_address,
        fs_base_offset=tls,
        gs_base_offset=tls,
    )
    info = ThreadInfo(
        self_address=tls,
        boot_info_address=boot.config_start - PAGE_BYTES,
        tcs_address=base,
        thread_index=index,
        kernel_stack_top=kernel_stack_top,
        exception_stack_top=exception_stack + EXCEPTION_STACK_BYTES,
    )
    name = f"thread {index}"
    return [
        PageRun(f"{name} TCS", base, 1, TCS, measured=True, data=tcs.pack()),
        _zeros(f"{name} SSA", base + SSA_OFFSET, TLS_OFFSET - SSA_OFFSET),
        PageRun(f"{name} TLS", tls, 1, READ_WRITE, measured=True, data=info.pack()),
        _zeros(f"{name} kernel stack", base + KERNEL_STACK_OFFSET, boot.kernel_stack_size_bytes),
        _zeros(f"{name} exception stack", exception_stack, EXCEPTION_STACK_BYTES),
    ]


def _zeros(name: str, start: int, size_bytes: int) -> PageRun:
    return PageRun(name, start, size_bytes // PAGE_BYTES, READ_WRITE, measured=True)


def _unmeasured(name: str, start: int, size_bytes: int, *, executable: bool) -> PageRun:
    """Pages whose content the LibOS overwrites with zeros before it looks at them."""
    secinfo = READ_WRITE_EXECUTE if executable else READ_WRITE
    return PageRun(name, start, size_bytes // PAGE_BYTES, secinfo, measured=False)
