"""Images that lie in one place, each refused for that very lie."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.content import BytesContent, Storage
from occlum_build.fs.erofs import format as form
from occlum_build.fs.erofs.reader import read_image
from occlum_build.fs.image import pack
from occlum_build.fs.tree import Tree, regular_file

NAMES = b"...aabb"  # of the root directory, behind its four entries of 12 bytes


class Lie:
    """The first block of a small image, which holds all inodes, to be changed."""

    def __init__(self, image: Path) -> None:
        self.image = image
        self.data = bytearray(image.read_bytes())
        self.names = self.data.index(NAMES)
        self.entries = self.names - 48
        self.root = self.entries - form.COMPACT_BYTES

    def entry(self, name: bytes) -> int:
        """Where the entry of a name in the root starts."""
        return self.entries + 12 * [b".", b"..", b"aa", b"bb"].index(name)

    def inode(self, name: bytes) -> int:
        """Where the inode of a name in the root starts."""
        (nid,) = struct.unpack_from("<Q", self.data, self.entry(name))
        return int(nid) * 32

    def told(self) -> None:
        """Write the changed image, its checksum right again, and read it."""
        first = self.data[:4096]
        form.seal_block(first)
        self.image.write_bytes(bytes(first) + self.data[4096:])
        read_image(Storage.open(self.image))


@pytest.fixture
def lie(tmp_path: Path) -> Lie:
    files = [
        (name, regular_file(0o644, BytesContent(name * 40), "test")) for name in (b"aa", b"bb")
    ]
    pack(Tree(files), tmp_path / "image")
    return Lie(tmp_path / "image")


def put(offset: Callable[[Lie], int], value: bytes) -> Callable[[Lie], None]:
    def change(lie: Lie) -> None:
        at = offset(lie)
        lie.data[at : at + len(value)] = value

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (put(lambda lie: lie.names + 3, b"bbaa"), "not sorted"),
        (put(lambda lie: lie.names + 3, b"aaaa"), "not sorted"),
        (put(lambda lie: lie.names + 3, b"a/bb"), "`a/` cannot be a name"),
        (put(lambda lie: lie.names + 3, b"a\0bb"), "cannot be a name"),
        (put(lambda lie: lie.names + 1, b"/"), "`.` or `..`|not sorted"),
        (put(lambda lie: lie.entry(b".."), b"\x99"), "`.` or `..` of a directory lead elsewhere"),
        (put(lambda lie: lie.entry(b".") + 10, b"\x01"), "`.` or `..` of a directory"),
        (put(lambda lie: lie.entry(b"aa") + 10, b"\x07"), "calls a file a symlink"),
        (put(lambda lie: lie.entry(b"aa") + 10, b"\x02"), "calls a file a directory"),
        (put(lambda lie: lie.entry(b"aa") + 10, b"\x06"), "unknown type 6"),
        (put(lambda lie: lie.entry(b"aa") + 8, b"\xff\x0f"), "names of a directory block"),
        (put(lambda lie: lie.entry(b".") + 8, b"\x31"), "a directory block is malformed"),
        (put(lambda lie: lie.entry(b"aa"), b"\xff" * 8), "outside the image"),
        (put(lambda lie: lie.inode(b"aa") + 6, b"\x02"), "claims 2 names, but has 1"),
        (put(lambda lie: lie.root + 6, b"\x03"), "wrong link count"),
        (put(lambda lie: lie.inode(b"aa") + 8, b"\xff\x0f"), "crosses a block"),
        (put(lambda lie: lie.inode(b"aa") + 8, b"\0\0\0\x10"), "outside the image"),
        (put(lambda lie: lie.inode(b"aa"), b"\x06"), "data layout 3"),
        (put(lambda lie: lie.inode(b"aa") + 4, b"\xa4\xc1"), "no known type"),
        (put(lambda lie: lie.root + 8, b"\0\0\0\0"), "impossible size"),
        (put(lambda lie: lie.root + 8, b"\x06\0\0\0"), "too short"),
    ],
)
def test_a_lie_is_refused(change: Callable[[Lie], None], why: str, lie: Lie) -> None:
    change(lie)

    with pytest.raises(DiagnosticError, match=why) as caught:
        lie.told()

    assert caught.value.diagnostics[0].code == "OB0613"


def test_without_a_lie_the_image_is_read(lie: Lie) -> None:
    lie.told()
