"""Unpacking compressed members, with limits on memory and on what comes out."""

import lzma
import zlib
from collections.abc import Callable
from typing import IO, Final, Protocol

from occlum_build.fs.content import STRIDE_BYTES, Storage
from occlum_build.fs.problem import Code, refusal

_MAX_MEMORY_BYTES: Final = 1 << 30  # `xz -9` needs 65 MiB; more than this is an attack


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the manners of lzma's: input that waits is kept inside."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Stored:
    """No compression at all."""

    eof = False
    unused_data = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:  # noqa: ARG002 (the protocol's)
        return data


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_MEMORY_BYTES)


METHODS: Final[dict[str, Callable[[], _Decompressor]]] = {
    "": _Stored,
    ".gz": _Gzip,
    ".xz": _xz,
}
"""How to read a member, by what follows `.tar` in its name.

zstd is not among them: Python reads it from version 3.14 on, and Debian's own
packages use xz.
"""


def decompress(
    storage: Storage, start: int, size: int, name: str, output: IO[bytes], limit_bytes: int
) -> None:
    """Write what `size` bytes from `start` hold to `output`, at most `limit_bytes`.

    `name` says how they are compressed. Streams that follow one another count as one.
    """
    new = METHODS[name.partition(".tar")[2]]
    try:
        _pump(new, storage, start, size, output, limit_bytes)
    except (lzma.LZMAError, zlib.error, EOFError) as failure:
        raise refusal(
            Code.BAD_PACKAGE,
            f"`{name}` cannot be decompressed: {str(failure).lower().rstrip('.')}",
            file=storage.name,
        ) from failure


def _pump(
    new: Callable[[], _Decompressor],
    storage: Storage,
    start: int,
    size: int,
    output: IO[bytes],
    limit_bytes: int,
) -> None:
    stream = new()
    total = 0
    for offset in range(start, start + size, STRIDE_BYTES):
        data = storage.read(offset, min(STRIDE_BYTES, start + size - offset))
        while data or not stream.eof:
            if stream.eof:
                stream = new()
            piece = stream.decompress(data, STRIDE_BYTES)
            data = stream.unused_data if stream.eof else b""
            total += len(piece)
            if total > limit_bytes:
                raise EOFError(f"it holds more than {limit_bytes} bytes")
            output.write(piece)
            if not piece and not stream.eof:
                break
    if not stream.eof and not isinstance(stream, _Stored):
        raise EOFError("it is cut short")
    output.flush()
