"""Enclaves that Intel's `sgx_sign` signed: an ELF file with `.note.sgxmeta`.

The note holds one or more metadata blocks. Each has a SIGSTRUCT, a table of
patches that the loader applies to the file before it adds the segments, and a
table of layout entries: heap, stacks, thread control pages and so on, single or
in groups that are repeated. (Intel SGX SDK for Linux: `metadata.h`,
`se_page_attr.h`, and the loader, `loader.cpp` and `elfparser.cpp`.)

The note is in no segment, so that it can hold the signature of the rest.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Final, NoReturn

from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, warning
from occlum_build.enclave_file.content import Piece, Pieces, Place, refuse
from occlum_build.enclave_file.elf_file import (
    DT_JMPREL,
    DT_PLTRELSZ,
    DT_REL,
    DT_RELA,
    DT_RELASZ,
    DT_RELSZ,
    DT_TEXTREL,
    ElfFile,
)
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage, Hole
from occlum_build.enclave_file.limits import MAX_RUNS, check_runs, check_size
from occlum_build.enclave_file.segments import segment_run, split_writable
from occlum_build.sgx.page import PAGE_BYTES, align_down, align_up
from occlum_build.sgx.secinfo import SecInfo
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES
from occlum_build.sgx.stream import PageRun

NOTE_SECTION: Final = ".note.sgxmeta"
_NOTE_NAME: Final = b"sgx_metadata\0"
_NOTE: Final = struct.Struct("<III")
_MAGIC: Final = 0x86A80294635D0E4C
_MAX_NOTE_BYTES: Final = 1 << 20
_MAX_BLOCKS: Final = 16

# metadata_t: magic, version, size, TCS policy, SSA frame pages, largest save buffer, desired
# MISCSELECT, least TCS pool, enclave size, ATTRIBUTES, SIGSTRUCT; then four directories
_METADATA: Final = struct.Struct(f"<QQIIIIIIQ16s{SIGSTRUCT_BYTES}s")
_DIRECTORIES: Final = struct.Struct("<8I")
_SIGSTRUCT_AT: Final = 64
_PATCH: Final = struct.Struct("<QII16x")
_ENTRY: Final = struct.Struct("<HHIQIIQ")
_GROUP: Final = struct.Struct("<HHIQ16x")
_ELRANGE: Final = struct.Struct("<QQQ")
_EXTENSION: Final = struct.Struct("<IIII")
_SHARED_OBJECT: Final = struct.Struct("<QQQQ")
_EXTENSION_SHARED_OBJECT: Final = 0x1002

_GROUP_FLAG: Final = 0x1000
_EADD, _EEXTEND, _EREMOVE, _POST_ADD = 1, 2, 4, 8
_TCS_FLAGS: Final = 0x100
_MASK_64: Final = (1 << 64) - 1
# fields of a TCS that the loader makes relative to the enclave: OSSA, OFSBASE, OGSBASE
_TCS_RELATIVE: Final = (16, 48, 56)

_MAJOR_GAP: Final = 10
_NEWEST_MAJOR: Final = 3
_MAJOR_WITHOUT_LOADER: Final = 2
_PADDED_VERSION: Final = (1, 3)
_EXTENSIONS_SINCE: Final = {1: 5, 3: 2}

_ENTRY_NAMES: Final = {
    1: "heap, least",
    2: "heap, initial",
    3: "heap, rest",
    4: "TCS",
    5: "thread data",
    6: "SSA",
    7: "stack, rest",
    8: "stack",
    10: "guard",
    11: "dynamic heap, least",
    12: "dynamic heap, initial",
    13: "dynamic heap, rest",
    14: "TCS",
    15: "thread data",
    16: "SSA",
    17: "stack, rest",
    18: "stack",
    20: "reserved memory, least",
    21: "reserved memory, initial",
    22: "reserved memory, rest",
    23: "user region",
}
_TCS_IDS: Final = frozenset({4, 14})
_BEFORE_TCS_IDS: Final = frozenset({7, 8, 17, 18})
_AFTER_TCS_IDS: Final = frozenset({5, 6, 15, 16})


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row of the layout table, at one of the places where a group puts it."""

    kind: int
    attributes: int
    page_count: int
    offset: int
    content_size: int
    content_offset: int
    flags: int


