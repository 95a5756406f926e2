"""Where everything in an enclave lies."""

import itertools
import struct

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.boot import MemoryModel
from occlum_build.sgx.elf import read_libos
from occlum_build.sgx.layout import Layout, make_layout
from occlum_build.sgx.stream import PageRun
from occlum_build.sgx.tcs import Tcs
from tests.support.elf_file import small_libos
from tests.support.sgx_samples import content, sealed, sealed_json, small_layout


def named(layout: Layout, name: str) -> PageRun:
    (run,) = [one for one in layout.runs if one.name == name]
    return run


def test_parts_lie_in_ascending_order_without_touching_others() -> None:
    layout = small_layout()

    for before, after in itertools.pairwise(layout.runs):
        assert before.end <= after.offset
    assert layout.runs[-1].end <= layout.size_bytes


def test_address_zero_and_the_pages_after_it_are_never_added() -> None:
    assert small_layout().runs[0].offset == 0x10000


def test_user_space_is_added_without_being_measured() -> None:
    user = small_layout().runs[0]

    assert (user.name, user.measured, user.secinfo.flags) == ("user", False, 0x207)
    assert user.size_bytes == 1 << 20


def test_user_space_of_an_edmm_enclave_is_not_added() -> None:
    layout = small_layout(model="edmm")

    assert [run for run in layout.runs if run.name == "user"] == []
    assert layout.boot.memory_model is MemoryModel.EDMM
    assert layout.boot.user_added_bytes == 0


@pytest.mark.parametrize("model", ["sgx1", "edmm"])
def test_programs_have_all_addresses_that_the_rest_leaves(model: str) -> None:
    boot = small_layout(model=model).boot

    assert boot.user_start + boot.user_size_bytes == boot.libos_start - 0x10000
    assert boot.user_size_bytes > 62 << 30


def test_the_libos_begins_at_2_mib_and_well_above_user_space() -> None:
    layout = small_layout()

    assert layout.boot.libos_start % (2 << 20) == 0
    assert layout.boot.libos_start - layout.runs[0].end >= 0x10000
    assert named(layout, "libos text").offset == layout.boot.libos_start + 0x1000


def test_the_configuration_is_measured_after_its_boot_page() -> None:
    layout = small_layout()
    config = named(layout, "config")

    assert config.secinfo.flags == 0x201
    assert config.measured
    assert content(config)[:4096] == layout.boot.pack()
    assert content(config)[4096:] == sealed_json()
    assert layout.boot.config_start == config.offset + 4096


def test_each_thread_has_its_block_with_guard_pages() -> None:
    layout = small_layout()
    boot = layout.boot

    for index in range(2):
        base = boot.threads_start + index * boot.thread_stride_bytes
        tcs, ssa, tls, kernel_stack, exception_stack = (
            named(layout, f"thread {index} {part}")
            for part in ("TCS", "SSA", "TLS", "kernel stack", "exception stack")
        )
        assert (tcs.offset, tcs.secinfo.flags) == (base, 0x100)
        assert (ssa.offset, ssa.page_count) == (base + 0x1000, 3)
        assert tls.offset == base + 0x4000
        assert kernel_stack.offset == base + 0x6000
        assert exception_stack.offset == kernel_stack.end + 0x1000
        assert exception_stack.size_bytes == 16 << 10
        assert exception_stack.end + 0x1000 == base + boot.thread_stride_bytes
        assert all(run.measured for run in (tcs, ssa, tls, kernel_stack, exception_stack))


def test_a_thread_is_told_where_its_parts_are() -> None:
    layout = small_layout()
    tls = named(layout, "thread 1 TLS")
    block = content(tls)
    tcs = Tcs.parse(content(named(layout, "thread 1 TCS")))

    assert struct.unpack_from("<6Q", block) == (
        tls.offset,
        named(layout, "config").offset,
        named(layout, "thread 1 TCS").offset,
        1,
        named(layout, "thread 1 kernel stack").end,
        named(layout, "thread 1 exception stack").end,
    )
    assert tcs.ssa_offset == named(layout, "thread 1 SSA").offset
    assert tcs.ssa_frames == 3
    assert tcs.entry_offset == layout.boot.entry_address == layout.boot.libos_start + 0x1020
    assert (tcs.fs_base_offset, tcs.gs_base_offset) == (tls.offset, tls.offset)
    assert block[48:] == bytes(4096 - 48)


@pytest.mark.parametrize(
    ("user_space", "size"), [(1 << 20, 1 << 36), (1 << 35, 1 << 36), (1 << 36, 1 << 37)]
)
def test_the_enclave_is_the_next_power_of_two_and_no_smaller_than_64_gib(
    user_space: int, size: int
) -> None:
    layout = small_layout(user_space_size=user_space)

    assert layout.size_bytes == size
    assert layout.boot.libos_start == size - (1 << 30)
    assert layout.runs[-1].end <= size
    assert layout.runs[0].end <= layout.boot.libos_start - 0x10000


@pytest.mark.parametrize(
    ("changes", "need", "limit"),
    [
        ({"user_space_size": 1 << 46, "model": "edmm"}, "64 TiB", "64 TiB"),
        ({"user_space_size": 1 << 40}, "1 TiB", "1 TiB"),
        ({"kernel_space_heap_size": 1 << 40, "model": "edmm"}, "1 TiB", "1 TiB"),
        ({"kernel_space_stack_size": 1 << 36, "threads": 4096}, "256.1 TiB", "64 TiB"),
    ],
)
def test_an_enclave_that_cannot_hold_its_parts_is_refused_with_numbers(
    changes: dict[str, object], need: str, limit: str
) -> None:
    libos = read_libos(small_libos().to_bytes(), "libos.elf")

    with pytest.raises(DiagnosticError) as caught:
        make_layout(libos, sealed(**changes))

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "OB0531"
    assert diagnostic.message.endswith(limit)
    assert any(need in note for note in diagnostic.notes) or need in diagnostic.message
    assert len(diagnostic.notes) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 0},
        {"threads": True},
        {"threads": 4097},
        {"user_space_size": 4097},
        {"user_space_size": -4096},
        {"kernel_space_heap_size": "32MB"},
        {"kernel_space_stack_size": 0},
        {"model": "sgx3"},
    ],
)
def test_numbers_that_no_enclave_has_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(DiagnosticError):
        small_layout(**change)
