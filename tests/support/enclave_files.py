"""Signed enclaves of other makers, byte by byte, each with the pages that its loader adds.

The pages are not found by reading the file: they are what the file was made from.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

R, W, X, TCS_PAGE = 0x201, 0x203, 0x205, 0x100
RWX = 0x207
PAGE = 4096
SIGSTRUCT_BYTES = 1808


@dataclass(frozen=True)
class Page:
    """One page as EADD takes it; `content` is None if it is not measured."""

    offset: int
    flags: int
    content: bytes | None = None


def measured(size: int, ssa_frame_pages: int, pages: Iterable[Page]) -> str:
    """MRENCLAVE, one record after the other, as the manual tells it."""
    digest = hashlib.sha256()
    digest.update(b"ECREATE\0" + ssa_frame_pages.to_bytes(4, "little"))
    digest.update(size.to_bytes(8, "little") + bytes(44))
    for page in pages:
        digest.update(b"EADD\0\0\0\0" + page.offset.to_bytes(8, "little"))
        digest.update(page.flags.to_bytes(48, "little"))
        for at in range(0, PAGE if page.content is not None else 0, 256):
            digest.update(b"EEXTEND\0" + (page.offset + at).to_bytes(8, "little") + bytes(48))
            digest.update((page.content or b"")[at : at + 256])
    return digest.hexdigest()


def pages_of(offset: int, flags: int, content: bytes) -> list[Page]:
    """Measured pages with this content, which is whole pages."""
    return [
        Page(offset + at, flags, content[at : at + PAGE]) for at in range(0, len(content), PAGE)
    ]


def zeros(offset: int, flags: int, count: int) -> list[Page]:
    """Measured pages of zeros."""
    return pages_of(offset, flags, bytes(count * PAGE))


def bare(offset: int, flags: int, count: int) -> list[Page]:
    """Pages that are not measured."""
    return [Page(offset + number * PAGE, flags) for number in range(count)]


@dataclass(frozen=True)
class Part:
    """A segment: `flags` are those of ELF (4 read, 2 write, 1 execute)."""

    flags: int
    address: int
    data: bytes
    memory_bytes: int

    @property
    def page_flags(self) -> int:
        """SECINFO.FLAGS of its pages."""
        read, write, execute = self.flags >> 2 & 1, self.flags >> 1 & 1, self.flags & 1
        return 0x200 | read | write << 1 | execute << 2

    def memory(self) -> tuple[int, bytearray]:
        """Where its pages begin, and what they hold."""
        start = self.address // PAGE * PAGE
        end = -(-(self.address + max(len(self.data), self.memory_bytes)) // PAGE) * PAGE
        memory = bytearray(end - start)
        memory[self.address - start : self.address - start + len(self.data)] = self.data
        return start, memory


@dataclass
class Section:
    """A section; without an address its bytes are in no segment."""

    name: str
    kind: int
    data: bytes = b""
    address: int = 0
    offset: int = 0
    size: int = 0
    link: str = ""
    alignment: int = 1
    entry_size: int = 0


@dataclass
class ElfEnclave:
    """An ELF file under construction."""

    parts: Sequence[Part]
    sections: list[Section] = field(default_factory=list)
    entry: int = 0x1000
    headers: Sequence[tuple[int, int, int, int, int]] = ()
    """Other program headers: type, address, size in the file, size in memory, alignment."""

    def offset_of(self, address: int) -> int:
        """Where the file has the byte at an address."""
        for part, offset in zip(self.parts, self._offsets(), strict=True):
            if part.address <= address < part.address + len(part.data):
                return offset + address - part.address
        raise ValueError(address)

    def to_bytes(self) -> bytes:
        """The file: headers, segments, sections that are in none, section headers."""
        count = len(self.parts) + len(self.headers)
        file = bytearray(64 + 56 * count)
        rows = []
        for part, offset in zip(self.parts, self._offsets(), strict=True):
            file = file.ljust(offset, b"\0")
            file[offset : offset + len(part.data)] = part.data
            rows.append(
                struct.pack(
                    "<IIQQQQQQ",
                    1,
                    part.flags,
                    offset,
                    part.address,
                    part.address,
                    len(part.data),
                    part.memory_bytes,
                    PAGE,
                )
            )
        for kind, address, size, memory, alignment in self.headers:
            offset = self.offset_of(address) if size else 0
            rows.append(
                struct.pack("<IIQQQQQQ", kind, 4, offset, address, 0, size, memory, alignment)
            )
        file[64 : 64 + len(rows) * 56] = b"".join(rows)
        names = b"\0" + b"".join(one.name.encode() + b"\0" for one in self.sections)
        names += b".shstrtab\0"
        table = [bytes(64)]
        for one in self.sections:
            offset = one.offset
            if one.address and not offset and one.kind != 8:
                offset = self.offset_of(one.address)
            elif one.data and not one.address:
                offset = len(file)
                file += one.data
            links = [other.name for other in self.sections]
            link = links.index(one.link) + 1 if one.link else 0
            table.append(
                struct.pack(
                    "<IIQQQQIIQQ",
                    names.index(b"\0" + one.name.encode() + b"\0") + 1,
                    one.kind,
                    2 if one.address else 0,
                    one.address,
                    offset,
                    one.size or len(one.data),
                    link,
                    0,
                    one.alignment,
                    one.entry_size,
                )
            )
        table.append(
            struct.pack(
                "<IIQQQQIIQQ",
                names.index(b".shstrtab"),
                3,
                0,
                0,
                len(file),
                len(names),
                0,
                0,
                1,
                0,
            )
        )
        file += names
        section_table = len(file)
        file += b"".join(table)
        file[:64] = struct.pack(
            "<4sBBBB8xHHIQQQIHHHHHH",
            b"\x7fELF",
            2,
            1,
            1,
            0,
            3,
            62,
            1,
            self.entry,
            64,
            section_table,
            0,
            64,
            56,
            count,
            64,
            len(table),
            len(table) - 1,
        )
        return bytes(file)

    def _offsets(self) -> list[int]:
        """Where each part begins in the file: as far into a page as in memory."""
        at = 64 + 56 * (len(self.parts) + len(self.headers))
        found = []
        for part in self.parts:
            at += (part.address - at) % PAGE
            found.append(at)
            at += len(part.data)
        return found


# ---- Intel SGX SDK ----------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """A row of the layout table."""

    kind: int
    attributes: int
    pages: int
    offset: int
    flags: int
    fill: int = 0
    content: bytes = b""


@dataclass(frozen=True)
class Group:
    """A row that repeats `count` rows before it."""

    count: int
    times: int
    step: int


@dataclass(frozen=True)
class Metadata:
    """A block of `.note.sgxmeta`."""

    version: tuple[int, int]
    size: int
    ssa_frame_pages: int
    layout: Sequence[Entry | Group]
    patches: Sequence[tuple[int, bytes]] = ()
    address_range: tuple[int, int, int] | None = None
    """Address of the image, and address and size of the range."""
    sigstruct: bytes = bytes(SIGSTRUCT_BYTES)
    shared_object: tuple[int, int, int] | None = None
    """Offset in the file, offset in memory, size."""

    def to_bytes(self) -> bytes:
        """The block."""
        heap = bytearray()
        base = 1904

        def put(data: bytes) -> int:
            heap.extend(data)
            return base + len(heap) - len(data)

        rows = b""
        for one in self.layout:
            if isinstance(one, Group):
                rows += struct.pack("<HHIQ16x", 0x1009, one.count, one.times, one.step)
                continue
            at = put(one.content) if one.content else 0
            size = len(one.content) if one.content else one.fill
            rows += struct.pack(
                "<HHIQIIQ", one.kind, one.attributes, one.pages, one.offset, size, at, one.flags
            )
        patches = b"".join(
            struct.pack("<QII16x", target, put(data), len(data)) for target, data in self.patches
        )
        directories = [(put(patches), len(patches)), (put(rows), len(rows)), (0, 0), (0, 0)]
        if self.address_range is not None:
            directories[2] = put(struct.pack("<QQQ", *self.address_range)), 24
        if self.shared_object is not None:
            offset, address, size = self.shared_object
            at = put(struct.pack("<QQQQ", offset, address, size, 0))
            directories[3] = put(struct.pack("<IIII", 0x1002, 32, at, 0)), 16
        head = struct.pack(
            "<QQIIIIIIQ16s",
            0x86A80294635D0E4C,
            self.version[0] << 32 | self.version[1],
            base + len(heap),
            1,
            self.ssa_frame_pages,
            0,
            0,
            1,
            self.size,
            bytes(16),
        )
        table = struct.pack("<8I", *(word for pair in directories for word in pair))
        return head + self.sigstruct + table + bytes(heap)


def sgxmeta_note(blocks: Sequence[bytes]) -> Section:
    """The section with these metadata blocks."""
    data = b"".join(blocks).ljust(0x6000, b"\0")
    name = b"sgx_metadata\0"
    return Section(".note.sgxmeta", 7, struct.pack("<III", len(name), len(data), 1) + name + data)


def segment_pages(
    parts: Sequence[Part], patches: Sequence[tuple[int, bytes]], offsets: Sequence[int]
) -> list[Page]:
    """What a loader adds for segments, with patches of the file under them."""
    found: list[Page] = []
    for part, offset in zip(parts, offsets, strict=True):
        data = bytearray(part.data)
        for target, content in patches:
            for number, byte in enumerate(content):
                at = target + number - offset
                if 0 <= at < len(data):
                    data[at] = byte
        start, memory = Part(part.flags, part.address, bytes(data), part.memory_bytes).memory()
        found += pages_of(start, part.page_flags, bytes(memory))
    return found


def entry_pages(entry: Entry, shift: int) -> list[Page]:
    """What the loader adds for one row of the layout table."""
    offset = entry.offset + shift
    if not entry.attributes & 1:
        return []
    if entry.content and entry.flags == TCS_PAGE:
        template = bytearray(entry.content.ljust(PAGE, b"\0"))
        for field_at in (16, 48, 56):
            value = int.from_bytes(template[field_at : field_at + 8], "little")
            template[field_at : field_at + 8] = (value + offset & (1 << 64) - 1).to_bytes(
                8, "little"
            )
        content: bytes | None = bytes(template) * entry.pages
    elif entry.content:
        content = entry.content.ljust(entry.pages * PAGE, b"\0")
    elif not entry.flags:
        return []
    else:
        content = entry.fill.to_bytes(4, "little") * (PAGE // 4 * entry.pages)
        content = content if entry.attributes & 2 else None
    if content is None:
        return bare(offset, entry.flags, entry.pages)
    if (not entry.content or entry.flags == TCS_PAGE) and not entry.attributes & 2:
        return bare(offset, entry.flags, entry.pages)
    return pages_of(offset, entry.flags, content)


def layout_pages(layout: Sequence[Entry | Group]) -> list[Page]:
    """What the loader adds for a layout table."""
    found: list[Page] = []
    for index, row in enumerate(layout):
        if isinstance(row, Entry):
            found += entry_pages(row, 0)
            continue
        for time in range(row.times):
            for member in layout[index - row.count : index]:
                assert isinstance(member, Entry)
                found += entry_pages(member, (time + 1) * row.step)
    return found


# ---- Open Enclave -----------------------------------------------------------------------


@dataclass(frozen=True)
class OpenEnclave:
    """The settings of `.oeinfo`, and what the loader's variables are called."""

    heap_pages: int
    stack_pages: int
    threads: int
    settings_bytes: int = 64
    flags: int = 0
    start_address: int = 0

    def properties(self, sigstruct: bytes) -> bytes:
        """The section as a signer leaves it."""
        size = 32 + self.settings_bytes + 48 + SIGSTRUCT_BYTES + 8
        settings = struct.pack("<HHI", 1, 2, self.flags).ljust(self.settings_bytes, b"\0")
        if self.settings_bytes == 64:
            settings = settings[:56] + self.start_address.to_bytes(8, "little")
        header = struct.pack("<IIQQQ", size, 2, self.heap_pages, self.stack_pages, self.threads)
        return header + settings + bytes(48) + sigstruct + b"\xff" * 8
