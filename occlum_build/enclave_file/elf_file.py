"""ELF as the loaders of enclaves read it: segments, section headers, symbols, dynamic tags.

System V ABI, chapters 4 and 5, for x86 of 32 and 64 bits. The file is hostile:
every offset is checked before it is followed, tables are read one at a time, and
nothing is taken to be there because another part of the file says so.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NoReturn

from occlum_build.enclave_file.content import FileBytes, broken

MAGIC: Final = b"\x7fELF"
PT_LOAD, PT_DYNAMIC, PT_TLS = 1, 2, 7
PF_X, PF_W, PF_R = 1, 2, 4
SHT_NOBITS: Final = 8
SHF_ALLOC: Final = 2
SHN_UNDEF: Final = 0
STB_WEAK: Final = 2
DT_NULL, DT_NEEDED, DT_PLTRELSZ, DT_PLTGOT, DT_STRTAB, DT_SYMTAB = 0, 1, 2, 3, 5, 6
DT_RELA, DT_RELASZ, DT_REL, DT_RELSZ, DT_TEXTREL, DT_JMPREL = 7, 8, 17, 18, 22, 23
DT_RPATH, DT_RUNPATH = 15, 29

_ELFCLASS32, _ELFCLASS64, _ELFDATA2LSB = 1, 2, 1
_EM_386, _EM_X86_64 = 3, 62
_IDENT_BYTES: Final = 16
_MAX_TABLE_BYTES: Final = 1 << 26
_MAX_NAME_BYTES: Final = 1 << 10
_MAX_SYMBOL_BYTES: Final = 24 << 20
_STT_FUNC: Final = 2
_STT_NAMED: Final = frozenset({0, 1, _STT_FUNC})  # NOTYPE, OBJECT, FUNC


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header, as it stands in the file."""

    number: int
    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int

    @property
    def end(self) -> int:
        """First address after the segment."""
        return self.address + self.memory_size


