"""The LibOS as an ELF file: which pages it becomes once it is linked to its address.

The enclave has no dynamic linker, so the relocations are applied here, at build
time, and what they write is measured. The file must therefore be a static PIE
whose relocations are all R_X86_64_RELATIVE. Anything that would need work at
start (other relocations, libraries, constructors, thread-local storage), or that
is writable and executable at once, is refused.

This reads one kind of file that this project itself links. It is no general ELF
library.
"""

import struct
from dataclasses import dataclass
from typing import Final, NoReturn

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.sgx.page import PAGE_BYTES, align_down, align_up, describe_bytes
from occlum_build.sgx.secinfo import PageType, Permission, SecInfo
from occlum_build.sgx.stream import PageRun

# System V ABI, "ELF Header", "Program Header", "Dynamic Section"; AMD64 supplement,
# "Relocation Types".
_HEADER: Final = struct.Struct("<4sBBBB8xHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_RELA: Final = struct.Struct("<QQq")
_WORD: Final = struct.Struct("<Q")

_ELFCLASS64, _ELFDATA2LSB, _ET_DYN, _EM_X86_64 = 2, 1, 3, 62
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_TLS, _PT_GNU_RELRO = 1, 2, 3, 7, 0x6474E552
_PF_X, _PF_W, _PF_R = 1, 2, 4
_DT_NULL, _DT_RELA, _DT_RELASZ, _DT_RELAENT = 0, 7, 8, 9
_R_X86_64_RELATIVE: Final = 8

_REFUSED_TAGS: Final = {
    1: "it needs shared libraries (DT_NEEDED)",
    12: "it has an initialiser that nothing would run (DT_INIT)",
    22: "it has relocations in its text (DT_TEXTREL)",
}
"""Dynamic tags that ask for what an enclave does not have."""

_REFUSED_SIZES: Final = {
    2: "it has PLT relocations (DT_PLTRELSZ)",
    18: "it has relocations without addends (DT_RELSZ)",
    27: "it has initialisers that nothing would run (DT_INIT_ARRAYSZ)",
    35: "it has packed relocations (DT_RELRSZ)",
}
"""Dynamic tags that ask for it unless their value is 0."""

_MAX_PROGRAM_HEADERS: Final = 64
_MAX_IMAGE_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Segment:
    """A PT_LOAD: bytes, and zeros after them, at an address relative to the image."""

    address: int
    size_bytes: int
    permissions: Permission
    data: bytes

    @property
    def end(self) -> int:
        """First address after the segment."""
        return self.address + self.size_bytes


@dataclass(frozen=True, slots=True)
class LibOs:
    """A checked LibOS, not yet linked to an address.

    `relro` is the address range that relocations write and nothing else does.
    """

    file: str
    segments: tuple[Segment, ...]
    relro: range
    entry: int
    relocations: tuple[tuple[int, int], ...]

    @property
    def size_bytes(self) -> int:
        """Length of the address range that the image takes, in whole pages."""
        return align_up(self.segments[-1].end, PAGE_BYTES)

    def page_runs(self, base: int) -> list[PageRun]:
        """The image's pages with its relocations applied for `base`."""
        contents = [bytearray(segment.data) for segment in self.segments]
        for address, addend in self.relocations:
            index = next(i for i, one in enumerate(self.segments) if address < one.end)
            at = address - self.segments[index].address
            _WORD.pack_into(contents[index], at, (base + addend) & 0xFFFF_FFFF_FFFF_FFFF)
        runs: list[PageRun] = []
        for segment, content in zip(self.segments, contents, strict=True):
            runs += self._segment_runs(segment, bytes(content), base)
        return runs

    def _segment_runs(self, segment: Segment, content: bytes, base: int) -> list[PageRun]:
        """One run, or two where the segment begins with pages that are read-only once linked."""
        start = align_down(segment.address, PAGE_BYTES)
        end = align_up(segment.end, PAGE_BYTES)
        content = bytes(segment.address - start) + content
        if not self.relro or self.relro.start not in range(start, end):
            name = _NAMES[segment.permissions.letters()]
            return [_page_run(name, segment.permissions, base + start, base + end, content)]
        middle = align_up(self.relro.stop, PAGE_BYTES)
        cut = middle - start
        linked = _page_run(
            "libos relro", Permission.READ, base + start, base + middle, content[:cut]
        )
        if middle >= end:
            return [linked]
        rest = _page_run(
            "libos data", segment.permissions, base + middle, base + end, content[cut:]
        )
        return [linked, rest]


def read_libos(data: bytes, file: str) -> LibOs:
    """Read and check the LibOS; raises `DiagnosticError` for what an enclave cannot hold."""
    return _Reader(data, file).read()


class _Reader:
    """One pass over an untrusted ELF file; every offset is checked before it is used."""

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._file = file

    def read(self) -> LibOs:
        entry, headers = self._headers()
        segments = self._segments(headers)
        self._check_entry(segments, entry)
        relro = self._relro(headers, segments)
        return LibOs(self._file, segments, relro, entry, self._relocations(headers, segments))

    def _headers(self) -> tuple[int, list[tuple[int, ...]]]:
        """The entry address and the program headers."""
        data = self._data
        if len(data) < _HEADER.size or data[:4] != b"\x7fELF":
            self._refuse("it is not an ELF file")
        fields = _HEADER.unpack_from(data)
        elf_class, byte_order, elf_type, machine = fields[1], fields[2], fields[5], fields[6]
        if (elf_class, byte_order, machine) != (_ELFCLASS64, _ELFDATA2LSB, _EM_X86_64):
            self._refuse("it is not a 64-bit little-endian x86-64 file")
        if elf_type != _ET_DYN:
            self._refuse("it is not position independent", "link it as a static PIE")
        entry, table, entry_size, count = fields[8], fields[9], fields[13], fields[14]
        if entry_size != _PROGRAM_HEADER.size or not 0 < count <= _MAX_PROGRAM_HEADERS:
            self._refuse(f"its program header table is broken ({count} of {entry_size} bytes)")
        if table + count * entry_size > len(data):
            self._refuse("its program header table lies outside the file")
        stop = table + count * entry_size
        headers = [tuple(one) for one in _PROGRAM_HEADER.iter_unpack(data[table:stop])]
        for header in headers:
            if header[0] == _PT_INTERP:
                self._refuse("it asks for a dynamic linker (PT_INTERP)", "link it statically")
            if header[0] == _PT_TLS:
                self._refuse("it has thread-local storage (PT_TLS) that nothing would set up")
        return entry, headers

    def _segments(self, headers: list[tuple[int, ...]]) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        for kind, flags, offset, address, _, file_size, memory_size, alignment in headers:
            if kind != _PT_LOAD or not memory_size:
                continue
            where = f"the segment at {address:#x}"
            if flags & _PF_W and flags & _PF_X:
                self._refuse(f"{where} is writable and executable at once")
            if not flags & _PF_R:
                self._refuse(f"{where} is not readable")
            if file_size > memory_size or offset + file_size > len(self._data):
                self._refuse(f"{where} claims bytes that the file does not have")
            if address + memory_size > _MAX_IMAGE_BYTES:
                self._refuse(f"{where} ends beyond {describe_bytes(_MAX_IMAGE_BYTES)}")
            if alignment > 1 and (address - offset) % alignment:
                self._refuse(f"{where} is not aligned as it says (offset {offset:#x})")
            if segments and align_up(segments[-1].end, PAGE_BYTES) > align_down(
                address, PAGE_BYTES
            ):
                self._refuse(
                    f"{where} shares a page with the one before it, or lies below it",
                    "link it with `-z separate-loadable-segments`",
                )
            content = self._data[offset : offset + file_size]
            segments.append(Segment(address, memory_size, _permissions(flags), content))
        if not segments:
            self._refuse("it has nothing to load")
        return tuple(segments)

    def _check_entry(self, segments: tuple[Segment, ...], entry: int) -> None:
        if not any(
            one.address <= entry < one.end and Permission.EXECUTE in one.permissions
            for one in segments
        ):
            self._refuse(f"its entry address {entry:#x} is not in executable memory")

    def _relro(self, headers: list[tuple[int, ...]], segments: tuple[Segment, ...]) -> range:
        """The one range that must be read-only once linked; empty where there is none."""
        ranges = [range(one[3], one[3] + one[6]) for one in headers if one[0] == _PT_GNU_RELRO]
        if not ranges or not ranges[0]:
            return range(0)
        if len(ranges) > 1:
            self._refuse("it has more than one PT_GNU_RELRO")
        relro = ranges[0]
        for segment in segments:
            if Permission.WRITE in segment.permissions and segment.address == relro.start:
                if relro.stop % PAGE_BYTES and relro.stop < segment.end:
                    break
                if relro.stop > align_up(segment.end, PAGE_BYTES):
                    break
                return relro
        return self._refuse(
            "its read-only-after-relocation part is not a run of whole pages at the start of a "
            "writable segment",
            "link it with `-z relro -z separate-loadable-segments`",
        )

    def _relocations(
        self, headers: list[tuple[int, ...]], segments: tuple[Segment, ...]
    ) -> tuple[tuple[int, int], ...]:
        """(address, addend) of every relocation."""
        tags = self._dynamic_tags(headers)
        reasons = [reason for tag, reason in _REFUSED_TAGS.items() if tag in tags]
        reasons += [reason for tag, reason in _REFUSED_SIZES.items() if tags.get(tag)]
        if reasons:
            self._refuse(reasons[0], "link it as a static PIE, without libraries")
        size = tags.get(_DT_RELASZ, 0)
        if not size:
            return ()
        if tags.get(_DT_RELAENT) != _RELA.size or size % _RELA.size:
            self._refuse("its relocation table is broken")
        table = self._memory(segments, tags.get(_DT_RELA, 0), size)
        found = []
        for address, info, addend in _RELA.iter_unpack(table):
            if info != _R_X86_64_RELATIVE:
                self._refuse(
                    f"it has a relocation of type {info & 0xFFFFFFFF} at {address:#x}; only "
                    f"R_X86_64_RELATIVE ({_R_X86_64_RELATIVE}) can be applied at build time",
                    "link it as a static PIE, without undefined symbols",
                )
            self._check_relocation(segments, address)
            found.append((address, addend))
        return tuple(found)

    def _check_relocation(self, segments: tuple[Segment, ...], address: int) -> None:
        for segment in segments:
            if segment.address <= address <= segment.address + len(segment.data) - _WORD.size:
                if Permission.EXECUTE in segment.permissions:
                    self._refuse(f"it has a relocation in its text at {address:#x}")
                return
        self._refuse(f"it has a relocation at {address:#x}, outside its data")

    def _dynamic_tags(self, headers: list[tuple[int, ...]]) -> dict[int, int]:
        tags: dict[int, int] = {}
        for kind, _, offset, _, _, file_size, _, _ in headers:
            if kind != _PT_DYNAMIC:
                continue
            if offset + file_size > len(self._data) or file_size % _DYNAMIC.size:
                self._refuse("its dynamic section is broken")
            for tag, value in _DYNAMIC.iter_unpack(self._data[offset : offset + file_size]):
                if tag == _DT_NULL:
                    break
                tags[tag] = value
        return tags

    def _memory(self, segments: tuple[Segment, ...], address: int, size: int) -> bytes:
        """File bytes of the image at `address`."""
        for segment in segments:
            start = address - segment.address
            if start >= 0 and start + size <= len(segment.data):
                return segment.data[start : start + size]
        return self._refuse(f"its relocation table at {address:#x} lies outside the file")

    def _refuse(self, reason: str, *helps: str) -> NoReturn:
        raise DiagnosticError(
            error(
                "OB0520",
                f"this file cannot be the LibOS of an enclave: {reason}",
                Span(self._file),
                helps=helps,
            )
        )


def _permissions(flags: int) -> Permission:
    pairs = ((_PF_R, Permission.READ), (_PF_W, Permission.WRITE), (_PF_X, Permission.EXECUTE))
    permissions = Permission.NONE
    for bit, permission in pairs:
        if flags & bit:
            permissions |= permission
    return permissions


_NAMES: Final = {"r--": "libos rodata", "r-x": "libos text", "rw-": "libos data"}


def _page_run(name: str, permissions: Permission, start: int, end: int, content: bytes) -> PageRun:
    return PageRun(
        name=name,
        offset=start,
        page_count=(end - start) // PAGE_BYTES,
        secinfo=SecInfo(PageType.REG, permissions),
        measured=True,
        data=content,
    )
