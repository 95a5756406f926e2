"""The ELF files of a bundle's root image, taken out so that tools of the host can read them."""

import posixpath
from pathlib import Path
from typing import Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import ElfFile
from occlum_build.fs.content import Storage, chunks
from occlum_build.fs.erofs.reader import read_image
from occlum_build.fs.tree import Kind, Node

_LINKS_MAX: Final = 40  # as Linux has it, path_resolution(7)
_PT_LOAD: Final = 1


class ImageFiles:
    """The files of one bundle, each taken out once, into `directory`."""

    def __init__(self, bundle: Path, directory: Path) -> None:
        """Open the root image; raises `DiagnosticError` if it is no image."""
        tree = read_image(Storage.open(bundle / "images/root.erofs"))
        self._names = tree.names
        self._directory = directory
        self._placed: dict[str, Path | None] = {}

    def place(self, path: str) -> Path | None:
        """Where the host finds the file that the enclave calls `path`; None if it is no file here.

        It may be of another mount, or made by the program.
        """
        if path not in self._placed:
            self._placed[path] = self._take_out(path)
        return self._placed[path]

    def elf(self, path: str) -> ElfFile | None:
        """The ELF file at `path`, if there is one."""
        place = self.place(path)
        try:
            return None if place is None else ElfFile(FileBytes(str(place)))
        except DiagnosticError:
            return None

    def _take_out(self, path: str) -> Path | None:
        node = self._find(path)
        if node is None or node.content is None:
            return None
        place = self._directory / f"{len(self._placed)}-{posixpath.basename(path)}"
        with place.open("wb") as file:
            file.writelines(chunks(node.content))
        return place

    def _find(self, path: str) -> Node | None:
        todo = [one.encode() for one in reversed(path.split("/")) if one]
        here = b""
        links = 0
        while todo:
            name = todo.pop()
            here = posixpath.normpath(b"/" + here + b"/" + name).lstrip(b"/")
            node = self._names.get(here)
            if node is not None and node.kind is Kind.SYMLINK:
                links += 1
                if links > _LINKS_MAX:
                    return None
                todo += [one for one in reversed(node.target.split(b"/")) if one]
                here = b"" if node.target.startswith(b"/") else posixpath.dirname(here)
        return self._names.get(here)


def bias(elf: ElfFile, start: int, offset: int) -> int | None:
    """How far from its own addresses a file runs whose bytes from `offset` on are at `start`."""
    for one in elf.segments:
        if one.kind == _PT_LOAD and one.offset & ~0xFFF <= offset < one.offset + one.file_size:
            return start - (one.address + offset - one.offset)
    return None
