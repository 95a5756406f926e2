"""Function names in what the LibOS says of a crash, its program's or its own."""

import re
from typing import Final

from occlum_build.debugging.image_files import ImageFiles
from occlum_build.debugging.symbols import demangled
from occlum_build.enclave_file.elf_file import ElfFile

_FRAME: Final = re.compile(rb"(?:#(\d+)|at) +(?:0x[0-9a-f]+ )?(\S+)\+0x([0-9a-f]{1,16})$")
_LIBOS: Final = "libos"
_PT_LOAD: Final = 1
_PAGE: Final = 0xFFF


class CrashReport:
    """Knows the LibOS and the files of the root image."""

    def __init__(self, libos: ElfFile, files: ImageFiles) -> None:
        """Nothing is read yet."""
        self._libos = libos
        self._files = files
        self._known: dict[str, ElfFile | None] = {_LIBOS: libos}

    def named(self, line: bytes) -> bytes:
        """The line, with ` in FUNCTION` behind a place in a file whose symbols tell it."""
        text = line.rstrip(b"\r\n")
        frame = _FRAME.search(text)
        if frame is None:
            return line
        # A return address may be the first of the next function, if the call does not come back.
        is_exact = frame[1] is None or (frame[1] == b"0" and frame[2] != _LIBOS.encode())
        behind_call = 0 if is_exact else 1
        function = self._function(
            frame[2].decode(errors="replace"), int(frame[3], 16) - behind_call
        )
        return text + f" in {function}".encode() + line[len(text) :] if function else line

    def _function(self, path: str, distance: int) -> str:
        if path not in self._known:
            self._known[path] = self._files.elf(path)
        elf = self._known[path]
        lowest = (
            [] if elf is None else [one.address for one in elf.segments if one.kind == _PT_LOAD]
        )
        if elf is None or not lowest:
            return ""
        address = (min(lowest) & ~_PAGE) + distance
        within = (
            name
            for symbol, name in elf.functions()
            if symbol.address <= address < symbol.address + symbol.size_bytes
        )
        return demangled(next(within, ""))
