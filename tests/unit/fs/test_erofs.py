import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.content import BytesContent, Storage
from occlum_build.fs.directory import read_directory
from occlum_build.fs.erofs import format as form
from occlum_build.fs.erofs.directories import decode_block, encode_directory, size_of_directory
from occlum_build.fs.erofs.plan import Plan
from occlum_build.fs.erofs.reader import read_image
from occlum_build.fs.erofs.writer import write_image
from occlum_build.fs.image import pack
from occlum_build.fs.tree import Kind, Node, Tree, directory, regular_file

Identity = Callable[[Tree], bytes]
Judge = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def image(sample: Path, tmp_path: Path) -> Path:
    pack(read_directory(sample), tmp_path / "sample.erofs")
    return tmp_path / "sample.erofs"


def facts_of(root: Path) -> dict[bytes, tuple[Any, ...]]:
    """What `stat` tells of every file below a directory, as far as an image keeps it."""
    facts = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        facts[os.fsencode(path.relative_to(root))] = (
            oct(status.st_mode),
            status.st_nlink,
            path.readlink() if stat.S_ISLNK(status.st_mode) else status.st_rdev,
            status.st_size if stat.S_ISREG(status.st_mode) else None,
        )
    return facts


def test_fsck_finds_nothing_to_complain_of(image: Path, judge: Judge) -> None:
    judge("fsck.erofs", image)


def test_fsck_extracts_the_same_tree(
    image: Path,
    sample: Path,
    tmp_path: Path,
    judge: Judge,
) -> None:
    judge("fsck.erofs", f"--extract={tmp_path / 'out'}", image)

    judge("diff", "-r", "--no-dereference", "-x", "pipe", sample, tmp_path / "out")
    (sample / "bin/tool").chmod(0o755)  # fsck.erofs 1.5 loses set-id bits when it sets owners
    ours, theirs = facts_of(sample), facts_of(tmp_path / "out")
    assert {p: f[0] for p, f in ours.items()} == {p: f[0] for p, f in theirs.items()}


def test_linux_mounts_the_same_tree(
    image: Path,
    sample: Path,
    tmp_path: Path,
    judge: Judge,
) -> None:
    if os.geteuid() or b"\terofs\n" not in Path("/proc/filesystems").read_bytes():
        pytest.skip("mounting EROFS needs root and a kernel that has it")
    (tmp_path / "mounted").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "erofs", "-o", "loop,ro", image, tmp_path / "mounted"],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not allowed here: {mounted.stderr.decode().strip()}")

    try:
        judge("diff", "-r", "--no-dereference", "-x", "pipe", sample, tmp_path / "mounted")
        assert facts_of(sample) == facts_of(tmp_path / "mounted")
        owners = {path.lstat().st_uid for path in (tmp_path / "mounted").rglob("*")}
        assert owners == {0}
    finally:
        judge("umount", tmp_path / "mounted")


def test_dump_erofs_agrees_about_the_superblock(image: Path, sample: Path, judge: Judge) -> None:
    text = judge("dump.erofs", "-s", image).stdout.decode()

    inodes = {os.lstat(path).st_ino for path in [sample, *sample.rglob("*")]}
    assert f"Filesystem inode count:                       {len(inodes)}" in text
    assert "0cc1b01d-e20f-5000-8000-000000000001" in text


def test_the_reader_gives_back_the_tree(image: Path, sample: Path, archive_of: Identity) -> None:
    read_back = archive_of(read_image(Storage.open(image)))

    assert read_back == archive_of(read_directory(sample))


@pytest.mark.parametrize("options", [[], ["-x-1", "-T0"], ["-Eforce-inode-extended"]])
def test_the_reader_reads_what_mkfs_makes(
    options: list[str],
    sample: Path,
    tmp_path: Path,
    archive_of: Identity,
    judge: Judge,
) -> None:
    judge("mkfs.erofs", *options, tmp_path / "theirs.erofs", sample)

    read_back = archive_of(read_image(Storage.open(tmp_path / "theirs.erofs")))

    assert read_back == archive_of(read_directory(sample))


