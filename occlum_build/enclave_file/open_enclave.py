"""Enclaves that Open Enclave's `oesign` signed, and EGo programs: an ELF file with `.oeinfo`.

The section holds sizes, settings and the SIGSTRUCT, and lies in a segment: the loader
clears the signature and writes what it knows into the section and into some
variables, then adds the segments, the relocations, the heap and the threads. (Open
Enclave: `create.c`, `loadelf.c` and `elf.c` of the host library; the additions of
Edgeless RT: a program as a module beside the enclave, with data of its own, and a
heap that may be executed.)
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NoReturn

from occlum_build.enclave_file.companions import beside
from occlum_build.enclave_file.content import FileBytes, Piece, Pieces, Place, refuse
from occlum_build.enclave_file.elf_file import (
    DT_NEEDED,
    DT_PLTGOT,
    DT_RELA,
    DT_STRTAB,
    DT_SYMTAB,
    PT_TLS,
    SHN_UNDEF,
    STB_WEAK,
    ElfFile,
    Section,
    SymbolTable,
)
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage, Hole
from occlum_build.enclave_file.limits import MAX_RUNS, check_runs, check_size
from occlum_build.enclave_file.segments import overlaid, segment_run
from occlum_build.sgx.page import PAGE_BYTES, align_up, next_power_of_two
from occlum_build.sgx.secinfo import READ_ONLY, READ_WRITE, READ_WRITE_EXECUTE, TCS
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES
from occlum_build.sgx.stream import PageRun
from occlum_build.sgx.tcs import Tcs

INFO_SECTION: Final = ".oeinfo"
_MAX_THREADS: Final = 1 << 12
_MAX_ADDRESS: Final = 1 << 47

# oe_sgx_enclave_properties_t: header of 32 bytes, settings that grew over time, addresses
# that the loader fills in, SIGSTRUCT, and an end marker.
_HEADER: Final = struct.Struct("<IIQQQ")
_TYPE_SGX: Final = 2
_SETTINGS_BYTES: Final = (16, 48, 56, 64)
_IMAGE_INFO: Final = struct.Struct("<6Q")
_END_BYTES: Final = 8
_FIXED_BYTES: Final = _HEADER.size + _IMAGE_INFO.size + SIGSTRUCT_BYTES + _END_BYTES
_FLAGS_AT: Final = _HEADER.size + 4
_START_ADDRESS_AT: Final = _HEADER.size + 56
_ZERO_BASE, _EXECUTABLE_HEAP = 2, 4
# Edgeless RT: what `ego sign` appends to a program, after the properties
_PAYLOAD_DATA_AT: Final = 0x800
_PAYLOAD_DATA: Final = struct.Struct("<QQ")
_EGO_ENCLAVE: Final = "ego-enclave"

_SSA_FRAME_PAGES: Final = 1
_SSA_FRAMES: Final = 2
_CONTROL_PAGES: Final = 4
_STACK_FILL: Final = b"\xcc" * PAGE_BYTES
_NO_LIMIT: Final = 0xFFFF_FFFF

_RELA: Final = struct.Struct("<QQq")
_WORD: Final = struct.Struct("<Q")
_MASK_64: Final = (1 << 64) - 1
_R_64, _R_GLOB_DAT, _R_JUMP_SLOT, _R_RELATIVE, _R_TPOFF64 = 1, 6, 7, 8, 18
_SYMBOLIC: Final = frozenset({_R_64, _R_GLOB_DAT, _R_JUMP_SLOT})
_DT_GNU_HASH, _DT_VERSYM = 0x6FFF_FEF5, 0x6FFF_FFF0
_RELOCATED_TAGS: Final = frozenset(
    {DT_PLTGOT, DT_STRTAB, DT_SYMTAB, DT_RELA, _DT_GNU_HASH, _DT_VERSYM}
)
_MODULE_INFO_FIELDS: Final = {40: 5, 144: 9}
"""Size of the variable `_module_info`, and how many words of it a module has."""

_WRITTEN: Final = "written by loader"


@dataclass(frozen=True, slots=True)
class _Properties:
    """The properties of an enclave, and where the file has them."""

    data: bytes
    address: int
    offset: int
    heap_pages: int
    stack_pages: int
    threads: int

    @property
    def sigstruct_at(self) -> int:
        """Where in the properties the SIGSTRUCT begins."""
        return len(self.data) - _END_BYTES - SIGSTRUCT_BYTES

    @property
    def flags(self) -> int:
        """Settings of one bit each."""
        return int.from_bytes(self.data[_FLAGS_AT : _FLAGS_AT + 4], "little")

    @property
    def start_address(self) -> int:
        """Where the image lies in an address range that begins at 0; 0 if it does not."""
        if not self.flags & _ZERO_BASE or self.sigstruct_at < _START_ADDRESS_AT + 8:
            return 0
        (address,) = _WORD.unpack_from(self.data, _START_ADDRESS_AT)
        return int(address)

    @property
    def sigstruct(self) -> bytes:
        """The 1808 bytes."""
        return self.data[self.sigstruct_at : self.sigstruct_at + SIGSTRUCT_BYTES]


@dataclass(frozen=True)
class _Module:
    """One ELF file of the enclave, and the address at which its image lies."""

    elf: ElfFile
    address: int
    name: str

    @cached_property
    def size_bytes(self) -> int:
        """Length of the image in whole pages."""
        loads = self.elf.loads
        if not loads or min(one.address for one in loads) != 0:
            self.elf.refuse("its segments do not begin at address 0")
        end = max(one.end for one in loads)
        if end > _MAX_ADDRESS:
            self.elf.refuse(f"its segments end at {end:#x}")
        return align_up(end, PAGE_BYTES)

    @cached_property
    def symbols(self) -> SymbolTable:
        """Its dynamic symbols."""
        return self.elf.dynamic_symbols

    def relocations(self) -> list[tuple[int, int, int]]:
        """Address, kind and addend of each, thread-local ones resolved."""
        tables = [self.elf.section(name) for name in (".rela.dyn", ".rela.plt")]
        if tables[0] is None or not tables[0].size_bytes:
            return []
        data = b"".join(self.elf.section_data(one) for one in tables if one is not None)
        symbols = self.symbols.symbols
        found: list[tuple[int, int, int]] = []
        for address, info, addend in _RELA.iter_unpack(data[: len(data) // 24 * 24]):
            if info & 0xFFFF_FFFF == _R_TPOFF64:
                if info >> 32 >= len(symbols):
                    self.elf.refuse(f"a relocation at {address:#x} names no symbol")
                addend = _signed(symbols[info >> 32].address)  # noqa: PLW2901  # as the loader
            found.append((address, info, addend))
        return found

    def section(self, name: str) -> Section | None:
        """A section of this name."""
        return self.elf.section(name)


def is_open_enclave(elf: ElfFile) -> bool:
    """Whether the file has the section that only these enclaves have."""
    return elf.section(INFO_SECTION) is not None


def read_open_enclave(elf: ElfFile, ego_enclave: str | None) -> EnclaveImage:
    """The enclave, or that of an EGo program together with the enclave it was signed for.

    That enclave is `ego_enclave`, or a file `ego-enclave` beside the program.
    """
    if not elf.is_64:
        elf.refuse("it is an ELF file of 32 bits")
    properties = _properties(elf)
    data = _payload_data(elf, properties)
    if data is None:
        modules = [_Module(elf, 0, "")]
    else:
        main = ElfFile(FileBytes(_ego_enclave(elf.file.path, ego_enclave)))
        if not is_open_enclave(main):
            main.refuse(f"it has no section `{INFO_SECTION}`: it is no enclave for EGo programs")
        modules = [_Module(main, 0, "enclave ")]
        modules.append(_Module(elf, modules[0].size_bytes, "program "))
    needed = _needed(modules[0].elf)
    if needed is not None:
        end = modules[-1].address + modules[-1].size_bytes
        modules.append(_Module(ElfFile(FileBytes(needed)), end, "module "))
    pages = _Pages(modules, properties, data)
    check_size(pages.range_bytes, _SSA_FRAME_PAGES, elf.file.path)
    check_runs(pages.runs(), pages.range_bytes, elf.file.path)
    return EnclaveImage(
        EnclaveFormat.OPEN_ENCLAVE,
        elf.file.path,
        pages.range_bytes,
        _SSA_FRAME_PAGES,
        pages.runs,
        tuple(pages.holes()),
        properties.sigstruct if any(properties.sigstruct) else None,
        Place(elf.file.path, properties.offset + properties.sigstruct_at),
        _facts(properties, data),
        files=tuple(dict.fromkeys([elf.file.path, *(one.elf.file.path for one in modules)])),
        name_at=pages.name_at,
    )


class _Pages:
    """The pages that the loader adds, in its order."""

    def __init__(
        self, modules: Sequence[_Module], properties: _Properties, data: Piece | None
    ) -> None:
        self._modules = modules
        self._main = modules[0]
        self._properties = properties
        self._data = data
        self._relocations = _relocation_bytes(modules)
        self._relocation_start = modules[-1].address + modules[-1].size_bytes
        self._data_start = self._relocation_start + align_up(len(self._relocations), PAGE_BYTES)
        data_bytes = 0 if data is None else align_up(data.size_bytes, PAGE_BYTES)
        self._heap_start = self._data_start + data_bytes
        self._threads_start = self._heap_start + properties.heap_pages * PAGE_BYTES
        self._tls_pages = _tls_pages(self._main.elf)
        # guard, stack, guard, TCS, SSA, guard, TLS, thread data
        self._thread_pages = 1 + properties.stack_pages + 1 + _CONTROL_PAGES + self._tls_pages + 1
        loaded = self._threads_start + properties.threads * self._thread_pages * PAGE_BYTES
        self.size_bytes = next_power_of_two(loaded)
        self._delta = properties.start_address
        self.range_bytes = (
            next_power_of_two(loaded + self._delta) if self._delta else self.size_bytes
        )

    def runs(self) -> Iterator[PageRun]:
        """All pages."""
        for run in self._image_runs():
            yield replace(run, offset=run.offset + self._delta)

    def holes(self) -> Iterator[Hole]:
        """The guard pages of each thread."""
        for thread in range(self._properties.threads):
            stack, control = self._thread_places(thread)
            for offset in (
                stack - PAGE_BYTES,
                control - PAGE_BYTES,
                control + (_CONTROL_PAGES - 1) * PAGE_BYTES,
            ):
                yield Hole(f"thread {thread} guard", offset + self._delta, 1)

    def name_at(self, offset: int) -> str:
        """Section and symbol at an offset."""
        for module in self._modules:
            address = offset - self._delta - module.address
            if 0 <= address < module.size_bytes:
                return module.elf.at_address(address)
        return ""

    def _image_runs(self) -> Iterator[PageRun]:
        for index, module in enumerate(self._modules):
            written = self._written() if index == 0 else self._cleared(module)
            last_end = 0
            for number, segment in enumerate(module.elf.loads):
                run = segment_run(module.elf, segment, f"{module.name}segment {number}")
                if run.offset < last_end:
                    module.elf.refuse(f"segment {number} overlaps the one before it")
                last_end = run.end
                yield replace(overlaid(run, written), offset=run.offset + module.address)
        if self._relocations:
            yield self._relocation_run()
        if self._data is not None:
            count = align_up(self._data.size_bytes, PAGE_BYTES) // PAGE_BYTES
            yield PageRun(
                "program data",
                self._data_start,
                count,
                READ_ONLY,
                measured=True,
                data=Pieces((self._data,)),
            )
        is_executable = bool(self._properties.flags & _EXECUTABLE_HEAP)
        secinfo = READ_WRITE_EXECUTE if is_executable else READ_WRITE
        yield PageRun(
            "heap", self._heap_start, self._properties.heap_pages, secinfo, measured=False
        )
        for thread in range(self._properties.threads):
            yield from self._thread_runs(thread)

    def _relocation_run(self) -> PageRun:
        table = self._main.section(".rela.dyn")
        offset = -1 if table is None else self._main.elf.start + table.offset
        piece = Piece(
            0,
            len(self._relocations),
            self._main.elf.file,
            offset,
            self._relocations,
            "resolved by loader",
        )
        pages = align_up(len(self._relocations), PAGE_BYTES) // PAGE_BYTES
        return PageRun(
            "relocations",
            self._relocation_start,
            pages,
            READ_ONLY,
            measured=True,
            data=Pieces((piece,)),
        )

    def _thread_places(self, thread: int) -> tuple[int, int]:
        """Where a thread's stack and its TCS are."""
        start = self._threads_start + thread * self._thread_pages * PAGE_BYTES
        stack = start + PAGE_BYTES
        return stack, stack + (self._properties.stack_pages + 1) * PAGE_BYTES

    def _thread_runs(self, thread: int) -> Iterator[PageRun]:
        name = f"thread {thread}"
        stack, control = self._thread_places(thread)
        stack_pages = self._properties.stack_pages
        yield PageRun(
            f"{name} stack", stack, stack_pages, READ_WRITE, measured=True, fill=_STACK_FILL
        )
        tls = control + _CONTROL_PAGES * PAGE_BYTES
        thread_data = tls + self._tls_pages * PAGE_BYTES
        tcs = Tcs(
            ssa_offset=self._delta + control + PAGE_BYTES,
            ssa_frames=_SSA_FRAMES,
            entry_offset=self._delta + self._main.elf.entry & _MASK_64,
            fs_base_offset=self._delta + thread_data,
            gs_base_offset=self._delta + thread_data,
            fs_limit=_NO_LIMIT,
            gs_limit=_NO_LIMIT,
        )
        yield PageRun(f"{name} TCS", control, 1, TCS, measured=True, data=tcs.pack())
        ssa = control + PAGE_BYTES
        yield PageRun(f"{name} SSA", ssa, _SSA_FRAMES, READ_WRITE, measured=True)
        if self._tls_pages:
            yield PageRun(f"{name} TLS", tls, self._tls_pages, READ_WRITE, measured=True)
        yield PageRun(f"{name} thread data", thread_data, 1, READ_WRITE, measured=True)

    def _written(self) -> list[Piece]:
        """What the loader writes into the image of the enclave; `start` is an address."""
        pieces = [self._written_properties()]
        words = {
            "_reloc_rva": self._relocation_start,
            "_reloc_size": self._data_start - self._relocation_start,
            "_td_from_tcs_offset": (self._tls_pages + _CONTROL_PAGES) * PAGE_BYTES,
            **_tls_words(self._main.elf),
        }
        symbols = self._main.symbols
        own = symbols.find("_enclave_rva")
        if own is not None:
            words["_enclave_rva"] = own.address
        for name, value in words.items():
            symbol = symbols.find(name)
            if symbol is not None:
                pieces.append(self._piece(symbol.address, _WORD.pack(value), name))
        return pieces + self._module_pieces()

    def _written_properties(self) -> Piece:
        """The properties with the addresses, and without the signature."""
        properties = self._properties
        content = bytearray(properties.data)
        section = self._main.section(INFO_SECTION)
        address = properties.address if section is None else section.address
        _IMAGE_INFO.pack_into(
            content,
            properties.sigstruct_at - _IMAGE_INFO.size,
            address,
            len(properties.data),
            self._relocation_start,
            self._data_start - self._relocation_start,
            self._heap_start,
            self.size_bytes,
        )
        at = properties.sigstruct_at
        content[at : at + SIGSTRUCT_BYTES] = bytes(SIGSTRUCT_BYTES)
        return self._piece(address, bytes(content), INFO_SECTION)

    def _module_pieces(self) -> list[Piece]:
        """What the enclave is told about its modules."""
        if len(self._modules) == 1:
            return []
        symbol = self._main.symbols.find("_module_info")
        if symbol is None:
            return self._main.elf.refuse("it needs a module, but has no variable `_module_info`")
        count = _MODULE_INFO_FIELDS.get(symbol.size_bytes)
        if count is None:
            size = symbol.size_bytes
            return self._main.elf.refuse(f"its variable `_module_info` has {size} bytes")
        pieces: list[Piece] = []
        for module in self._modules[1:]:
            # A program is always the first; a module without one is the first, too.
            index = 0 if module is self._modules[1] else 1
            words = self._module_words(module)[:count]
            address = symbol.address + index * count * _WORD.size
            pieces += [
                self._piece(address + at * _WORD.size, _WORD.pack(value), symbol_name)
                for at, (symbol_name, value) in enumerate(words)
                if value is not None
            ]
        return pieces

    def _module_words(self, module: _Module) -> list[tuple[str, int | None]]:
        """The fields of `oe_enclave_module_info_t`; None where the loader writes nothing."""
        words: list[tuple[str, int | None]] = [("_module_info", module.address)]
        for name in (".init_array", ".fini_array"):
            section = module.section(name)
            start = None if section is None else module.address + section.address
            size = None if section is None else section.size_bytes
            words += [("_module_info", start), ("_module_info", size)]
        is_program = self._data is not None and module is self._modules[1]
        data_bytes = self._data.size_bytes if is_program and self._data is not None else 0
        words.append(("_module_info", data_bytes))
        tdata = module.section(".tdata")
        if tdata is not None and tdata.size_bytes:
            words += [
                ("_module_info", tdata.address),
                ("_module_info", tdata.size_bytes),
                ("_module_info", sum(_tls_sizes(module.elf))),
            ]
        return words

    def _cleared(self, module: _Module) -> list[Piece]:
        """A program's own properties, without the signature."""
        if self._data is None or module is not self._modules[1]:
            return []
        at = self._properties.sigstruct_at
        piece = Piece(
            self._properties.address + at,
            SIGSTRUCT_BYTES,
            module.elf.file,
            self._properties.offset + at,
            bytes(SIGSTRUCT_BYTES),
            "cleared by loader",
        )
        return [piece]

    def _piece(self, address: int, content: bytes, name: str) -> Piece:
        """Bytes at an address of the enclave's image."""
        elf = self._main.elf
        return Piece(
            address,
            len(content),
            elf.file,
            elf.file_offset(address),
            content,
            f"{name}, {_WRITTEN}",
        )


