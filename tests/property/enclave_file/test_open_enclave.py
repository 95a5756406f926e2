"""Enclaves as `oesign` and `ego sign` leave them: ours measures what their loaders add."""

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.companions import Companions
from occlum_build.enclave_file.read import read_enclave
from tests.support.enclave_files import (
    PAGE,
    RWX,
    TCS_PAGE,
    OpenEnclave,
    Page,
    R,
    W,
    bare,
    measured,
    pages_of,
    zeros,
)
from tests.support.open_enclave import DATA_AT, VARIABLES, OpenEnclaveFile, ego_program, rows_of


def expected(
    image: OpenEnclaveFile,
    *,
    modules: "tuple[tuple[OpenEnclaveFile | _Uncleared, bytes], ...]" = (),
    info: bytes = b"",
    relocations: bytes | None = None,
    words: dict[str, bytes] | None = None,
) -> str:
    """The measurement that the loader reaches, told step by step."""
    settings_ = image.settings
    rows = rows_of([*image.relocations, *image.plt]) if image.relocations else b""
    rows = rows if relocations is None else relocations
    reloc = rows.ljust(-(-len(rows) // PAGE) * PAGE, b"\0")
    memory = image.memory()
    base = image.size + sum(one.size for one, _ in modules)
    payload = b"".join(data for _, data in modules)
    payload = payload.ljust(-(-len(payload) // PAGE) * PAGE, b"\0")
    heap = base + len(reloc) + len(payload)
    thread = (settings_.stack_pages + 2 + 4 + image.tls_pages + 1) * PAGE
    loaded = heap + settings_.heap_pages * PAGE + settings_.threads * thread
    size = 1 << (loaded - 1).bit_length()
    shift = settings_.start_address if settings_.flags & 2 else 0
    range_size = 1 << (loaded + shift - 1).bit_length()
    info = info or image.info
    at = 32 + settings_.settings_bytes
    props = int.from_bytes(info[:4], "little")
    filled = struct.pack("<6Q", image.info_at, props, base, len(reloc), heap, size)
    patched = info[:at] + filled + bytes(1808) + info[at + 48 + 1808 : props]
    memory[image.info_at : image.info_at + len(patched)] = patched
    values = {
        "_enclave_rva": image.addresses.get("_enclave_rva", 0),
        "_reloc_rva": base,
        "_reloc_size": len(reloc),
        "_td_from_tcs_offset": (image.tls_pages + 4) * PAGE,
    }
    if image.tdata:
        values |= {
            "_tdata_rva": image.tdata_at,
            "_tdata_size": image.tdata,
            "_tdata_align": image.tdata_alignment,
        }
    if image.tbss:
        values |= {"_tbss_size": image.tbss, "_tbss_align": 32}
    for name, value in values.items():
        if name in image.addresses:
            start = image.addresses[name]
            memory[start : start + 8] = value.to_bytes(8, "little")
    for name, content in (words or {}).items():
        start = image.symbols[name][0]
        memory[start : start + len(content)] = content
    pages = image.segment_pages(memory)
    module_base = image.size
    for module, _ in modules:
        own = module.memory()
        clear = module.info_at + at + 48
        own[clear : clear + 1808] = bytes(1808)
        pages += module.segment_pages(own, module_base)
        module_base += module.size
    pages += pages_of(base, R, reloc)
    pages += pages_of(base + len(reloc), R, payload)
    pages += bare(heap, RWX if settings_.flags & 4 else W, settings_.heap_pages)
    pages += thread_pages(image, heap + settings_.heap_pages * PAGE, shift)
    shifted = [Page(one.offset + shift, one.flags, one.content) for one in pages]
    return measured(range_size, 1, shifted)


def thread_pages(image: OpenEnclaveFile, place: int, shift: int) -> list[Page]:
    """Guard, stack, guard, TCS, two SSA frames, guard, TLS, thread data: for each thread."""
    pages = []
    for _ in range(image.settings.threads):
        place += PAGE
        stack = image.settings.stack_pages
        pages += pages_of(place, W, b"\xcc" * PAGE * stack)
        place += (stack + 1) * PAGE
        segment = shift + place + (4 + image.tls_pages) * PAGE
        tcs = struct.pack(
            "<QQQIIQQQQII",
            *(0, 0, shift + place + PAGE, 0, 2, shift + 0x1010, 0, segment, segment),
            *(0xFFFFFFFF, 0xFFFFFFFF),
        )
        pages += pages_of(place, TCS_PAGE, tcs.ljust(PAGE, b"\0"))
        pages += zeros(place + PAGE, W, 2)
        pages += zeros(place + 4 * PAGE, W, image.tls_pages + 1)
        place += (5 + image.tls_pages) * PAGE
    return pages


def ours(data: bytes, *, beside: dict[str, bytes] | None = None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "enclave.signed"
        path.write_bytes(data)
        for name, content in (beside or {}).items():
            (Path(folder) / name).write_bytes(content)
        return read_enclave(path).mrenclave.hex()


SETTINGS = st.builds(
    OpenEnclave,
    heap_pages=st.integers(0, 40),
    stack_pages=st.integers(0, 3),
    threads=st.integers(0, 3),
    settings_bytes=st.sampled_from([16, 48, 56, 64]),
)
RELOCATIONS = st.lists(
    st.tuples(st.integers(0, 2**40), st.sampled_from([8, 6, 7, 1]), st.integers(-99, 2**40)),
    max_size=200,
)


@settings(max_examples=80, deadline=None)
@given(
    SETTINGS,
    st.integers(0, 9000),
    st.sampled_from([1, 16, 64, 4096]),
    st.integers(0, 5000),
    RELOCATIONS,
    RELOCATIONS,
    st.sets(st.sampled_from(VARIABLES)),
)
def test_an_enclave_measures_what_its_loader_adds(
    settings_: OpenEnclave,
    tdata: int,
    alignment: int,
    tbss: int,
    relocations: list[tuple[int, int, int]],
    plt: list[tuple[int, int, int]],
    variables: set[str],
) -> None:
    image = OpenEnclaveFile(
        settings_,
        min(tdata, 0x900),
        alignment,
        tbss,
        relocations,
        plt,
        variables=tuple(sorted(variables)),
    )

    assert ours(image.elf.to_bytes()) == expected(image)


@pytest.mark.parametrize(("flags", "start"), [(2, 0x200000), (4, 0), (6, 0x10000), (0, 0x5000)])
def test_the_settings_place_the_image_and_let_the_heap_be_executed(flags: int, start: int) -> None:
    image = OpenEnclaveFile(OpenEnclave(5, 2, 2, flags=flags, start_address=start))

    assert ours(image.elf.to_bytes()) == expected(image)


def test_the_loader_resolves_thread_local_relocations() -> None:
    plain = OpenEnclaveFile(OpenEnclave(1, 1, 1), symbols={"tls": (0x123, 4, 3)})
    kind = plain.index["tls"] << 32 | 18
    image = OpenEnclaveFile(
        OpenEnclave(1, 1, 1), symbols={"tls": (0x123, 4, 3)}, relocations=[(0x3000, kind, 77)]
    )

    assert ours(image.elf.to_bytes()) == expected(
        image, relocations=struct.pack("<QQq", 0x3000, kind, 0x123)
    )


def module_words(base: int, data_size: int | None, count: int) -> bytes:
    words = [base, None, None, None, None]
    if count == 9:
        words += [data_size, None, None, None]
    return b"".join(b"\xaa" * 8 if one is None else one.to_bytes(8, "little") for one in words)


@pytest.mark.parametrize("data", [b"x" * 5000, b"y" * 4096, b"z"])
def test_an_ego_program_is_measured_together_with_its_enclave(data: bytes) -> None:
    program = ego_program(data)
    symbols = {"_module_info": (DATA_AT + 0x100, 144, 1), "shared": (0, 0, 0)}
    plain = OpenEnclaveFile(OpenEnclave(1, 1, 1), symbols=symbols)
    kind = plain.index["shared"] << 32 | 6
    main = OpenEnclaveFile(
        OpenEnclave(1, 1, 1), symbols=symbols, relocations=[(0x3000, kind, 0), (0x3008, 8, 0x10)]
    )
    # The enclave takes the program's settings, and the loader links the two.
    main.settings = program.settings
    dynamic_at, tags = program.dynamic
    rows = struct.pack("<QQq", 0x3000, plain.index["shared"] << 32 | 8, main.size + 0x1100)
    rows += struct.pack("<QQq", 0x3008, 8, 0x10)
    for number, (_, value) in enumerate(tags):
        address = main.size + dynamic_at + number * 16 + 8
        rows += struct.pack("<QQq", address, 8, value + main.size)
    words = {"_module_info": module_words(main.size, len(data), 9)}

    measured_ = ours(program.elf.to_bytes() + data, beside={"ego-enclave": main.elf.to_bytes()})

    assert measured_ == expected(
        main, modules=((program, data),), info=program.info[:1960], relocations=rows, words=words
    )


def test_an_ego_program_without_its_enclave_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_bytes(ego_program(b"data").elf.to_bytes() + b"data")

    with pytest.raises(DiagnosticError) as caught:
        read_enclave(path)
    assert caught.value.diagnostics[0].code == "OB0545"

    main = OpenEnclaveFile(
        OpenEnclave(1, 1, 1), symbols={"_module_info": (DATA_AT + 0x100, 144, 1)}
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(main.elf.to_bytes())
    assert read_enclave(path, Companions(ego_enclave=str(elsewhere))).files == (
        str(path),
        str(elsewhere),
    )


def test_a_module_is_found_beside_its_enclave() -> None:
    symbols = {"_module_info": (DATA_AT + 0x100, 40, 1)}
    main = OpenEnclaveFile(OpenEnclave(3, 1, 1), symbols=symbols, needed="libm.so")
    module = OpenEnclaveFile(OpenEnclave(0, 0, 0), info=b"no properties")
    dynamic_at, tags = module.dynamic
    rows = b""
    for number, (_, value) in enumerate(tags):
        address = main.size + dynamic_at + number * 16 + 8
        rows += struct.pack("<QQq", address, 8, value + main.size)
    words = {"_module_info": module_words(main.size, None, 5)}

    found = ours(main.elf.to_bytes(), beside={"libm.so": module.elf.to_bytes()})

    assert found == expected(
        main, modules=((_Uncleared(module), b""),), relocations=rows, words=words
    )


class _Uncleared:
    """A module whose pages stay as they are."""

    def __init__(self, image: OpenEnclaveFile) -> None:
        self._image = image
        self.size = image.size
        self.info_at = image.size

    def memory(self) -> bytearray:
        return self._image.memory()

    def segment_pages(self, memory: bytearray, base: int) -> list[Page]:
        return self._image.segment_pages(memory, base)
