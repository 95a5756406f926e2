"""The members of a tar file: reading what others wrote, writing one canonical form.

POSIX.1-2017, "pax", sections "ustar Interchange Format" and "pax Header Block";
GNU tar manual, "Basic Tar Format" (types `L` and `K`, base-256 numbers). The
standard library's `tarfile` is not used: on hostile input it recurses, loops
and reads extended headers of any size into memory, and it cannot say whether
an archive is in canonical form.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from occlum_build.fs.problem import Code, refusal, shown_name
from occlum_build.fs.tree import MAX_PATH_BYTES

BLOCK_BYTES: Final = 512
END: Final = bytes(2 * BLOCK_BYTES)

REGULAR: Final = b"0"
HARD_LINK: Final = b"1"
SYMLINK: Final = b"2"
CHARACTER_DEVICE: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"

_OLD_REGULAR: Final = b"\0"
_CONTIGUOUS: Final = b"7"
_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"
_GNU_LONG_NAME: Final = b"L"
_GNU_LONG_LINK: Final = b"K"

# name, mode, uid, gid, size, mtime, chksum, typeflag, linkname, magic and version,
# uname, gname, devmajor, devminor, prefix
_HEADER: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_POSIX_MAGIC: Final = b"ustar\x0000"
_GNU_MAGIC: Final = b"ustar  \x00"
_NAME_BYTES: Final = 100
_PREFIX_BYTES: Final = 155
_CHECKSUM_OFFSET: Final = 148
_MAX_OCTAL_SIZE: Final = 8**11 - 1
_MAX_EXTENDED_BYTES: Final = 1 << 20
_MAX_SIZE: Final = 1 << 60
_PAX_NAME: Final = b"././@PaxHeader"

_IGNORED_KEYWORDS: Final = frozenset(
    {b"atime", b"ctime", b"mtime", b"uid", b"gid", b"uname", b"gname", b"comment"},
)


class Bytes(Protocol):
    """What a tar file is read from: a host file or a stretch of one."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def size(self) -> int:
        """Its length in bytes."""

    def read_up_to(self, offset: int, length: int) -> bytes:
        """At most `length` bytes; fewer only at the end."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member as its headers describe it, with all extensions applied.

    `name` and `link` are as written, not yet checked as paths. `header_start` and
    `data_start` are offsets in the archive; what the two enclose are the headers.
    """

    name: bytes
    type: bytes
    mode: int
    size: int = 0
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    header_start: int = 0
    data_start: int = 0


def encode(member: Member) -> bytes:
    """The canonical headers of a member: owner 0, time 0, PAX only for what does not fit."""
    records = {}
    prefix, name = _split_name(member.name)
    link = member.link
    size = member.size
    if not name:
        records[b"path"] = member.name
        name = member.name[:_NAME_BYTES]
    if len(link) > _NAME_BYTES:
        records[b"linkpath"] = link
        link = link[:_NAME_BYTES]
    if size > _MAX_OCTAL_SIZE:
        records[b"size"] = b"%d" % size
        size = 0
    header = _encode_header(name, prefix, link, size, member)
    if not records:
        return header
    if not _is_utf8(b"".join(records.values())):
        records[b"hdrcharset"] = b"BINARY"
    extended = b"".join(_pax_record(key, records[key]) for key in sorted(records))
    announcement = Member(_PAX_NAME, _PAX, 0o644)
    return b"".join(
        (
            _encode_header(_PAX_NAME, b"", b"", len(extended), announcement),
            extended,
            padding(len(extended)),
            header,
        ),
    )


def padding(size: int) -> bytes:
    """The zeros between `size` bytes of data and the next header."""
    return bytes(-size % BLOCK_BYTES)