def _properties(elf: ElfFile) -> _Properties:
    section = elf.section(INFO_SECTION)
    if section is None:
        raise ValueError(INFO_SECTION)
    if section.size_bytes < _HEADER.size or not elf.holds(section.offset, section.size_bytes):
        elf.refuse(f"its section `{INFO_SECTION}` lies outside the file")
    head = elf.read(section.offset, _HEADER.size)
    size, kind, heap_pages, stack_pages, threads = _HEADER.unpack(head)
    if kind != _TYPE_SGX:
        refuse(
            "OB0541",
            "this is no enclave that can be measured: it is an Open Enclave image, but not for"
            " SGX",
            elf.file.path,
            notes=(f"its properties are of type {kind}",),
        )
    if size - _FIXED_BYTES not in _SETTINGS_BYTES or size > section.size_bytes:
        refuse(
            "OB0541",
            f"this enclave cannot be measured: its properties have {size} bytes",
            elf.file.path,
            notes=("known are properties of 1912, 1944, 1952 and 1960 bytes",),
        )
    if threads > _MAX_THREADS:
        elf.refuse(f"it has {threads} threads, more than {_MAX_THREADS}")
    data = elf.read(section.offset, size)
    return _Properties(
        data, section.address, elf.start + section.offset, heap_pages, stack_pages, threads
    )