@dataclass(frozen=True, slots=True)
class Section:
    """A section header, as it stands in the file."""

    name: str
    kind: int
    flags: int
    address: int
    offset: int
    size_bytes: int
    link: int
    alignment: int
    entry_size: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol with the address and size that the file gives it; its name is in a table."""

    name_offset: int
    address: int
    size_bytes: int
    section: int
    binding: int
    kind: int


@dataclass(frozen=True)
class SymbolTable:
    """Symbols in the order of the file, and the strings that name them."""

    symbols: list[Symbol]
    names: bytes

    def name(self, symbol: Symbol) -> str:
        """The name of one of them."""
        return _string(self.names, symbol.name_offset)

    @cached_property
    def by_name(self) -> dict[str, Symbol]:
        """All by name; of two with one name the first counts, as it does for loaders."""
        found: dict[str, Symbol] = {}
        for symbol in self.symbols:
            found.setdefault(self.name(symbol), symbol)
        return found

    def find(self, name: str) -> Symbol | None:
        """The first symbol of this name, as loaders look for it."""
        wanted = name.encode() + b"\0"
        names = self.names
        return next(
            (one for one in self.symbols if names.startswith(wanted, one.name_offset)), None
        )


class _Layout:
    """The structures of one ELF class, each as a tuple in the order of the 64-bit one."""

    def __init__(self, *, is_64: bool) -> None:
        self.is_64 = is_64
        # e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize,
        # e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx
        self.header = struct.Struct("<16xHHIQQQIHHHHHH" if is_64 else "<16xHHIIIIIHHHHHH")
        self.segment = struct.Struct("<IIQQQQQQ" if is_64 else "<IIIIIIII")
        # name, type, flags, addr, offset, size, link, info, addralign, entsize
        self.section = struct.Struct("<IIQQQQIIQQ" if is_64 else "<IIIIIIIIII")
        self.symbol = struct.Struct("<IBBHQQ" if is_64 else "<IIIBBH")
        self.dynamic = struct.Struct("<QQ" if is_64 else "<II")
        self.relocation = struct.Struct("<QQ8x" if is_64 else "<II")

    def segment_fields(self, number: int, raw: tuple[int, ...]) -> Segment:
        if self.is_64:
            kind, flags, offset, address, _, file_size, memory_size, alignment = raw
        else:
            kind, offset, address, _, file_size, memory_size, flags, alignment = raw
        return Segment(number, kind, flags, offset, address, file_size, memory_size, alignment)


class ElfFile:
    """An ELF file for x86. Raises `DiagnosticError` where a table cannot be what it claims."""

    def __init__(self, file: FileBytes, start: int = 0, size_bytes: int | None = None) -> None:
        """Read the headers of the ELF file that is, or begins at `start` in, a file.

        Sections and symbols follow when they are asked for.
        """
        self.file = file
        self.start = start
        self.size_bytes = file.size_bytes - start if size_bytes is None else size_bytes
        ident = self.read(0, min(_IDENT_BYTES, self.size_bytes))
        if ident[:4] != MAGIC or len(ident) < _IDENT_BYTES:
            self.refuse("it is no ELF file")
        if ident[4] not in (_ELFCLASS32, _ELFCLASS64) or ident[5] != _ELFDATA2LSB:
            self.refuse("it is no little-endian ELF file of 32 or 64 bits")
        self.is_64 = ident[4] == _ELFCLASS64
        self._layout = _Layout(is_64=self.is_64)
        if not self.holds(0, self._layout.header.size):
            self.refuse("it ends inside the ELF header")
        fields = self._layout.header.unpack(self.read(0, self._layout.header.size))
        self.kind, machine, _, self.entry, table, self._section_table = fields[:6]
        entry_size, count, self._section_size, self._section_count, self._names_index = fields[8:]
        if machine != (_EM_X86_64 if self.is_64 else _EM_386):
            self.refuse(f"it is for machine {machine}, not for x86")
        if count and entry_size != self._layout.segment.size:
            self.refuse(f"its program headers have {entry_size} bytes each")
        rows = self._rows(table, self._layout.segment, count, "program header table")
        self.segments = tuple(
            self._layout.segment_fields(number, raw) for number, raw in enumerate(rows)
        )

    def holds(self, start: int, size_bytes: int) -> bool:
        """Whether all of these bytes are in the ELF file."""
        return 0 <= start <= start + size_bytes <= self.size_bytes

    def read(self, start: int, size_bytes: int) -> bytes:
        """Bytes of the ELF file, which has them."""
        return self.file.read(self.start + start, size_bytes)

    @property
    def loads(self) -> list[Segment]:
        """The segments that become memory, in the order of the file."""
        return [one for one in self.segments if one.kind == PT_LOAD]

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; none in a file that lost them."""
        if not self._section_count or not self._section_table:
            return ()
        layout = self._layout.section
        if self._section_size != layout.size:
            self.refuse(f"its section headers have {self._section_size} bytes each")
        rows = list(
            self._rows(self._section_table, layout, self._section_count, "section header table")
        )
        if self._names_index >= len(rows):
            self.refuse("it has no table of section names")
        names = self._table(
            rows[self._names_index][4], rows[self._names_index][5], "section names"
        )
        return tuple(_section(names, raw) for raw in rows)

    def section(self, name: str) -> Section | None:
        """The first section of this name, as loaders look for it."""
        return next((one for one in self.sections if one.name == name), None)

    def section_data(self, section: Section) -> bytes:
        """Its bytes in the file."""
        if section.kind == SHT_NOBITS:
            self.refuse(f"its section `{section.name}` has no bytes in the file")
        return self._table(section.offset, section.size_bytes, f"section `{section.name}`")

    def dynamic(self) -> list[tuple[int, int]]:
        """Tags and values of the first PT_DYNAMIC, up to DT_NULL."""
        for segment in self.segments:
            if segment.kind == PT_DYNAMIC:
                data = self._table(segment.offset, segment.file_size, "dynamic section")
                return self.tags_of(data)
        return []

    def dynamic_tags(self) -> dict[int, int]:
        """The same as a mapping; of a tag that is there twice the last counts."""
        return dict(self.dynamic())

    def dynamic_string(self, offset: int) -> str:
        """A string of the dynamic section's string table; ``""`` if there is none."""
        address = self.dynamic_tags().get(DT_STRTAB)
        at = -1 if address is None else self.file_offset(address + offset)
        if at < 0:
            return ""
        size = min(_MAX_NAME_BYTES, self.file.size_bytes - at)
        return _string(self.file.read(at, size), 0)

    def file_offset(self, address: int) -> int:
        """Where the file has the byte at an address; -1 if no segment brings it."""
        for segment in self.loads:
            if segment.address <= address < segment.address + segment.file_size:
                return self.start + segment.offset + address - segment.address
        return -1

    def symbols(self, section: Section) -> SymbolTable:
        """The symbols of a table."""
        layout = self._layout.symbol
        if section.link >= len(self.sections):
            self.refuse(f"the table `{section.name}` names no string table")
        if section.size_bytes > _MAX_SYMBOL_BYTES:
            self.refuse(f"its table `{section.name}` has {section.size_bytes} bytes")
        names = self.section_data(self.sections[section.link])
        data = self.section_data(section)
        symbols: list[Symbol] = []
        for raw in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
            if self.is_64:
                name, info, _, index, value, size = raw
            else:
                name, value, size, info, _, index = raw
            symbols.append(Symbol(name, value, size, index, info >> 4, info & 0xF))
        return SymbolTable(symbols, names)

    @cached_property
    def dynamic_symbols(self) -> SymbolTable:
        """The dynamic symbols; none if there is no such table."""
        table = self.section(".dynsym")
        return SymbolTable([], b"") if table is None else self.symbols(table)

    def at_address(self, address: int) -> str:
        """Section and symbol at an address, as ``.text, ecall_add + 0x10``; ``""`` for none."""
        starts, sections = self._memory_map
        index = bisect_right(starts, address) - 1
        if index < 0 or address >= starts[index] + sections[index].size_bytes:
            return ""
        symbol = self._symbol_at(address)
        return ", ".join(one for one in (sections[index].name, symbol) if one)

    def functions(self) -> Iterator[tuple[Symbol, str]]:
        """Every function that has a size and a name, by address, from both symbol tables."""
        for symbol, table in self._symbol_map[1]:
            if symbol.kind == _STT_FUNC and symbol.size_bytes:
                yield symbol, table.name(symbol)

    def refuse(self, reason: str) -> NoReturn:
        """End the reading of this file."""
        broken(self.file.path, reason)

    @property
    def word_bytes(self) -> int:
        """Size of an address."""
        return 8 if self.is_64 else 4

    def relocated_addresses(self, start: int, size_bytes: int) -> Iterator[int]:
        """The addresses that a relocation table names, but for those of no effect.

        Entries are Rela of 64 bits or Rel of 32, as the two machines have them.
        """
        layout = self._layout.relocation
        data = self._table(start, size_bytes, "relocation table")
        for address, info in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
            if info & (0xFFFF_FFFF if self.is_64 else 0xFF):
                yield address

    @cached_property
    def _memory_map(self) -> tuple[list[int], list[Section]]:
        found = [one for one in self.sections if one.flags & SHF_ALLOC and one.size_bytes]
        found.sort(key=lambda one: one.address)
        return [one.address for one in found], found

    @cached_property
    def _symbol_map(self) -> tuple[list[int], list[tuple[Symbol, SymbolTable]]]:
        names = (".symtab", ".dynsym")
        sections = [one for one in map(self.section, names) if one is not None]
        found = [
            (one, table)
            for table in map(self.symbols, sections)
            for one in table.symbols
            if one.name_offset and one.section != SHN_UNDEF and one.kind in _STT_NAMED
        ]
        found.sort(key=lambda one: (one[0].address, one[0].size_bytes))
        return [one.address for one, _ in found], found

    def _symbol_at(self, address: int) -> str:
        starts, symbols = self._symbol_map
        index = bisect_right(starts, address) - 1
        if index < 0:
            return ""
        symbol, table = symbols[index]
        distance = address - symbol.address
        if distance and distance >= symbol.size_bytes:
            return ""
        name = table.name(symbol)
        return f"{name} + {distance:#x}" if distance else name

    def tags_of(self, data: bytes) -> list[tuple[int, int]]:
        """Tags and values of a dynamic section, up to DT_NULL."""
        layout = self._layout.dynamic
        found: list[tuple[int, int]] = []
        for tag, value in layout.iter_unpack(data[: len(data) // layout.size * layout.size]):
            if tag == DT_NULL:
                break
            found.append((tag, value))
        return found

    def _rows(
        self, start: int, layout: struct.Struct, count: int, name: str
    ) -> Iterator[tuple[int, ...]]:
        return layout.iter_unpack(self._table(start, count * layout.size, name))

    def _table(self, start: int, size_bytes: int, name: str) -> bytes:
        if not self.holds(start, size_bytes):
            self.refuse(f"its {name} lies outside the file")
        if size_bytes > _MAX_TABLE_BYTES:
            self.refuse(f"its {name} has {size_bytes} bytes")
        return self.read(start, size_bytes)


def _section(names: bytes, raw: tuple[int, ...]) -> Section:
    name, kind, flags, address, offset, size, link, _, alignment, entry_size = raw
    return Section(
        _string(names, name), kind, flags, address, offset, size, link, alignment, entry_size
    )


def _string(table: bytes, start: int) -> str:
    end = table.find(b"\0", start, start + _MAX_NAME_BYTES)
    raw = table[start : end if end >= 0 else start + _MAX_NAME_BYTES]
    return raw.decode("utf-8", "backslashreplace")
