"""ELF files for Open Enclave, with the sections and variables that its loader knows."""

import struct
from dataclasses import dataclass, field

from tests.support.enclave_files import (
    PAGE,
    ElfEnclave,
    OpenEnclave,
    Page,
    Part,
    Section,
    pages_of,
)

SIGNED = bytes(range(1, 227)) * 8
VARIABLES = (
    "_enclave_rva",
    "_reloc_rva",
    "_reloc_size",
    "_tdata_rva",
    "_tdata_size",
    "_tdata_align",
    "_tbss_size",
    "_tbss_align",
    "_td_from_tcs_offset",
)
DATA_AT, DYN_AT = 0x3000, 0x6000


@dataclass
class OpenEnclaveFile:
    """An ELF file for Open Enclave, with the variables that its loader writes.

    They lie in the data segment, one after the other; what it has no name for stays as it is.
    """

    settings: OpenEnclave
    tdata: int = 0
    tdata_alignment: int = 16
    tbss: int = 0
    relocations: list[tuple[int, int, int]] = field(default_factory=list)
    plt: list[tuple[int, int, int]] = field(default_factory=list)
    symbols: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Name, to address, size and section (0: it is defined elsewhere)."""
    info: bytes = b""
    needed: str = ""
    variables: tuple[str, ...] = VARIABLES

    def __post_init__(self) -> None:
        self.info = self.info or self.settings.properties(SIGNED)
        self.addresses = {name: DATA_AT + 8 * n for n, name in enumerate(self.variables)}
        self.info_at = DATA_AT + 0x200
        data = bytearray(b"\xaa" * 0x200) + self.info
        self.tdata_at = DATA_AT + len(data)
        data += b"\xdd" * self.tdata
        names = b"\0"
        table = bytes(24)
        self.index: dict[str, int] = {}
        every = {name: (at, 8, 1) for name, at in self.addresses.items()} | self.symbols
        for name, (address, size, section) in every.items():
            self.index[name] = len(table) // 24
            table += struct.pack("<IBBHQQ", len(names), 0x10, 0, section, address, size)
            names += name.encode() + b"\0"
        needed_at = len(names)
        names += self.needed.encode() + b"\0"
        rela = rows_of(self.relocations)
        plt = rows_of(self.plt)
        layout = {"dynsym": table, "dynstr": names, "rela": rela, "plt": plt}
        where, at = {}, DYN_AT
        for name, content in layout.items():
            where[name] = at
            at += -(-len(content) // 16) * 16
        tags = [(5, where["dynstr"]), (6, where["dynsym"])]
        tags += [(1, needed_at)] if self.needed else []
        dynamic = b"".join(struct.pack("<QQ", *one) for one in [*tags, (0, 0)])
        where["dynamic"] = at
        dyn = b"".join(
            content.ljust(-(-len(content) // 16) * 16, b"\0") for content in layout.values()
        )
        dyn += dynamic
        self.dynamic = (where["dynamic"], tags)
        self.parts = [
            Part(4, 0, b"header" * 20, 0x300),
            Part(5, 0x1000, b"\x90" * 0x1234, 0x1234),
            Part(6, DATA_AT, bytes(data), len(data) + 0x100),
            Part(4, DYN_AT, dyn, len(dyn)),
        ]
        sections = [
            Section(".oeinfo", 1, self.info, self.info_at),
            Section(".dynstr", 3, names, where["dynstr"]),
            Section(".dynsym", 11, table, where["dynsym"], link=".dynstr", entry_size=24),
            Section(".dynamic", 6, dynamic, where["dynamic"], entry_size=16),
        ]
        if rela:
            sections.append(Section(".rela.dyn", 4, rela, where["rela"], entry_size=24))
        if plt:
            sections.append(Section(".rela.plt", 4, plt, where["plt"], entry_size=24))
        headers = [(2, where["dynamic"], len(dynamic), len(dynamic), 8)]
        if self.tdata:
            align = self.tdata_alignment
            sections.append(Section(".tdata", 1, b"", self.tdata_at, size=self.tdata, alignment=1))
            headers.append((7, self.tdata_at, self.tdata, self.tdata + self.tbss, align))
        if self.tbss:
            sections.append(Section(".tbss", 8, b"", self.tdata_at, size=self.tbss, alignment=32))
        self.elf = ElfEnclave(self.parts, sections, entry=0x1010, headers=headers)
        self.size = -(-(DYN_AT + len(dyn)) // PAGE) * PAGE

    @property
    def tls_pages(self) -> int:
        data = -(-self.tdata // self.tdata_alignment) * self.tdata_alignment if self.tdata else 0
        zeros_size = -(-self.tbss // 32) * 32
        return -(-(data + zeros_size) // PAGE)

    def memory(self) -> bytearray:
        """The image as a loader first has it."""
        memory = bytearray(self.size)
        for part in self.parts:
            memory[part.address : part.address + len(part.data)] = part.data
        return memory

    def segment_pages(self, memory: bytearray, base: int = 0) -> list[Page]:
        found = []
        for part in self.parts:
            start, pages = part.memory()
            content = bytes(memory[start : start + len(pages)])
            found += pages_of(base + start, part.page_flags, content)
        return found


def rows_of(rows: list[tuple[int, int, int]]) -> bytes:
    """A relocation table."""
    return b"".join(struct.pack("<QQq", *one) for one in rows)


def ego_program(data: bytes, sigstruct: bytes = SIGNED) -> OpenEnclaveFile:
    """A program as `ego sign` leaves it; its file ends with `data`, which is for the caller."""
    settings = OpenEnclave(9, 2, 3)
    info = bytearray(settings.properties(sigstruct).ljust(0x810, b"\0"))

    def made() -> OpenEnclaveFile:
        return OpenEnclaveFile(settings, info=bytes(info), symbols={"shared": (0x1100, 8, 1)})

    # Where the data will be is part of the file, and does not change how long it is.
    struct.pack_into("<QQ", info, 0x800, 1, len(data))
    struct.pack_into("<QQ", info, 0x800, len(made().elf.to_bytes()), len(data))
    return made()


def ego_enclave() -> OpenEnclaveFile:
    """The enclave that such a program runs in."""
    symbols = {"_module_info": (DATA_AT + 0x100, 144, 1)}
    return OpenEnclaveFile(OpenEnclave(1, 1, 1), symbols=symbols)
