"""Which files of two images differ, and where."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import MAGIC, ElfFile
from occlum_build.fs.content import Content, Storage, chunks
from occlum_build.fs.erofs.reader import read_image
from occlum_build.fs.problem import shown
from occlum_build.fs.tree import Node

_BLOCK_BYTES: Final = 1 << 20
_WINDOW_BYTES: Final = 32
_MAX_ELF_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class FileDifference:
    """A name that stands for something else, or for nothing in one of the images.

    `what` says it in words. If contents differ, `offset` is the first byte that does, with some
    bytes of both from there on, and `symbol` the section and symbol that has it in an ELF file.
    """

    path: str
    what: str
    offset: int = -1
    a: bytes = b""
    b: bytes = b""
    symbol: str = ""


def file_differences(a: Path, b: Path) -> Iterator[FileDifference]:
    """All differences of two images, by path; raises `DiagnosticError` if one is none."""
    tree_a, tree_b = (read_image(Storage.open(one)).names for one in (a, b))
    for path in sorted({*tree_a, *tree_b}):
        one, other = tree_a.get(path), tree_b.get(path)
        if one is None or other is None:
            there = one or other
            kind = "" if there is None else there.kind.value
            yield FileDifference(shown(path), f"{kind} only in {'b' if one is None else 'a'}")
        else:
            found = _difference(shown(path), one, other)
            if found is not None:
                yield found


def _difference(path: str, a: Node, b: Node) -> FileDifference | None:
    if a.kind is not b.kind:
        return FileDifference(path, f"{a.kind.value} in a, {b.kind.value} in b")
    said = [f"mode {a.mode:04o} and {b.mode:04o}"] if a.mode != b.mode else []
    if a.target != b.target:
        said.append(f"leads to `{shown(a.target)[1:]}` and `{shown(b.target)[1:]}`")
    if a.device != b.device:
        said.append(f"device {a.device} and {b.device}")
    if a.content is None or b.content is None:
        return FileDifference(path, ", ".join(said)) if said else None
    if a.content.size != b.content.size:
        said.append(f"{a.content.size} and {b.content.size} bytes")
    at = _first_byte(a.content, b.content)
    if at is None:
        return FileDifference(path, ", ".join(said)) if said else None
    said.append(f"content differs from byte {at} on")
    window_a, window_b = _window(a.content, at), _window(b.content, at)
    return FileDifference(path, ", ".join(said), at, window_a, window_b, _symbol(a.content, at))


def _symbol(content: Content, offset: int) -> str:
    """Section and symbol of a byte of an ELF file; "" in any other, or in one that is broken."""
    if content.size > _MAX_ELF_BYTES or content.read(0, min(4, content.size)) != MAGIC:
        return ""
    with NamedTemporaryFile(prefix="occlum-build-") as file:
        file.writelines(chunks(content))
        file.flush()
        try:
            elf = ElfFile(FileBytes(file.name))
            for one in elf.loads:
                if one.offset <= offset < one.offset + one.file_size:
                    return elf.at_address(one.address + offset - one.offset)
        except DiagnosticError:
            pass
    return ""


def _first_byte(a: Content, b: Content) -> int | None:
    shorter = min(a.size, b.size)
    for offset in range(0, shorter, _BLOCK_BYTES):
        length = min(_BLOCK_BYTES, shorter - offset)
        one, other = a.read(offset, length), b.read(offset, length)
        if one != other:
            return offset + next(i for i in range(length) if one[i] != other[i])
    return None if a.size == b.size else shorter


def _window(content: Content, offset: int) -> bytes:
    return content.read(offset, max(0, min(_WINDOW_BYTES, content.size - offset)))