def test_devices_are_what_linux_shows(tmp_path: Path, judge: Judge) -> None:
    if os.geteuid():
        pytest.skip("making devices needs root")
    (tmp_path / "dev").mkdir()
    os.mknod(tmp_path / "dev/disk", 0o640 | stat.S_IFBLK, os.makedev(4095, (1 << 20) - 1))
    os.mknod(tmp_path / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    pack(read_directory(tmp_path / "dev"), tmp_path / "dev.erofs")

    judge("fsck.erofs", f"--extract={tmp_path / 'out'}", tmp_path / "dev.erofs")

    for name in ("disk", "null"):
        ours, theirs = (tmp_path / "dev" / name).stat(), (tmp_path / "out" / name).stat()
        assert (ours.st_mode, ours.st_rdev) == (theirs.st_mode, theirs.st_rdev)


def test_an_empty_tree_is_an_image(tmp_path: Path, judge: Judge) -> None:
    facts = pack(Tree([]), tmp_path / "empty.erofs")

    judge("fsck.erofs", tmp_path / "empty.erofs")
    assert facts.data_size == 2 * 4096
    assert len(read_image(Storage.open(tmp_path / "empty.erofs"))) == 1


@pytest.mark.parametrize("count", [1, 200, 20_000])
def test_a_directory_of_any_size_is_read_by_others(
    count: int,
    tmp_path: Path,
    judge: Judge,
    archive_of: Identity,
) -> None:
    one = regular_file(0o644, BytesContent(b"x"), "test")
    tree = Tree((b"%05d-%b" % (number, b"n" * (number % 240)), one) for number in range(count))
    pack(tree, tmp_path / "many.erofs")

    judge("fsck.erofs", tmp_path / "many.erofs")
    assert archive_of(read_image(Storage.open(tmp_path / "many.erofs"))) == archive_of(tree)


def test_more_than_65535_links_need_an_extended_inode(tmp_path: Path, judge: Judge) -> None:
    one = regular_file(0o644, BytesContent(b"x" * 100), "test")
    tree = Tree((b"%05d" % number, one) for number in range(65_536))
    pack(tree, tmp_path / "links.erofs")

    judge("fsck.erofs", tmp_path / "links.erofs")
    read_back = read_image(Storage.open(tmp_path / "links.erofs"))
    assert len({id(node) for _, node in read_back}) == 2


class Discarded:
    """A sink that keeps only what is not zero: a sparse image in memory."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}
        self.count = 0

    def put(self, first_block: int, data: bytes) -> None:
        self.count += len(data) // 4096
        if data.count(0) != len(data):
            self.blocks[first_block] = data


class Huge:
    """5 GiB of zeros but for the last byte."""

    size = 5 << 30

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length - 1) + (b"\1" if offset + length == self.size else b"\0")


@pytest.mark.slow
def test_a_file_of_more_than_4_gib_is_packed(tmp_path: Path, judge: Judge) -> None:
    plan = Plan(Tree([(b"huge", regular_file(0o644, Huge(), "test"))]))
    sink = Discarded()

    write_image(plan, sink)

    assert sink.count == plan.block_count == (5 << 30) // 4096 + 1
    with (tmp_path / "huge.erofs").open("wb") as file:
        for block, data in sink.blocks.items():
            file.seek(block * 4096)
            file.write(data)
        file.truncate(plan.block_count * 4096)
    assert (
        "5368709120"
        in judge("dump.erofs", "--path=/huge", tmp_path / "huge.erofs").stdout.decode()
    )
    content = read_image(Storage.open(tmp_path / "huge.erofs")).names[b"huge"].content
    assert content is not None
    assert content.read((5 << 30) - 2, 2) == b"\0\1"


def test_a_tree_of_16_tib_is_refused_before_anything_is_written() -> None:
    class TooHuge:
        size = 17 << 40

        def read(self, offset: int, length: int) -> bytes:
            raise AssertionError((offset, length))

    with pytest.raises(DiagnosticError) as caught:
        Plan(Tree([(b"huge", regular_file(0o644, TooHuge(), "test"))]))

    assert caught.value.diagnostics[0].code == "OB0616"


def test_the_checksum_is_that_of_the_standard() -> None:
    # RFC 3720, appendix B.4, inverted as there
    assert form.crc32c(bytes(32)) ^ 0xFFFF_FFFF == 0x8A91_36AA
    assert form.crc32c(b"\xff" * 32) ^ 0xFFFF_FFFF == 0x62A8_AB43
    assert form.crc32c(bytes(range(32))) ^ 0xFFFF_FFFF == 0x46DD_794E


def test_a_directory_says_its_size_before_it_is_written() -> None:
    for count in (0, 1, 30, 31, 200):
        names = sorted([b".", b"..", *(b"%0120d" % number for number in range(count))])
        entries = [(name, Kind.FILE, 1) for name in names]

        data = encode_directory(entries)

        assert len(data) == size_of_directory(names)
        blocks = [data[at : at + 4096] for at in range(0, len(data), 4096)]
        assert [entry for block in blocks for entry in decode_block(block)] == entries


def test_inodes_and_tails_never_cross_a_block_and_never_overlap(sample: Path) -> None:
    plan = Plan(read_directory(sample))
    taken: set[int] = set()

    for record in plan.records:
        extent = range(record.offset, record.offset + record.head_bytes + record.tail_bytes)
        assert extent.start % 32 == 0
        assert extent.start // 4096 == (extent.stop - 1) // 4096
        assert extent.start >= 1024 + 128
        assert taken.isdisjoint(extent)
        taken |= set(extent)


def repaired(block: bytearray) -> bytes:
    """The first block with a right checksum, so that what was changed is looked at."""
    form.seal_block(block)
    return bytes(block)


def test_an_image_cut_anywhere_is_refused(image: Path, tmp_path: Path) -> None:
    data = image.read_bytes()
    for length in [0, 1, 1024, 1151, 1152, 4095, 4096, 8192, len(data) // 2]:
        (tmp_path / "cut").write_bytes(data[:length])
        with pytest.raises(DiagnosticError) as caught:
            read_image(Storage.open(tmp_path / "cut"))
        assert caught.value.diagnostics[0].code == "OB0613"


@pytest.mark.parametrize(
    ("offset", "value", "why"),
    [
        (1024, b"\0", "no EROFS superblock"),
        (1024 + 12, b"\x0d", "not 4 KiB"),
        (1024 + 80, b"\x01", "features that plain images lack"),
        (1024 + 14, b"\xff\xff", "outside the image|no known type|malformed|not plain"),
        (1024 + 36, b"\xff\xff\xff\xff", "cut short"),
    ],
)
def test_a_wrong_superblock_is_refused(
    offset: int,
    value: bytes,
    why: str,
    image: Path,
    tmp_path: Path,
) -> None:
    data = bytearray(image.read_bytes())
    data[offset : offset + len(value)] = value
    (tmp_path / "bad").write_bytes(repaired(data[:4096]) + data[4096:])

    with pytest.raises(DiagnosticError, match=why):
        read_image(Storage.open(tmp_path / "bad"))


def test_a_wrong_checksum_is_refused(image: Path, tmp_path: Path) -> None:
    data = bytearray(image.read_bytes())
    data[1024 + 70] ^= 1  # the volume name, which nothing else looks at
    (tmp_path / "bad").write_bytes(data)

    with pytest.raises(DiagnosticError, match="checksum"):
        read_image(Storage.open(tmp_path / "bad"))


def test_a_directory_that_contains_itself_is_refused(tmp_path: Path) -> None:
    tree = Tree([(b"a", directory(0o755, "test")), (b"a/b", directory(0o755, "test"))])
    pack(tree, tmp_path / "loop.erofs")
    data = bytearray((tmp_path / "loop.erofs").read_bytes())
    entry_b = data.index(b"...b")  # the names of /a: `.`, `..`, `b`
    nid_of_a = data[entry_b - 36 : entry_b - 28]
    data[entry_b - 12 : entry_b - 4] = nid_of_a
    (tmp_path / "loop.erofs").write_bytes(repaired(data[:4096]) + data[4096:])

    with pytest.raises(DiagnosticError, match="a directory is found twice"):
        read_image(Storage.open(tmp_path / "loop.erofs"))


def test_an_unprivileged_node_kind_survives(tmp_path: Path, archive_of: Identity) -> None:
    tree = Tree(
        [
            (b"fifo", Node(Kind.FIFO, 0o600, "test")),
            (b"null", Node(Kind.CHARACTER_DEVICE, 0o666, "test", device=(1, 3))),
            (b"disk", Node(Kind.BLOCK_DEVICE, 0o660, "test", device=(259, 70_000))),
        ],
    )
    pack(tree, tmp_path / "nodes.erofs")

    assert archive_of(read_image(Storage.open(tmp_path / "nodes.erofs"))) == archive_of(tree)