@dataclass(frozen=True)
class _Block:
    """A metadata block: everything that one version of the loader wants to know."""

    elf: ElfFile
    start: int
    data: bytes
    version: tuple[int, int]
    tcs_policy: int
    ssa_frame_pages: int
    misc_select: int
    tcs_min_pool: int
    enclave_bytes: int
    sigstruct: bytes

    @property
    def has_address_range(self) -> bool:
        """Whether the enclave's address range is larger than the image, and placed by name."""
        return self.version[0] > _MAJOR_GAP

    @property
    def major(self) -> int:
        """Major version, whatever the address range is."""
        return self.version[0] % _MAJOR_GAP

    def directory(self, number: int, name: str) -> tuple[int, int]:
        """Start and size of one of the four tables."""
        if len(self.data) < _METADATA.size + _DIRECTORIES.size:
            return 0, 0
        fields = _DIRECTORIES.unpack_from(self.data, _METADATA.size)
        start, size = fields[2 * number], fields[2 * number + 1]
        if start + size > len(self.data):
            self.refuse(f"its {name} lies outside the metadata")
        return start, size

    def part(self, start: int, size: int, name: str) -> bytes:
        """Bytes of the block; raises `DiagnosticError` if it has not so many."""
        if start + size > len(self.data):
            self.refuse(f"{name} lies outside the metadata")
        return self.data[start : start + size]

    def address_range(self) -> tuple[int, int]:
        """Size of the address range, and where in it the image begins."""
        if not self.has_address_range:
            return self.enclave_bytes, 0
        start, size = self.directory(2, "address range")
        if size != _ELRANGE.size or not start:
            self.refuse("its address range is missing")
        image, first, range_bytes = _ELRANGE.unpack_from(self.data, start)
        if image < first or image % PAGE_BYTES or first % PAGE_BYTES:
            self.refuse(f"its image at {image:#x} is not in the address range at {first:#x}")
        if image + self.enclave_bytes > first + range_bytes:
            self.refuse("its image does not fit into its address range")
        return range_bytes, image - first

    @cached_property
    def patches(self) -> list[Piece]:
        """What the loader writes over the file, `start` being the place in the file."""
        start, size = self.directory(0, "patch table")
        table = self.data[start : start + size // _PATCH.size * _PATCH.size]
        found: list[Piece] = []
        for target, source, length in _PATCH.iter_unpack(table):
            if not self.elf.file.holds(target, length):
                self.refuse(f"a patch at {target:#x} lies outside the file")
            content = self.part(source, length, "the content of a patch")
            found.append(
                Piece(target, length, self.elf.file, target, content, "patched by loader")
            )
        return found

    def entries(self) -> Iterator[_Entry]:
        """The rows of the layout table in the order of loading, groups unrolled."""
        start, size = self.directory(1, "layout table")
        raw = [
            self.data[at : at + _ENTRY.size]
            for at in range(start, start + size // _ENTRY.size * _ENTRY.size, _ENTRY.size)
        ]
        count = 0
        for index, row in enumerate(raw):
            kind, entry_count, load_times, load_step = _GROUP.unpack(row)
            if not kind & _GROUP_FLAG:
                yield _entry(row, 0)
                continue
            if entry_count > index:
                self.refuse(f"group {index} of its layout repeats {entry_count} entries before it")
            members = raw[index - entry_count : index]
            if any(_ENTRY.unpack(one)[0] & _GROUP_FLAG for one in members):
                self.refuse(f"group {index} of its layout repeats another group")
            count += load_times * entry_count
            if count > MAX_RUNS:
                self.refuse(f"its layout repeats {count} entries")
            for repetition in range(1, load_times + 1 if entry_count else 1):
                yield from (_entry(one, repetition * load_step) for one in members)

    def shared_object(self) -> tuple[int, int, int] | None:
        """A second ELF file inside this one: offset in the file, size, offset in memory."""
        since = _EXTENSIONS_SINCE.get(self.major)
        if since is None or self.version[1] < since:
            return None
        start, size = self.directory(3, "extension table")
        table = self.data[start : start + size // _EXTENSION.size * _EXTENSION.size]
        for kind, length, offset, _ in _EXTENSION.iter_unpack(table) if start else ():
            if kind == _EXTENSION_SHARED_OBJECT and length and offset:
                content = self.part(offset, _SHARED_OBJECT.size, "an extension")
                at, in_memory, object_bytes, _ = _SHARED_OBJECT.unpack(content)
                return at, object_bytes, in_memory
        return None

    def refuse(self, reason: str) -> NoReturn:
        """End the reading of the file."""
        self.elf.refuse(f"metadata {self.version[0]}.{self.version[1]}: {reason}")


def is_intel_sdk(elf: ElfFile) -> bool:
    """Whether the file has the note that only these enclaves have."""
    return elf.section(NOTE_SECTION) is not None


def read_intel_sdk(elf: ElfFile) -> EnclaveImage:
    """The enclave, as the metadata says that the newest loader would use.

    `facts["metadata"]` lists all blocks. A block that gives another measurement
    than the one used is a remark.
    """
    blocks = _blocks(elf)
    block = max(blocks, key=_preference)
    image = _image(block)
    remarks: list[Diagnostic] = []
    for other in blocks:
        if other is not block:
            remarks += _differences(block, other)
    facts = {
        "metadata": [_block_facts(one, is_used=one is block) for one in blocks],
        **image.facts,
    }
    return EnclaveImage(
        EnclaveFormat.INTEL_SDK,
        image.file,
        image.size_bytes,
        image.ssa_frame_pages,
        image.runs,
        image.holes,
        image.sigstruct_bytes,
        image.sigstruct_place,
        facts,
        tuple(remarks),
        image.files,
        name_at=image.name_at,
    )


def _preference(block: _Block) -> tuple[bool, tuple[int, int]]:
    """The loader takes the highest version that it knows; those of today pass over 2.x."""
    return block.major != _MAJOR_WITHOUT_LOADER, block.version


def _blocks(elf: ElfFile) -> list[_Block]:
    """The metadata blocks, one after the other until the magic number is missing."""
    section = elf.section(NOTE_SECTION)
    if section is None:
        raise ValueError(NOTE_SECTION)
    if section.size_bytes > _MAX_NOTE_BYTES:
        elf.refuse(f"its note `{NOTE_SECTION}` has {section.size_bytes} bytes")
    note = elf.section_data(section)
    if len(note) < _NOTE.size:
        elf.refuse(f"its note `{NOTE_SECTION}` is too short")
    name_size, size, _ = _NOTE.unpack_from(note)
    at = _NOTE.size + name_size
    if note[_NOTE.size : at] != _NOTE_NAME:
        elf.refuse(f"its note `{NOTE_SECTION}` has another name than `sgx_metadata`")
    end = min(len(note), at + size)
    found: list[_Block] = []
    while at + _METADATA.size <= end and len(found) < _MAX_BLOCKS:
        magic, _, block_bytes = struct.unpack_from("<QQI", note, at)
        if magic != _MAGIC or not block_bytes:
            break
        if block_bytes < _METADATA.size or at + block_bytes > end:
            elf.refuse(f"a metadata block claims {block_bytes} bytes")
        found.append(_block(elf, section.offset + at, note[at : at + block_bytes]))
        at += block_bytes
    known = [one for one in found if one.major in range(1, _NEWEST_MAJOR + 1)]
    if found and not known:
        version = ".".join(map(str, found[0].version))
        refuse(
            "OB0541",
            f"this enclave cannot be measured: its metadata has version {version}",
            elf.file.path,
            notes=("versions 1.x to 3.x are known, with an address range 11.x to 13.x",),
        )
    if not known:
        refuse(
            "OB0541",
            "this enclave cannot be measured yet: it is not signed",
            elf.file.path,
            notes=(f"its note `{NOTE_SECTION}` is empty; the layout is made when it is signed",),
            helps=("sign it with `sgx_sign`, whatever the key, and measure the result",),
        )
    return known


def _block(elf: ElfFile, start: int, data: bytes) -> _Block:
    fields = _METADATA.unpack_from(data)
    _, version, _, policy, frames, _, misc_select, pool, enclave_bytes, _, sigstruct = fields
    major_minor = (version >> 32, version & 0xFFFF_FFFF)
    return _Block(
        elf,
        start,
        data,
        major_minor,
        policy,
        frames,
        misc_select,
        pool,
        enclave_bytes,
        sigstruct,
    )


def _image(block: _Block) -> EnclaveImage:
    elf = block.elf
    size_bytes, delta = block.address_range()
    check_size(size_bytes, block.ssa_frame_pages, elf.file.path)
    maker = _Pages(block, delta)
    check_runs(maker.runs(), size_bytes, elf.file.path)
    return EnclaveImage(
        EnclaveFormat.INTEL_SDK,
        elf.file.path,
        size_bytes,
        block.ssa_frame_pages,
        maker.runs,
        tuple(maker.holes()),
        block.sigstruct if any(block.sigstruct) else None,
        Place(elf.file.path, block.start + _SIGSTRUCT_AT),
        _facts(block, size_bytes, delta),
        files=(elf.file.path,),
        name_at=partial(_name_at, elf, delta),
    )


class _Pages:
    """The pages that the loader adds for one metadata block, in its order."""

    def __init__(self, block: _Block, delta: int) -> None:
        self._block = block
        self._elf = block.elf
        self._delta = delta
        self._writable = _relocated_pages(self._elf)
        self._objects = [(self._elf, 0, "segment")]
        inner = block.shared_object()
        if inner is not None:
            at, size, in_memory = inner
            if not self._elf.file.holds(at, size):
                block.refuse("its second ELF file lies outside the file")
            self._objects.append((ElfFile(self._elf.file, at, size), in_memory, "module segment"))

    def runs(self) -> Iterator[PageRun]:
        """All pages that are added before the enclave starts."""
        yield from self._image_runs()
        for name, entry in self._named_entries():
            yield from self._entry_runs(name, entry)

    def holes(self) -> Iterator[Hole]:
        """What the layout keeps free: guard pages, and what comes when the enclave runs."""
        for name, entry in self._named_entries():
            if not entry.attributes & _EADD or not (entry.content_offset or entry.flags):
                is_dynamic = bool(entry.attributes & _POST_ADD)
                yield Hole(name, entry.offset + self._delta, entry.page_count, is_dynamic)

    def _named_entries(self) -> Iterator[tuple[str, _Entry]]:
        """The entries of the layout, each with the name of what it is for."""
        threads = 0
        for entry in self._block.entries():
            name = _ENTRY_NAMES.get(entry.kind, f"layout entry {entry.kind}")
            if entry.kind in _TCS_IDS:
                threads += 1
            if entry.kind in _TCS_IDS | _AFTER_TCS_IDS and threads:
                name = f"thread {threads - 1} {name}"
            elif entry.kind in _BEFORE_TCS_IDS:
                name = f"thread {threads} {name}"
            if entry.attributes & _EREMOVE:
                name += ", removed before it runs"
            yield name, entry

    def _image_runs(self) -> Iterator[PageRun]:
        """The segments, in the order of the file."""
        last: PageRun | None = None
        last_memory = range(0)
        for elf, base, kind in self._objects:
            for number, segment in enumerate(elf.loads):
                run = segment_run(elf, segment, f"{kind} {number}", self._block.patches)
                run = replace(run, offset=run.offset + base)
                if last is not None:
                    yield from self._padding(last, last_memory, run.offset)
                address = base + segment.address
                if address > last_memory.start:
                    last, last_memory = run, range(address, address + segment.memory_size)
                for one in split_writable(run, () if base else self._writable):
                    yield self._moved(one)
        if last is not None:
            yield from self._padding(last, last_memory, None)

    def _padding(self, last: PageRun, memory: range, following: int | None) -> Iterator[PageRun]:
        """The page that loaders of metadata 1.3 add after a segment, where there is room.

        They round a segment's size up before they add its address.
        """
        start = align_up(memory.stop, PAGE_BYTES)
        end = align_up(memory.start + align_up(len(memory), PAGE_BYTES), PAGE_BYTES)
        has_room = following is None or start < following
        if self._block.version == _PADDED_VERSION and start < end and has_room:
            yield self._moved(
                PageRun(f"{last.name}, padding", start, 1, last.secinfo, measured=True)
            )

    def _entry_runs(self, name: str, entry: _Entry) -> Iterator[PageRun]:
        if not entry.attributes & _EADD:
            return
        is_measured = bool(entry.attributes & _EEXTEND)
        if entry.content_offset and entry.flags == _TCS_FLAGS:
            page = self._tcs(entry)
            yield self._entry_run(name, entry, is_measured=is_measured, data=b"", fill=page)
        elif entry.content_offset:
            what = f"the content of {name}"
            self._block.part(entry.content_offset, entry.content_size, what)
            start = self._block.start + entry.content_offset
            piece = Piece(0, entry.content_size, self._elf.file, start)
            yield self._entry_run(name, entry, is_measured=True, data=Pieces((piece,)))
        elif entry.flags:
            fill = struct.pack("<I", entry.content_size) * (PAGE_BYTES // 4)
            fill = fill if entry.content_size else b""
            yield self._entry_run(name, entry, is_measured=is_measured, data=b"", fill=fill)

    def _entry_run(
        self,
        name: str,
        entry: _Entry,
        *,
        is_measured: bool,
        data: bytes | Pieces,
        fill: bytes = b"",
    ) -> PageRun:
        try:
            secinfo = SecInfo.from_flags(entry.flags)
        except DiagnosticError as problem:
            self._block.refuse(f"{name}: {problem.diagnostics[0].message}")
        run = PageRun(
            name, entry.offset, entry.page_count, secinfo, measured=is_measured, data=data
        )
        if run.data_pages > run.page_count:
            run = replace(run, page_count=run.data_pages)
        return self._moved(replace(run, fill=fill if is_measured else b""))

    def _tcs(self, entry: _Entry) -> bytes:
        """The page that the loader makes of a template: offsets in it count from the TCS."""
        content = self._block.part(entry.content_offset, entry.content_size, "a TCS template")
        if len(content) > PAGE_BYTES:
            self._block.refuse("a TCS template is larger than a page")
        page = bytearray(content.ljust(PAGE_BYTES, b"\0"))
        for at in _TCS_RELATIVE:
            (value,) = struct.unpack_from("<Q", page, at)
            struct.pack_into("<Q", page, at, value + entry.offset & _MASK_64)
        return bytes(page)

    def _moved(self, run: PageRun) -> PageRun:
        """The run where the address range has it."""
        return replace(run, offset=run.offset + self._delta) if self._delta else run


def _entry(row: bytes, shift: int) -> _Entry:
    kind, attributes, pages, offset, content_size, content_offset, flags = _ENTRY.unpack(row)
    return _Entry(kind, attributes, pages, offset + shift, content_size, content_offset, flags)


def _relocated_pages(elf: ElfFile) -> frozenset[int]:
    """Offsets of pages with relocations; none unless the file says that text has some.

    The tables are found as the loader finds them: by the section at their address.
    """
    tags = elf.dynamic_tags()
    if DT_TEXTREL not in tags:
        return frozenset()
    table, table_size = (DT_RELA, DT_RELASZ) if elf.is_64 else (DT_REL, DT_RELSZ)
    found: set[int] = set()
    for start, size in ((DT_JMPREL, DT_PLTRELSZ), (table, table_size)):
        if start not in tags:
            continue
        section = next((one for one in elf.sections if one.address == tags[start]), None)
        if section is not None:
            for address in elf.relocated_addresses(section.offset, tags.get(size, 0)):
                found.add(align_down(address, PAGE_BYTES))
                found.add(align_down(address + elf.word_bytes - 1, PAGE_BYTES))
    return frozenset(found)


def _differences(used: _Block, other: _Block) -> list[Diagnostic]:
    """Whether another block describes another enclave than the one that is used."""
    version = ".".join(map(str, other.version))
    file = used.elf.file.path
    if other.sigstruct != used.sigstruct:
        return [warning("OB0544", f"metadata {version} has a signature of its own", Span(file))]
    try:
        image = _image(other)
    except DiagnosticError as problem:
        reason = problem.diagnostics[0].message
        return [warning("OB0544", f"metadata {version} is broken", Span(file), notes=(reason,))]
    if _hashed(image) == _hashed(_image(used)):
        return []
    return [
        warning(
            "OB0544",
            f"metadata {version} describes other pages than the one that is used",
            Span(file),
            notes=("a loader of another version would make another enclave of this file",),
        )
    ]


def _hashed(image: EnclaveImage) -> tuple[object, ...]:
    """What decides the measurement, without hashing: runs of one file compare by their pieces."""
    runs = [
        (one.offset, one.page_count, one.secinfo, one.measured, one.data, one.fill)
        for one in image.runs()
        if one.page_count
    ]
    return image.size_bytes, image.ssa_frame_pages, runs


def _block_facts(block: _Block, *, is_used: bool) -> dict[str, object]:
    return {
        "version": f"{block.version[0]}.{block.version[1]}",
        "used": is_used,
        "claimed_mrenclave": block.sigstruct[960:992].hex(),
    }


def _facts(block: _Block, size_bytes: int, delta: int) -> dict[str, object]:
    return {
        "tcs_policy": "unbound" if block.tcs_policy else "bound",
        "tcs_min_pool": block.tcs_min_pool,
        "desired_misc_select": block.misc_select,
        "image_size": block.enclave_bytes,
        "image_offset": delta,
        "address_range_size": size_bytes,
    }


def _name_at(elf: ElfFile, delta: int, offset: int) -> str:
    return elf.at_address(offset - delta) if offset >= delta else ""