def _payload_data(elf: ElfFile, properties: _Properties) -> Piece | None:
    """What `ego sign` appended; None for an enclave that is no program of another one."""
    section = elf.section(INFO_SECTION)
    if section is None or section.size_bytes < _PAYLOAD_DATA_AT + _PAYLOAD_DATA.size:
        return None
    at = properties.offset + _PAYLOAD_DATA_AT
    start, size = _PAYLOAD_DATA.unpack(elf.file.read(at, _PAYLOAD_DATA.size))
    if not start:
        return None
    if not elf.holds(start, size):
        elf.refuse("the data of the program lies outside the file")
    return Piece(0, size, elf.file, elf.start + start)


def _ego_enclave(program: str, given: str | None) -> str:
    if given is not None:
        return given
    found = beside(program, _EGO_ENCLAVE)
    if os.path.isfile(found):
        return found
    return refuse(
        "OB0545",
        "this is an EGo program: it is measured together with the enclave it was signed for",
        program,
        notes=(f"no file `{_EGO_ENCLAVE}` is beside it",),
        helps=("give it with `--ego-enclave FILE`; EGo installs it in `/opt/ego/share/`",),
    )


def _needed(elf: ElfFile) -> str | None:
    """The module that the enclave is linked against: a file beside it."""
    tags = elf.dynamic()
    names = [value for tag, value in tags if tag == DT_NEEDED]
    if not names:
        return None
    if len(names) > 1:
        elf.refuse("it needs more than one module")
    raw = elf.dynamic_string(names[0])
    path = beside(elf.file.path, os.path.basename(raw))
    if not raw or not os.path.isfile(path):
        refuse(
            "OB0545",
            f"this enclave is measured together with its module `{os.path.basename(raw)}`",
            elf.file.path,
            helps=("put the module beside the enclave, as its loader wants it",),
        )
    return path