def members(archive: Bytes) -> Iterator[Member]:
    """All members in order; the generator's value is the offset just behind the end mark.

    Accepts ustar, PAX and GNU archives. What would be lost silently (extended
    attributes, sparse files, global headers) is refused, as is every field that
    is not well formed. Nothing but headers is read.
    """
    offset = 0
    while True:
        member = _next_member(archive, offset)
        if member is None:
            return
        yield member
        offset = member.data_start + member.size + -member.size % BLOCK_BYTES
        if offset > archive.size:
            raise _broken(archive, member.header_start, "its last member is cut short")


def _next_member(archive: Bytes, start: int) -> Member | None:
    """The member whose first header is at `start`; None at the end mark."""
    overrides: dict[bytes, bytes] = {}
    offset = start
    while True:
        block = archive.read_up_to(offset, BLOCK_BYTES)
        if len(block) != BLOCK_BYTES:
            raise _broken(archive, offset, "it ends without an end mark")
        if block == END[:BLOCK_BYTES]:
            if overrides:
                raise _broken(archive, offset, "an extended header belongs to no member")
            return None
        try:
            member = _decode_header(block)
            if member.type not in (_PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK):
                return _with_overrides(member, overrides, start, offset + BLOCK_BYTES)
            overrides |= _read_extension(archive, member, offset + BLOCK_BYTES)
        except ValueError as failure:
            raise _broken(archive, offset, str(failure)) from failure
        offset += BLOCK_BYTES + member.size + -member.size % BLOCK_BYTES
        if offset - start > 4 * _MAX_EXTENDED_BYTES:
            raise _broken(archive, start, "a member has too many extended headers")


def _read_extension(archive: Bytes, member: Member, start: int) -> dict[bytes, bytes]:
    if member.size > _MAX_EXTENDED_BYTES:
        raise ValueError("an extended header is too large")
    data = archive.read_up_to(start, member.size)
    if len(data) != member.size:
        raise ValueError("an extended header is cut short")
    if member.type == _GNU_LONG_NAME:
        return {b"path": data.rstrip(b"\0")}
    if member.type == _GNU_LONG_LINK:
        return {b"linkpath": data.rstrip(b"\0")}
    records = dict(_pax_records(data))
    if member.type == _PAX_GLOBAL and records.keys() - _IGNORED_KEYWORDS:
        raise ValueError("it has a global extended header, which is not supported")
    return records


def _with_overrides(
    member: Member,
    overrides: dict[bytes, bytes],
    header_start: int,
    data_start: int,
) -> Member:
    size = member.size
    for keyword, value in overrides.items():
        if keyword == b"size":
            if not value.isdigit() or len(value) > len(str(_MAX_SIZE)):
                raise ValueError(f"`{shown_name(value)}` is not a size")
            size = int(value)
        elif keyword == b"hdrcharset":
            if value not in (b"BINARY", b"ISO-IR 10646 2000 UTF-8"):
                raise ValueError(f"names in character set `{shown_name(value)}`")
        elif keyword not in _IGNORED_KEYWORDS | {b"path", b"linkpath"}:
            raise ValueError(
                f"PAX keyword `{shown_name(keyword)}` says something that a tree cannot hold",
            )
    if size > _MAX_SIZE or (size and member.type != REGULAR):
        raise ValueError("a member has a size that it cannot have")
    name = overrides.get(b"path", member.name)
    link = overrides.get(b"linkpath", member.link)
    kind = member.type
    if kind == REGULAR and name.endswith(b"/") and not size:
        kind = DIRECTORY  # the oldest archives have no type for directories
    if len(name) > MAX_PATH_BYTES + 2 or len(link) > MAX_PATH_BYTES or b"\0" in name + link:
        raise ValueError("a name is too long or has a NUL byte")
    return Member(name, kind, member.mode, size, link, member.device, header_start, data_start)


