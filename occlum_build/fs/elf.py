"""What a dynamic loader needs to know of an ELF file, read without running it.

System V ABI, "ELF header", "Program Header", "Dynamic Section"; AMD64 supplement.
Only what the loader itself looks at is read: section headers, which `strip` may
remove, never. `struct` is enough for that, and unlike a parser for all of ELF it
imports in no time and bounds every read.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from occlum_build.fs.content import Content
from occlum_build.fs.problem import Code, refusal

MAGIC: Final = b"\x7fELF"
MACHINE_X86_64: Final = 62

# e_ident, e_type, e_machine, e_version, e_entry, e_phoff, e_shoff, e_flags, e_ehsize,
# e_phentsize, e_phnum; section headers follow
_HEADER: Final = struct.Struct("<16sHHIQQQIHHH6x")
# p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_DYNAMIC: Final = struct.Struct("<QQ")

_CLASS_64: Final = 2
_LITTLE_ENDIAN: Final = 1
_PN_XNUM: Final = 0xFFFF
_MAX_DYNAMIC_BYTES: Final = 1 << 20
_MAX_STRING_BYTES: Final = 4096

_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_PT_INTERP: Final = 3

_DT_NULL: Final = 0
_DT_NEEDED: Final = 1
_DT_STRTAB: Final = 5
_DT_STRSZ: Final = 10
_DT_SONAME: Final = 14
_DT_RPATH: Final = 15
_DT_RUNPATH: Final = 29
_DT_FLAGS_1: Final = 0x6FFF_FFFB
_DF_1_NODEFLIB: Final = 0x800


class ElfType(IntEnum):
    """The kinds of ELF file that a kernel or a loader can map."""

    EXECUTABLE = 2
    SHARED = 3


@dataclass(frozen=True, slots=True)
class Elf:
    """A 64-bit x86-64 executable or shared object, as a loader sees it.

    `rpath` and `runpath` are as written, `$ORIGIN` not expanded. A static program
    needs nothing and has no interpreter.
    """

    type: ElfType
    interpreter: bytes | None = None
    soname: bytes | None = None
    needed: tuple[bytes, ...] = ()
    rpath: bytes | None = None
    runpath: bytes | None = None
    ignores_default_directories: bool = False


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    address: int
    file_bytes: int


def read_elf(content: Content, name: str, origin: str) -> Elf | None:
    """The facts of an ELF file; None for any other file.

    Files that no x86-64 Linux loads (objects, cores, other machines, 32 bits) are
    data to us, and None too. A file that claims to be loadable and is malformed
    is refused; `name` and `origin` are for the message.
    """
    head = content.read(0, min(content.size, _HEADER.size))
    if not head.startswith(MAGIC):
        return None
    try:
        return _read(content, head)
    except ValueError as failure:
        raise refusal(
            Code.BAD_ELF,
            f"`{name}` is a broken ELF file: {failure}",
            notes=[f"it comes from {origin}"],
            helps=["build or fetch it again; it may be cut short"],
        ) from failure


def _read(content: Content, head: bytes) -> Elf | None:
    if len(head) < _HEADER.size:
        raise ValueError("it is shorter than an ELF header")
    ident, kind, machine, _, _, table, _, _, _, entry_bytes, count = _HEADER.unpack(head)
    if ident[4] != _CLASS_64 or ident[5] != _LITTLE_ENDIAN or machine != MACHINE_X86_64:
        return None
    if kind not in tuple(ElfType):
        return None
    if entry_bytes != _SEGMENT.size or not 0 < count < _PN_XNUM:
        raise ValueError("it has no usable program headers")
    raw = _slice(content, table, count * _SEGMENT.size, "the program headers lie")
    segments = [
        _Segment(type_, offset, address, file_bytes)
        for type_, _, offset, address, _, file_bytes, _, _ in _SEGMENT.iter_unpack(raw)
    ]
    interpreter = None
    for segment in segments:
        if segment.type == _PT_INTERP and segment.file_bytes:
            interpreter = _interpreter(content, segment)
    dynamic = next((one for one in segments if one.type == _PT_DYNAMIC and one.file_bytes), None)
    if dynamic is None:
        return Elf(ElfType(kind), interpreter)
    return _with_dynamic(content, segments, dynamic, Elf(ElfType(kind), interpreter))


def _interpreter(content: Content, segment: _Segment) -> bytes:
    if segment.file_bytes > _MAX_STRING_BYTES:
        raise ValueError("the name of its interpreter is too long")
    raw = _slice(content, segment.offset, segment.file_bytes, "the interpreter's name lies")
    name, nul, _ = raw.partition(b"\0")
    if not nul or not name.startswith(b"/"):
        raise ValueError("the name of its interpreter is not an absolute path")
    return name


def _with_dynamic(
    content: Content,
    segments: list[_Segment],
    dynamic: _Segment,
    elf: Elf,
) -> Elf:
    if dynamic.file_bytes > _MAX_DYNAMIC_BYTES:
        raise ValueError("its dynamic section is too large")
    size = dynamic.file_bytes - dynamic.file_bytes % _DYNAMIC.size
    raw = _slice(content, dynamic.offset, size, "the dynamic section lies")
    single: dict[int, int] = {}
    needed: list[int] = []
    for tag, value in _DYNAMIC.iter_unpack(raw):
        if tag == _DT_NULL:
            break
        if tag == _DT_NEEDED:
            needed.append(value)
        single[tag] = value
    strings = _Strings(content, segments, single)
    return Elf(
        elf.type,
        elf.interpreter,
        strings.at(single.get(_DT_SONAME)),
        tuple(strings.required(offset) for offset in needed),
        strings.at(single.get(_DT_RPATH)),
        strings.at(single.get(_DT_RUNPATH)),
        bool(single.get(_DT_FLAGS_1, 0) & _DF_1_NODEFLIB),
    )


class _Strings:
    """The dynamic string table, found by its address as a loader finds it."""

    def __init__(
        self, content: Content, segments: list[_Segment], dynamic: dict[int, int]
    ) -> None:
        self._content = content
        self._size = dynamic.get(_DT_STRSZ, 0)
        self._start = 0
        address = dynamic.get(_DT_STRTAB)
        if address is None:
            self._size = 0
            return
        for segment in segments:
            inside = address - segment.address
            if segment.type == _PT_LOAD and 0 <= inside < segment.file_bytes:
                self._start = segment.offset + inside
                return
        if self._size:
            raise ValueError("its dynamic strings lie in no segment")

    def at(self, offset: int | None) -> bytes | None:
        return None if offset is None else self.required(offset)

    def required(self, offset: int) -> bytes:
        """The string at `offset`, which must end inside the table."""
        length = min(self._size - offset, _MAX_STRING_BYTES)
        length = max(0, min(length, self._content.size - self._start - offset))
        text, nul, _ = self._content.read(self._start + offset, length).partition(b"\0")
        if not nul:
            raise ValueError("a dynamic string does not end inside its table")
        return text


def _slice(content: Content, offset: int, length: int, what: str) -> bytes:
    if offset + length > content.size:
        raise ValueError(f"{what} behind the end of the file")
    return content.read(offset, length)