def _tls_sizes(elf: ElfFile) -> tuple[int, int]:
    """Sizes of `.tdata` and `.tbss` as the loader rounds them."""
    data, zeros = elf.section(".tdata"), elf.section(".tbss")
    data_size = 0 if data is None else align_up(data.size_bytes, _tdata_alignment(elf) or 1)
    zero_size = 0 if zeros is None else align_up(zeros.size_bytes, zeros.alignment or 1)
    return data_size, zero_size


def _tls_pages(elf: ElfFile) -> int:
    pages = align_up(sum(_tls_sizes(elf)), PAGE_BYTES) // PAGE_BYTES
    if pages > MAX_RUNS:
        elf.refuse(f"its thread-local variables have {pages} pages")
    return pages


def _tdata_alignment(elf: ElfFile) -> int:
    """The program header's word, if it is about the same data: linkers may disagree."""
    section = elf.section(".tdata")
    alignment = 0 if section is None else section.alignment
    for segment in elf.segments:
        if segment.kind == PT_TLS and segment.address == (section.address if section else 0):
            alignment = segment.alignment
    return alignment


def _tls_words(elf: ElfFile) -> dict[str, int]:
    words: dict[str, int] = {}
    data, zeros = elf.section(".tdata"), elf.section(".tbss")
    if data is not None and data.size_bytes:
        words["_tdata_rva"] = data.address
        words["_tdata_size"] = data.size_bytes
        words["_tdata_align"] = _tdata_alignment(elf)
    if zeros is not None and zeros.size_bytes:
        words["_tbss_size"] = zeros.size_bytes
        words["_tbss_align"] = zeros.alignment
    return words


