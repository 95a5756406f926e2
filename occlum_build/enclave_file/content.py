"""Bytes of a file that nobody vouches for: every read is bounded, nothing is kept."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from occlum_build.diagnostic import DiagnosticError, Span, error

_MAX_AT_ONCE: Final = 1 << 26


class FileBytes:
    """A regular file, open for reading.

    It is read with `pread`, not mapped: a file that shrinks meanwhile is a
    diagnostic then, and not the end of the process.
    """

    def __init__(self, path: str) -> None:
        """Open it; raises `DiagnosticError` if that cannot be done."""
        self.path = path
        self._number = -1
        try:
            self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            status = os.fstat(self._number)
        except (OSError, ValueError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else str(problem)
            raise unreadable(path, reason or "unknown error") from None
        if not stat.S_ISREG(status.st_mode):
            raise unreadable(path, "it is not a regular file")
        self.size_bytes = status.st_size

    def __del__(self) -> None:
        if self._number >= 0:
            os.close(self._number)

    def read(self, start: int, size_bytes: int) -> bytes:
        """Exactly these bytes; asking beyond the end of the file is a bug of the caller."""
        if not (0 <= start <= start + size_bytes <= self.size_bytes) or size_bytes > _MAX_AT_ONCE:
            raise ValueError((start, size_bytes, self.size_bytes))
        try:
            data = os.pread(self._number, size_bytes, start)
        except OSError as problem:
            raise unreadable(self.path, problem.strerror or "unknown error") from None
        if len(data) != size_bytes:
            raise unreadable(self.path, "it changes while it is read")
        return data

    def read_into(self, start: int, size_bytes: int, parts: Sequence[memoryview]) -> None:
        """Fill the parts, one after the other, with so many bytes from `start` on."""
        try:
            count = os.preadv(self._number, parts, start)
        except OSError as problem:
            raise unreadable(self.path, problem.strerror or "unknown error") from None
        if count != size_bytes:
            raise unreadable(self.path, "it changes while it is read")

    def holds(self, start: int, size_bytes: int) -> bool:
        """Whether all of these bytes are in the file."""
        return 0 <= start <= start + size_bytes <= self.size_bytes

    def prefix(self, size_bytes: int) -> bytes:
        """The file's first bytes; fewer if it has fewer."""
        return self.read(0, min(size_bytes, self.size_bytes))


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file some bytes of an enclave are.

    `changed` names what the loader, or the reader in its place, wrote over them.
    """

    file: str
    offset: int
    changed: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of a run: `size_bytes` of them at `start`, from a file or made by the loader.

    A made piece has `made` and no file of its own; `offset` is then where the file
    has what the loader writes over, or -1 if it has nothing there.
    """

    start: int
    size_bytes: int
    file: FileBytes
    offset: int
    made: bytes | None = None
    what: str = ""

    @property
    def end(self) -> int:
        """First byte after the piece."""
        return self.start + self.size_bytes


@dataclass(frozen=True, slots=True)
class Pieces:
    """Content put together from pieces, later ones over earlier ones, zeros between them."""

    pieces: Sequence[Piece]

    @property
    def size_bytes(self) -> int:
        """Where the last piece ends."""
        return max((one.end for one in self.pieces), default=0)

    def read(self, start: int, size_bytes: int) -> bytes:
        """Exactly so many bytes from `start` on; zero where there is no piece."""
        end = start + size_bytes
        touching = [one for one in self.pieces if one.start < end and start < one.end]
        if not touching:
            return bytes(size_bytes)
        only = touching[0]
        if len(touching) == 1 and only.made is None and only.start <= start and end <= only.end:
            return only.file.read(only.offset + start - only.start, size_bytes)
        content = bytearray(size_bytes)
        for one in touching:
            first, last = max(start, one.start), min(end, one.end)
            content[first - start : last - start] = _part(one, first - one.start, last - first)
        return bytes(content)

    def read_into(self, start: int, size_bytes: int, parts: Sequence[memoryview]) -> bool:
        """Fill the parts straight from the file where one piece has it all."""
        end = start + size_bytes
        touching = [one for one in self.pieces if one.start < end and start < one.end]
        if len(touching) != 1:
            return False
        (only,) = touching
        if only.made is not None or start < only.start or only.end < end:
            return False
        only.file.read_into(only.offset + start - only.start, size_bytes, parts)
        return True

    def without_first(self, size_bytes: int) -> "Pieces":
        """The content from this byte on."""
        return Pieces([replace(one, start=one.start - size_bytes) for one in self.pieces])

    def place(self, start: int) -> Place | None:
        """Where the byte at `start` is in a file; None if no file has it."""
        for one in reversed(self.pieces):
            if one.start <= start < one.end:
                if one.offset < 0:
                    return None
                offset = one.offset + start - one.start
                return Place(one.file.path, offset, one.what if one.made is not None else "")
        return None


def broken(path: str, reason: str, *, notes: Sequence[str] = ()) -> NoReturn:
    """End the reading of a file that no loader would make an enclave of."""
    refuse(
        "OB0542",
        f"this enclave file is broken: {reason}",
        path,
        notes=notes,
        helps=("no loader takes it like this: get it anew from whoever built it",),
    )


def unreadable(path: str, reason: str) -> DiagnosticError:
    """The refusal of a file that cannot be read at all."""
    return DiagnosticError(
        error("OB0590", f"cannot read `{os.path.basename(path)}`: {reason}", Span(path))
    )


def refuse(
    code: str,
    message: str,
    path: str,
    *,
    notes: Sequence[str] = (),
    helps: Sequence[str] = (),
) -> NoReturn:
    """End the reading of `path`."""
    raise DiagnosticError(error(code, message, Span(path), notes=notes, helps=helps))


def _part(piece: Piece, start: int, size_bytes: int) -> bytes:
    if piece.made is not None:
        return piece.made[start : start + size_bytes].ljust(size_bytes, b"\0")
    return piece.file.read(piece.offset + start, size_bytes)