def _decode_header(block: bytes) -> Member:
    """One header block on its own. Raises ValueError for what is malformed."""
    (name, mode, _, _, size, _, checksum, kind, link, magic, _, _, major, minor, prefix) = (
        _HEADER.unpack(block)
    )
    if magic not in (_POSIX_MAGIC, _GNU_MAGIC):
        raise ValueError("there is no tar header where one should be")
    if _number(checksum) != _checksum(block):
        raise ValueError("the checksum of a header is wrong")
    if kind in (_OLD_REGULAR, _CONTIGUOUS):
        kind = REGULAR
    if kind not in _KNOWN_TYPES:
        raise ValueError(f"a member has type `{shown_name(kind)}`, which a tree cannot hold")
    is_device = kind in (CHARACTER_DEVICE, BLOCK_DEVICE)
    name = _text(name)
    if magic == _POSIX_MAGIC and _text(prefix):
        name = _text(prefix) + b"/" + name
    return Member(
        name,
        kind,
        _number(mode) & 0o7777,
        _number(size) if kind in _SIZED_TYPES else 0,
        _text(link) if kind in (HARD_LINK, SYMLINK) else b"",
        (_number(major), _number(minor)) if is_device else (0, 0),
    )


_KNOWN_TYPES: Final = frozenset(
    {
        *(REGULAR, HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO),
        *(_PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK),
    },
)
_SIZED_TYPES: Final = frozenset(
    {REGULAR, HARD_LINK, _PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK},
)


def _encode_header(name: bytes, prefix: bytes, link: bytes, size: int, member: Member) -> bytes:
    major, minor = member.device
    block = _HEADER.pack(
        name,
        b"%07o" % member.mode,
        b"0000000",
        b"0000000",
        b"%011o" % size,
        b"00000000000",
        b" " * 8,
        member.type,
        link,
        _POSIX_MAGIC,
        b"",
        b"",
        b"%07o" % major,
        b"%07o" % minor,
        prefix,
    )
    checksum = b"%06o\0 " % sum(block)
    return block[:_CHECKSUM_OFFSET] + checksum + block[_CHECKSUM_OFFSET + 8 :]


def _checksum(block: bytes) -> int:
    field = block[_CHECKSUM_OFFSET : _CHECKSUM_OFFSET + 8]
    return sum(block) - sum(field) + 8 * ord(" ")


def _number(field: bytes) -> int:
    """An octal field, or a GNU base-256 one. Negative numbers are malformed."""
    if field[0] & 0x80:
        if field[0] != 0x80:  # noqa: PLR2004 (a sign bit or a value beyond any field)
            raise ValueError("a number in a header is out of range")
        return int.from_bytes(field[1:], "big")
    digits = _text(field).strip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise ValueError(f"`{shown_name(digits)}` is not an octal number")
    return int(digits, 8)


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _split_name(name: bytes) -> tuple[bytes, bytes]:
    """Prefix and name as ustar holds them; two empty ones if the name does not fit.

    The leftmost slash that works is taken, so that there is one form.
    """
    if len(name) <= _NAME_BYTES:
        return b"", name
    cut = name.find(b"/", max(1, len(name) - _NAME_BYTES - 1))
    if cut < 0 or cut > _PREFIX_BYTES or cut == len(name) - 1:
        return b"", b""
    return name[:cut], name[cut + 1 :]


def _pax_record(keyword: bytes, value: bytes) -> bytes:
    r"""`LENGTH KEYWORD=VALUE\\n`, where LENGTH counts its own digits."""
    rest = b" %b=%b\n" % (keyword, value)
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return b"%d%b" % (length, rest)


def _pax_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    offset = 0
    while offset < len(data):
        space = data.find(b" ", offset, offset + 8)
        if space < 0 or not data[offset:space].isdigit():
            raise ValueError("an extended header is malformed")
        end = offset + int(data[offset:space])
        keyword, equals, value = data[space + 1 : end].partition(b"=")
        if end > len(data) or not equals or not value.endswith(b"\n"):
            raise ValueError("an extended header is malformed")
        yield keyword, value[:-1]
        offset = end


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _broken(archive: Bytes, offset: int, why: str) -> Exception:
    return refusal(
        Code.BAD_ARCHIVE,
        f"the archive is malformed: {why}",
        file=archive.name,
        notes=[f"at byte {offset}"],
    )
