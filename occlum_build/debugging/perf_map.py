"""`/tmp/perf-PID.map`: names for code that perf finds in no file.

The form is that of `tools/perf/Documentation/jit-interface.txt` in Linux: start and size in
hexadecimal, and a name that goes to the end of the line.
"""

from collections.abc import Iterable, Iterator

from occlum_build.debugging.image_files import ImageFiles, bias
from occlum_build.debugging.mapped import Mapped
from occlum_build.debugging.symbols import demangled
from occlum_build.enclave_file.elf_file import ElfFile


def perf_map(libos: ElfFile, libos_start: int, mapped: Iterable[Mapped], files: ImageFiles) -> str:
    """The text. A file that has no symbols is one name, with its offset."""
    lines = [(start + libos_start, size, name) for start, size, name in _functions(libos)]
    for one in mapped:
        lines += _mapping(one, files.elf(one.path))
    return "".join(f"{start:x} {size:x} {name}\n" for start, size, name in sorted(set(lines)))


def _mapping(one: Mapped, elf: ElfFile | None) -> Iterator[tuple[int, int, str]]:
    moved = None if elf is None else bias(elf, one.start, one.offset)
    end = one.start + one.size_bytes
    at = one.start
    functions = [] if elf is None or moved is None else sorted(_functions(elf))
    for address, size, name in functions:
        start = address + (moved or 0)
        if at <= start < end:
            if at < start:
                yield at, start - at, _place(one, at)
            yield start, min(size, end - start), name
            at = start + size
    if at < end:
        yield at, end - at, _place(one, at)


def _place(one: Mapped, address: int) -> str:
    return f"{one.path}+{one.offset + address - one.start:#x}"


def _functions(elf: ElfFile) -> Iterator[tuple[int, int, str]]:
    for symbol, name in elf.functions():
        yield symbol.address, symbol.size_bytes, demangled(name)
