"""Small ELF files, right and wrong, byte by byte: no compiler decides what is in them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

R, W, X = 4, 2, 1
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_TLS, PT_GNU_RELRO = 1, 2, 3, 7, 0x6474E552
RELATIVE = 8


@dataclass(frozen=True)
class Part:
    """A PT_LOAD."""

    flags: int
    address: int
    data: bytes
    memory_bytes: int = 0
    alignment: int = 4096


@dataclass(frozen=True)
class ElfFile:
    """A static PIE. Its dynamic section and its relocations lie in a first, read-only part."""

    parts: Sequence[Part]
    entry: int
    relocations: Sequence[tuple[int, int, int]] = ()
    tags: Sequence[tuple[int, int]] = ()
    headers: Sequence[tuple[int, int, int]] = ()
    relro: tuple[int, int] | None = None
    elf_type: int = 3
    machine: int = 62
    skew: int = 0
    extra: dict[str, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        rela = b"".join(struct.pack("<QQq", *one) for one in self.relocations)
        tables_at = 0x400
        tags = [*self.tags, (7, tables_at), (8, len(rela)), (9, 24), (0, 0)]
        tags = tags if rela else [*self.tags, (0, 0)]
        dynamic = b"".join(struct.pack("<qQ", *one) for one in tags)
        tables = rela + dynamic
        file = bytearray(tables_at) + tables
        first = Part(R, 0, bytes(tables_at) + tables)
        programs = [self._load(first, 0)]
        for part in self.parts:
            offset = -(-len(file) // 4096) * 4096 + part.address % 4096 + self.skew
            file = file.ljust(offset, b"\0") + part.data
            programs.append(self._load(part, offset))
        programs.append(
            struct.pack(
                "<IIQQQQQQ",
                PT_DYNAMIC,
                R,
                tables_at + len(rela),
                tables_at + len(rela),
                0,
                len(dynamic),
                len(dynamic),
                8,
            )
        )
        if self.relro:
            start, size = self.relro
            programs.append(struct.pack("<IIQQQQQQ", PT_GNU_RELRO, R, 0, start, 0, size, size, 1))
        programs += [
            struct.pack("<IIQQQQQQ", kind, R, 0, address, 0, size, size, 1)
            for kind, address, size in self.headers
        ]
        header = struct.pack(
            "<4sBBBB8xHHIQQQIHHHHHH",
            b"\x7fELF",
            self.extra.get("class", 2),
            1,
            1,
            0,
            self.elf_type,
            self.machine,
            1,
            self.entry,
            64,
            0,
            0,
            64,
            56,
            self.extra.get("phnum", len(programs)),
            0,
            0,
            0,
        )
        table = header + b"".join(programs)
        file[: len(table)] = table
        return bytes(file)

    @staticmethod
    def _load(part: Part, offset: int) -> bytes:
        memory = max(part.memory_bytes, len(part.data))
        return struct.pack(
            "<IIQQQQQQ",
            PT_LOAD,
            part.flags,
            offset,
            part.address,
            0,
            len(part.data),
            memory,
            part.alignment,
        )


def small_libos() -> ElfFile:
    """Text, a linked-once page, data and bss, with a relocation in two of them."""
    return ElfFile(
        parts=(
            Part(R | X, 0x1010, b"\x90" * 100),
            Part(R | W, 0x2000, b"relro".ljust(0x1000, b"\1") + b"data", memory_bytes=0x3000),
        ),
        entry=0x1020,
        relocations=((0x2008, RELATIVE, 0x1010), (0x2FF8, RELATIVE, -16)),
        relro=(0x2000, 0x1000),
    )
