"""BootInfo and the TLS page: what the LibOS reads before anything else.

Both are measured. Their one definition is the `abi` crate of the LibOS
(`boot.rs`, `thread.rs`); this is its mirror, and a test compares the two.
"""

import struct
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import Final, Self

from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.sgx.page import PAGE_BYTES

MAGIC: Final = b"OCCLUMBI"
VERSION: Final = 2
_FORMAT: Final = struct.Struct("<8s18Q")
_THREAD_FORMAT: Final = struct.Struct("<6Q")


class MemoryModel(IntEnum):
    """When the pages of the user space come to be."""

    SGX1 = 0
    """All of them before the enclave starts; permissions never change."""

    EDMM = 1
    """When programs ask for them, by the instructions of SGX2."""


@dataclass(frozen=True, slots=True)
class BootInfo:
    """Where everything in the enclave is; addresses count from the enclave's base, 0.

    Fields are in the order of their bytes, eight each, after magic and version.
    """

    enclave_size_bytes: int
    user_start: int
    user_size_bytes: int
    libos_start: int
    libos_size_bytes: int
    config_start: int
    config_size_bytes: int
    threads_start: int
    thread_stride_bytes: int
    thread_count: int
    heap_start: int
    heap_size_bytes: int
    memory_model: MemoryModel
    kernel_stack_size_bytes: int
    exception_stack_size_bytes: int
    entry_address: int
    user_added_bytes: int

    def pack(self) -> bytes:
        """One page, zero after the last field."""
        return _FORMAT.pack(MAGIC, VERSION, *astuple(self)).ljust(PAGE_BYTES, b"\0")

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read the page; another magic or version is refused."""
        if len(data) != PAGE_BYTES:
            raise DiagnosticError(
                error("OB0504", f"BootInfo is one page of {PAGE_BYTES} bytes, not {len(data)}")
            )
        magic, version, *fields = _FORMAT.unpack_from(data)
        if magic != MAGIC or version != VERSION or any(data[_FORMAT.size :]):
            raise DiagnosticError(error("OB0504", "these bytes are not a BootInfo of version 2"))
        if fields[12] not in tuple(MemoryModel):
            raise DiagnosticError(error("OB0504", f"no memory model {fields[12]}"))
        fields[12] = MemoryModel(fields[12])
        return cls(*fields)


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """First words of a thread's TLS page, at GS base; the rest starts as zero."""

    self_address: int
    boot_info_address: int
    tcs_address: int
    thread_index: int
    kernel_stack_top: int
    exception_stack_top: int

    def pack(self) -> bytes:
        """One page."""
        return _THREAD_FORMAT.pack(*astuple(self)).ljust(PAGE_BYTES, b"\0")
