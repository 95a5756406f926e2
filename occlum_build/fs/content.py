"""Where the bytes of a file come from, without holding them.

A `Content` has a size that is known before a byte is read, because an image is
laid out first and filled afterwards. `read` gives exactly what it is asked for
or raises: a source that shrinks or grows under a build is an error.
"""

import os
import stat
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from occlum_build.fs.problem import Code, refusal, unreadable

STRIDE_BYTES: Final = 1 << 20
"""How much of a large file is in memory at a time."""


class Content(Protocol):
    """The bytes of one regular file."""

    @property
    def size(self) -> int:
        """How many bytes there are."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; the caller stays inside `size`."""


class Storage:
    """An open host file, closed when the last content that lies in it is gone."""

    __slots__ = ("__weakref__", "_descriptor", "is_executable", "name", "size")

    def __init__(self, descriptor: int, name: str) -> None:
        """Take over `descriptor`, which must be a regular file; `name` is for messages."""
        weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        self.name = name
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise refusal(Code.UNREADABLE, f"cannot read `{name}`: not a regular file")
        self.size = status.st_size
        self.is_executable = bool(status.st_mode & stat.S_IXUSR)

    @classmethod
    def open(cls, path: str | bytes | Path) -> "Storage":
        """Open the regular file at `path`; a pipe or a device there is refused, not waited for."""
        name = os.fsdecode(path)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as failure:
            raise unreadable(name, failure) from failure
        return cls(descriptor, name)

    @classmethod
    def of(cls, file: IO[bytes], name: str) -> "Storage":
        """What has been written to `file`, which may be closed meanwhile."""
        file.flush()
        return cls(os.dup(file.fileno()), name)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; a file that ends before them is an error."""
        data = self.read_up_to(offset, length)
        if len(data) != length:
            raise refusal(
                Code.UNREADABLE,
                f"`{self.name}` ends at byte {offset + len(data)}, but {length - len(data)} more "
                "were expected",
                helps=["the file changed while it was read, or it was cut short"],
            )
        return data

    def read_up_to(self, offset: int, length: int) -> bytes:
        """At most `length` bytes; fewer only at the end of the file."""
        try:
            data = os.pread(self._descriptor, length, offset)
            while data and len(data) < length:
                more = os.pread(self._descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as failure:
            raise unreadable(self.name, failure) from failure
        return data


@dataclass(frozen=True, slots=True)
class StoredContent:
    """A stretch of a larger file: a member of an archive, an extent of an image."""

    storage: Storage
    start: int
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        return self.storage.read(self.start + offset, length)


@dataclass(frozen=True, slots=True)
class HostContent:
    """A file of the host, opened for each read, so that a large tree needs no descriptors."""

    path: bytes
    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`; a file of another size than before is refused."""
        storage = Storage.open(self.path)
        if storage.size != self.size:
            raise refusal(
                Code.UNREADABLE,
                f"`{storage.name}` changed while it was read: {self.size} bytes before, "
                f"{storage.size} now",
            )
        return storage.read(offset, length)


@dataclass(frozen=True, slots=True)
class BytesContent:
    """Bytes in memory, for small things."""

    data: bytes

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        return self.data[offset : offset + length]


@dataclass(frozen=True, slots=True)
class JoinedContent:
    """Contents one after another: the blocks of a file and the tail beside its inode."""

    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return sum(part.size for part in self.parts)

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        pieces = []
        for part in self.parts:
            if offset < part.size and length:
                pieces.append(part.read(offset, min(length, part.size - offset)))
                length -= len(pieces[-1])
                offset += len(pieces[-1])
            offset -= part.size
        return b"".join(pieces)


def chunks(content: Content) -> Iterator[bytes]:
    """All of a content in order, a stride at a time."""
    for offset in range(0, content.size, STRIDE_BYTES):
        yield content.read(offset, min(STRIDE_BYTES, content.size - offset))


def same_bytes(one: Content, other: Content) -> bool:
    """Whether two contents are equal, by reading both."""
    return one.size == other.size and all(
        a == b for a, b in zip(chunks(one), chunks(other), strict=True)
    )
