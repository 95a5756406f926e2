import io
import os
import shutil
import subprocess
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs import tar
from occlum_build.fs.archive import read_archive, read_foreign_archive, write_archive
from occlum_build.fs.content import BytesContent, Storage
from occlum_build.fs.directory import read_directory
from occlum_build.fs.tree import Kind, Node, Tree, directory, regular_file, symlink

Identity = Callable[[Tree], bytes]
Judge = Callable[..., subprocess.CompletedProcess[bytes]]


class Zeros:
    """A content of any size that costs nothing to hold."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        assert offset + length <= self.size
        return bytes(length)


def foreign(path: Path) -> Tree:
    return read_foreign_archive(Storage.open(path))


def test_a_tree_survives_being_written_and_read(sample: Path, archive_of: Identity) -> None:
    written = archive_of(read_directory(sample))
    path = sample.parent / "identity.tar"
    again = read_archive(path)

    assert archive_of(Tree(again)) == written


def test_hard_links_stay_hard_links(sample: Path, archive_of: Identity) -> None:
    archive_of(read_directory(sample))

    again = read_archive(sample.parent / "identity.tar")

    assert again.names[b"bin/also"] is again.names[b"bin/tool"]
    assert again.names[b"etc/block"] is not again.names[b"etc/secret"]


def test_gnu_tar_unpacks_the_same_tree(
    sample: Path,
    tmp_path: Path,
    archive_of: Identity,
    judge: Judge,
) -> None:
    archive_of(read_directory(sample))
    (tmp_path / "unpacked").mkdir()

    judge("tar", "-xpf", tmp_path / "identity.tar", "-C", tmp_path / "unpacked")

    judge("diff", "-r", "--no-dereference", "-x", "pipe", sample, tmp_path / "unpacked")
    assert archive_of(read_directory(tmp_path / "unpacked")) == archive_of(read_directory(sample))


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar"])
def test_what_gnu_tar_packs_is_read_as_the_same_tree(
    form: str,
    sample: Path,
    tmp_path: Path,
    archive_of: Identity,
    judge: Judge,
) -> None:
    if form == "ustar":  # it has no room for the longest names
        (sample / "etc/dangling").unlink()
        shutil.rmtree(sample / "many")
        shutil.rmtree(sample / ("d" * 120))
    judge("tar", "-cf", tmp_path / "gnu.tar", f"--format={form}", "-C", sample, ".")

    assert archive_of(foreign(tmp_path / "gnu.tar")) == archive_of(read_directory(sample))


def test_an_archive_names_no_owner_and_no_time(sample: Path, archive_of: Identity) -> None:
    data = archive_of(read_directory(sample))

    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        facts = {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in archive}
    assert facts == {(0, 0, "", "", 0)}


def test_devices_survive(tmp_path: Path, archive_of: Identity) -> None:
    null = Node(Kind.CHARACTER_DEVICE, 0o666, "test", device=(1, 3))
    disk = Node(Kind.BLOCK_DEVICE, 0o660, "test", device=(4095, (1 << 20) - 1))
    written = archive_of(Tree([(b"dev/null", null), (b"dev/disk", disk)]))

    again = read_archive(tmp_path / "identity.tar")

    assert again.names[b"dev/disk"].device == (4095, (1 << 20) - 1)
    assert archive_of(again) == written


def test_a_file_of_more_than_8_gib_gets_a_pax_header() -> None:
    member = tar.Member(b"huge", tar.REGULAR, 0o644, 9 << 30)

    headers = tar.encode(member)

    assert b" size=9663676416\n" in headers
    with tarfile.open(fileobj=io.BytesIO(headers + tar.END)) as archive:
        assert archive.next().size == 9 << 30  # type: ignore[union-attr]


@pytest.mark.parametrize("length", [99, 100, 101, 155, 156, 200, 255, 256, 257, 258, 400, 4095])
def test_a_name_of_any_length_is_read_back(length: int, tmp_path: Path) -> None:
    path = (b"d" * 99 + b"/") * (length // 100) + b"n" * (length % 100)
    path = path.removesuffix(b"/")
    tree = Tree([(path, regular_file(0o644, BytesContent(b"x"), "test"))])
    with (tmp_path / "one.tar").open("wb") as file:
        write_archive(tree, file)

    assert path in read_archive(tmp_path / "one.tar").names
    with tarfile.open(tmp_path / "one.tar") as archive:
        assert archive.getnames()[-1] == path.decode()


def canonical(tmp_path: Path) -> Path:
    path = tmp_path / "canonical.tar"
    tree = Tree(
        [
            (b"a", regular_file(0o644, BytesContent(b"hello"), "test")),
            (b"b", directory(0o700, "test")),
            (b"b/c", symlink(b"../a", "test")),
        ],
    )
    with path.open("wb") as file:
        write_archive(tree, file)
    return path


def test_another_form_of_the_same_tree_is_refused(tmp_path: Path, judge: Judge) -> None:
    judge("tar", "-xf", canonical(tmp_path), "-C", tmp_path)
    judge("tar", "-cf", tmp_path / "other.tar", "--format=ustar", "-C", tmp_path, "a", "b")

    with pytest.raises(DiagnosticError, match="not in canonical form"):
        read_archive(tmp_path / "other.tar")


def test_every_changed_byte_outside_the_contents_is_noticed(tmp_path: Path) -> None:
    path = canonical(tmp_path)
    good = path.read_bytes()
    content = range(good.index(b"hello"), good.index(b"hello") + 5)

    for at in range(0, len(good), 7):
        if at in content:
            continue
        path.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        try:
            tree = read_archive(path)
        except DiagnosticError:
            continue
        # a flipped bit of a name, mode or target needs a matching checksum to get here
        pytest.fail(f"byte {at}: {list(tree.names)}")


@pytest.mark.parametrize("extra", [b"\0", bytes(512), b"junk"])
def test_bytes_behind_the_end_mark_are_refused(extra: bytes, tmp_path: Path) -> None:
    path = canonical(tmp_path)
    path.write_bytes(path.read_bytes() + extra)

    with pytest.raises(DiagnosticError, match="canonical"):
        read_archive(path)


def test_an_archive_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = canonical(tmp_path)
    good = path.read_bytes()

    for length in range(0, len(good), 64):
        path.write_bytes(good[:length])
        with pytest.raises(DiagnosticError) as caught:
            read_archive(path)
        assert caught.value.diagnostics[0].code == "OB0605"


def archive_with(
    tmp_path: Path, *members: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT
) -> Path:
    path = tmp_path / "hostile.tar"
    with tarfile.open(path, "w", format=form) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def info(name: str, kind: bytes = tarfile.REGTYPE, **facts: object) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    for fact, value in facts.items():
        setattr(member, fact, value)
    return member


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ([info("/etc/passwd")], "OB0601"),
        ([info("../up")], "OB0601"),
        ([info("a/../../up")], "OB0601"),
        ([info("a//b")], "OB0601"),
        ([info("n" * 300)], "OB0601"),
        ([info("a"), info("a")], "OB0602"),
        ([info("a"), info("./a")], "OB0602"),
        ([info("a"), info("a/b")], "OB0602"),
        ([info("s", tarfile.SYMTYPE, linkname="/etc"), info("s/passwd")], "OB0602"),
        ([info("s", tarfile.SYMTYPE, linkname="")], "OB0603"),
        ([info("l", tarfile.LNKTYPE, linkname="nowhere")], "OB0605"),
        ([info("l", tarfile.LNKTYPE, linkname="../../etc/passwd")], "OB0601"),
        ([info("d", tarfile.DIRTYPE), info("l", tarfile.LNKTYPE, linkname="d")], "OB0605"),
        ([info("a", pax_headers={"SCHILY.xattr.security.capability": "x"})], "OB0605"),
        ([info("a", pax_headers={"GNU.sparse.major": "1"})], "OB0605"),
        ([info("a", b"S")], "OB0605"),
        ([info("a", b"M")], "OB0605"),
    ],
)
def test_a_hostile_member_is_refused(
    members: list[tarfile.TarInfo],
    code: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(DiagnosticError) as caught:
        foreign(archive_with(tmp_path, *members))

    assert caught.value.diagnostics[0].code == code


def with_checksum(block: bytearray) -> bytes:
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "size",
    [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000001\0", b"99999999999\0", b"7" * 11 + b"\0"],
)
def test_an_impossible_size_is_refused_at_once(size: bytes, tmp_path: Path) -> None:
    block = bytearray(tar.encode(tar.Member(b"a", tar.REGULAR, 0o644)))
    block[124:136] = size
    path = tmp_path / "hostile.tar"
    path.write_bytes(with_checksum(block) + bytes(4096))

    with pytest.raises(DiagnosticError) as caught:
        foreign(path)

    assert caught.value.diagnostics[0].code == "OB0605"


def test_endless_extended_headers_are_refused(tmp_path: Path) -> None:
    block = bytearray(tar.encode(tar.Member(b"././@LongLink", b"0", 0o644)))
    block[156:157] = b"L"
    path = tmp_path / "hostile.tar"
    path.write_bytes(with_checksum(block) * 20_000)

    with pytest.raises(DiagnosticError, match="too many extended headers"):
        foreign(path)


def test_an_archive_in_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(DiagnosticError, match="not a regular file"):
        read_archive(tmp_path / "pipe")


def test_contents_are_streamed(tmp_path: Path) -> None:
    tree = Tree([(b"zeros", regular_file(0o644, Zeros(64 << 20), "test"))])
    tracemalloc.start()
    with (tmp_path / "large.tar").open("wb") as file:
        write_archive(tree, file)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (tmp_path / "large.tar").stat().st_size > 64 << 20
    assert peak < 8 << 20


def test_a_symlink_has_mode_0777_whatever_another_tar_says(tmp_path: Path) -> None:
    member = info("s", tarfile.SYMTYPE, linkname="x", mode=0o600)

    assert foreign(archive_with(tmp_path, member)).names[b"s"].mode == 0o777


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = archive_with(tmp_path, info("a"), form=tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)

    with pytest.raises(DiagnosticError, match="checksum"):
        foreign(path)


def test_a_long_name_that_is_not_utf_8_says_so(tmp_path: Path) -> None:
    path = b"\xff" * 200
    tree = Tree([(path, regular_file(0o644, BytesContent(b"x"), "test"))])
    with (tmp_path / "one.tar").open("wb") as file:
        write_archive(tree, file)

    assert b" hdrcharset=BINARY\n" in (tmp_path / "one.tar").read_bytes()
    assert path in read_archive(tmp_path / "one.tar").names
    with tarfile.open(tmp_path / "one.tar") as archive:
        assert archive.getnames()[-1].encode("utf-8", "surrogateescape") == path
