"""Enclaves as `sgx_sign` writes them, of any shape: ours measures what its loader adds."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from occlum_build.enclave_file.read import read_enclave
from tests.support.enclave_files import (
    PAGE,
    RWX,
    TCS_PAGE,
    ElfEnclave,
    Entry,
    Group,
    Metadata,
    Page,
    Part,
    R,
    Section,
    W,
    X,
    layout_pages,
    measured,
    pages_of,
    segment_pages,
    sgxmeta_note,
    zeros,
)

VERSIONS = [(3, 3), (1, 5), (1, 4), (2, 4), (2, 1), (13, 3), (11, 5)]
FLAGS = st.sampled_from([R, W, X, RWX])


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    """Segments in ascending order, with holes, odd ends, and nothing but zeros at times."""
    found: list[Part] = []
    address = 0
    for _ in range(draw(st.integers(1, 4))):
        address += draw(st.integers(0, 2)) * PAGE
        skew = draw(st.sampled_from([0, 0, 8, 0xF00])) if found else 0
        data = draw(st.binary(min_size=0, max_size=3 * PAGE + 7))
        memory = len(data) + draw(st.sampled_from([0, 1, 5000]))
        part = Part(draw(st.sampled_from([4, 5, 6, 7])), address + skew, data, memory or 1)
        found.append(part)
        address = -(-(part.address + part.memory_bytes) // PAGE) * PAGE
    return found


@st.composite
def layouts(draw: st.DrawFn, start: int) -> tuple[list[Entry | Group], int]:
    """A layout table from an offset on, and the offset after it."""
    rows: list[Entry | Group] = []
    at = start
    for _ in range(draw(st.integers(0, 7))):
        pages = draw(st.integers(1, 4))
        kind = draw(st.sampled_from(["bare", "fill", "content", "tcs", "guard", "later", "group"]))
        if kind == "bare":
            rows.append(Entry(1, 1, pages, at, draw(FLAGS)))
        elif kind == "fill":
            rows.append(Entry(8, 3, pages, at, draw(FLAGS), fill=draw(st.integers(0, 2**32 - 1))))
        elif kind == "content":
            content = draw(st.binary(min_size=1, max_size=pages * PAGE))
            rows.append(Entry(5, draw(st.sampled_from([1, 3])), pages, at, R, content=content))
        elif kind == "tcs":
            pages = 1
            template = draw(st.binary(min_size=72, max_size=72))
            clean = bytes(16) + template[16:24] + bytes(4) + template[28:40] + bytes(8)
            content = clean + template[48:72]
            removed = draw(st.sampled_from([0, 4]))
            rows.append(Entry(4, 3 | removed, pages, at, TCS_PAGE, content=content))
        elif kind == "guard":
            rows.append(Entry(10, 0, pages, at, 0))
        elif kind == "later":
            rows.append(Entry(13, 8, pages, at, W))
        else:
            back = 0
            while back < len(rows) and isinstance(rows[-1 - back], Entry):
                back += 1
            count = draw(st.integers(0, back))
            members = [one for one in rows[len(rows) - count :] if isinstance(one, Entry)]
            step = sum(one.pages for one in members) * PAGE
            times = draw(st.integers(0, 3))
            rows.append(Group(count, times, step))
            at += step * times
            continue
        at += pages * PAGE
    return rows, at


@st.composite
def enclaves(draw: st.DrawFn) -> dict[str, Any]:
    """Everything that a file is made from."""
    segments = draw(parts())
    last = segments[-1]
    end = -(-(last.address + max(last.memory_bytes, len(last.data))) // PAGE) * PAGE
    layout, end = draw(layouts(end))
    size = max(2 * PAGE, 1 << (end - 1).bit_length())
    version = draw(st.sampled_from(VERSIONS))
    address_range = None
    if version[0] > 10:
        range_size = size << draw(st.integers(0, 3))
        image = draw(st.integers(0, (range_size - size) // PAGE)) * PAGE
        base = draw(st.sampled_from([0, range_size]))
        address_range = base + image, base, range_size
    return {
        "segments": segments,
        "layout": layout,
        "size": size,
        "version": version,
        "address_range": address_range,
        "frames": draw(st.integers(1, 4)),
        "patches": draw(
            st.lists(st.tuples(st.integers(0, 40000), st.binary(max_size=300)), max_size=3)
        ),
    }


def made(enclave: dict[str, Any], sigstruct: bytes = bytes(1808)) -> tuple[bytes, str]:
    """The file, and the measurement that its loader would reach."""
    elf = ElfEnclave(enclave["segments"])
    limit = len(elf.to_bytes())
    patches = [(at % limit, data[: limit - at % limit]) for at, data in enclave["patches"]]
    block = Metadata(
        enclave["version"],
        enclave["size"],
        enclave["frames"],
        enclave["layout"],
        patches,
        enclave["address_range"],
        sigstruct,
    ).to_bytes()
    elf.sections = [sgxmeta_note([block])]
    pages = segment_pages(enclave["segments"], patches, elf._offsets())
    pages += layout_pages(enclave["layout"])
    size, shift = enclave["size"], 0
    if enclave["address_range"] is not None:
        image, base, size = enclave["address_range"]
        shift = image - base
    pages = [Page(one.offset + shift, one.flags, one.content) for one in pages]
    return elf.to_bytes(), measured(size, enclave["frames"], pages)


def ours(data: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "enclave.signed.so"
        path.write_bytes(data)
        return read_enclave(path).mrenclave.hex()


@settings(max_examples=150, deadline=None)
@given(enclaves())
def test_an_enclave_measures_what_its_loader_adds(enclave: dict[str, Any]) -> None:
    data, expected = made(enclave)

    assert ours(data) == expected


@settings(max_examples=30, deadline=None)
@given(enclaves(), st.integers(0))
def test_no_other_bytes_of_the_note_than_its_layout_matter(
    enclave: dict[str, Any], seed: int
) -> None:
    signature = seed.to_bytes((seed.bit_length() + 7) // 8 or 1, "little")[:1808].ljust(1808)
    data, expected = made(enclave, signature)

    assert ours(data) == expected


def test_relocated_text_is_writable_page_by_page() -> None:
    text = Part(5, 0x1000, bytes(range(256)) * 48, 0x3000)
    first = Part(4, 0, bytes(0x100), 0x100)
    # One relocation inside the second page, one across the border of the third and the fourth,
    # and one of no kind, which is none.
    rela = b"".join(
        ((0x2010).to_bytes(8, "little"), (8).to_bytes(8, "little"), bytes(8))
    ) + b"".join(((0x1020).to_bytes(8, "little"), bytes(16)))
    across = (0x2FFC).to_bytes(8, "little") + (8).to_bytes(8, "little") + bytes(8)
    tables = Part(4, 0x4000, rela + across, 72)
    dynamic_data = b"".join(
        tag.to_bytes(8, "little") + value.to_bytes(8, "little")
        for tag, value in ((22, 0), (7, 0x4000), (8, 72), (0, 0))
    )
    dynamic = Part(6, 0x5000, dynamic_data, len(dynamic_data))
    segments = [first, text, tables, dynamic]
    elf = ElfEnclave(segments, headers=[(2, 0x5000, len(dynamic_data), len(dynamic_data), 8)])
    block = Metadata((3, 3), 0x8000, 1, []).to_bytes()
    elf.sections = [
        Section(".rela.dyn", 4, tables.data, 0x4000, entry_size=24),
        sgxmeta_note([block]),
    ]
    pages = []
    for page in segment_pages(segments, [], elf._offsets()):
        is_writable = page.offset in (0x2000, 0x3000)
        pages.append(Page(page.offset, page.flags | 2 * is_writable, page.content))

    assert ours(elf.to_bytes()) == measured(0x8000, 1, pages)


def test_a_loader_of_version_1_3_adds_a_page_after_a_segment_that_is_not_aligned() -> None:
    # Size rounded up, then added to the address: one page more than the segment needs.
    data = Part(6, 0x1F00, b"x" * 0x80, 0x80)
    segments = [Part(4, 0, b"y" * 16, 16), data]
    elf = ElfEnclave(segments)
    elf.sections = [sgxmeta_note([Metadata((1, 3), 0x4000, 1, []).to_bytes()])]
    pages = [*segment_pages(segments, [], elf._offsets()), *zeros(0x2000, W, 1)]

    assert ours(elf.to_bytes()) == measured(0x4000, 1, pages)


def test_the_newest_metadata_that_loaders_take_is_the_one() -> None:
    segments = [Part(4, 0, b"y" * 16, 16)]
    blocks = [
        Metadata((2, 4), 0x8000, 1, []).to_bytes(),
        Metadata((1, 4), 0x4000, 1, []).to_bytes(),
        Metadata((1, 5), 0x10000, 1, []).to_bytes(),
    ]
    elf = ElfEnclave(segments)
    elf.sections = [sgxmeta_note(blocks)]

    assert ours(elf.to_bytes()) == measured(
        0x10000, 1, segment_pages(segments, [], elf._offsets())
    )


def test_a_second_elf_file_lies_at_the_address_of_the_extension() -> None:
    inner_parts = [Part(4, 0, b"inner", 5), Part(5, 0x1000, b"code" * 9, 0x1800)]
    inner = ElfEnclave(inner_parts).to_bytes()
    main = [Part(4, 0, b"y" * 16, 16), Part(6, 0x1000, bytes(8), 8)]
    elf = ElfEnclave(main)
    carrier = Section(".fips", 1, inner)
    elf.sections = [carrier]
    at = elf.to_bytes().index(inner)
    block = Metadata((3, 3), 0x20000, 1, [], shared_object=(at, 0x8000, len(inner)))
    elf.sections = [carrier, sgxmeta_note([block.to_bytes()])]
    pages = segment_pages(main, [], elf._offsets())
    for part in inner_parts:
        start, memory = part.memory()
        pages += pages_of(0x8000 + start, part.page_flags, bytes(memory))

    assert ours(elf.to_bytes()) == measured(0x20000, 1, pages)