def _relocation_bytes(modules: Sequence[_Module]) -> bytes:
    """The relocations of all modules as the enclave gets them."""
    rows: list[tuple[int, int, int]] = []
    for module in modules:
        own = module.relocations()
        if len(modules) > 1:
            others = modules[1:] if module is modules[0] else modules[:1]
            own = [_linked(one, module, others) for one in own]
        rows += own
        if module is not modules[0]:
            rows += _dynamic_relocations(module)
    return b"".join(_RELA.pack(*row) for row in rows)


def _linked(
    row: tuple[int, int, int], module: _Module, others: Sequence[_Module]
) -> tuple[int, int, int]:
    """A relocation with its symbol found, here or in another module."""
    address, info, addend = row
    address = address + module.address & _MASK_64
    kind = info & 0xFFFF_FFFF
    if kind == _R_RELATIVE:
        return address, info, _signed(addend + module.address)
    if kind not in _SYMBOLIC:
        return address, info, addend
    index = info >> 32
    symbols = module.symbols
    if index >= len(symbols.symbols):
        module.elf.refuse(f"a relocation at {address:#x} names no symbol")
    symbol = symbols.symbols[index]
    name = symbols.name(symbol)
    constant = addend if kind == _R_64 else 0
    for one in (module, *others):
        found = one.symbols.by_name.get(name)
        if found is not None and found.section != SHN_UNDEF:
            value = one.address + found.address + constant
            return address, index << 32 | _R_RELATIVE, _signed(value)
    if symbol.binding != STB_WEAK:
        _unresolved(module, name)
    return address, index << 32 | _R_RELATIVE, addend


def _dynamic_relocations(module: _Module) -> Iterator[tuple[int, int, int]]:
    """What the loader adds so that a module's dynamic section holds addresses, not offsets."""
    section = module.section(".dynamic")
    if section is None:
        module.elf.refuse("it has no section `.dynamic`")
    for index, (tag, value) in enumerate(module.elf.tags_of(module.elf.section_data(section))):
        if tag in _RELOCATED_TAGS:
            address = module.address + section.address + index * 16 + 8
            yield address & _MASK_64, _R_RELATIVE, _signed(value + module.address)


def _unresolved(module: _Module, name: str) -> NoReturn:
    module.elf.refuse(f"its symbol `{name}` is in no module")


def _facts(properties: _Properties, data: Piece | None) -> dict[str, object]:
    facts: dict[str, object] = {
        "properties_size": len(properties.data),
        "heap_pages": properties.heap_pages,
        "stack_pages": properties.stack_pages,
        "threads": properties.threads,
        "flags": properties.flags,
        "image_offset": properties.start_address,
    }
    if data is not None:
        facts["program_data_size"] = data.size_bytes
    return facts


def _signed(value: int) -> int:
    value &= _MASK_64
    return value - (1 << 64) if value >> 63 else value
