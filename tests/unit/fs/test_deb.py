import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.archive import read_archive, read_foreign_archive
from occlum_build.fs.content import Storage
from occlum_build.fs.deb import Expectation, unpack
from occlum_build.fs.tree import Tree

Identity = Callable[[Tree], bytes]
Judge = Callable[..., subprocess.CompletedProcess[bytes]]

ANY = Expectation()
CONTROL = b"Package: demo\nVersion: 1.2-3\nArchitecture: amd64\nDescription: a\n long: text\n"


@pytest.fixture
def package(sample: Path, tmp_path: Path, judge: Judge) -> Path:
    """A package that `dpkg-deb` built, with a script that must never run."""
    (sample / "DEBIAN").mkdir()
    (sample / "DEBIAN/control").write_bytes(CONTROL + b"Maintainer: nobody <n@example.org>\n")
    script = sample / "DEBIAN/postinst"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    judge("dpkg-deb", "--build", "-Zxz", "--root-owner-group", sample, tmp_path / "demo.deb")
    shutil.rmtree(sample / "DEBIAN")
    return tmp_path / "demo.deb"


def test_a_package_holds_what_dpkg_deb_says(
    package: Path,
    tmp_path: Path,
    archive_of: Identity,
    judge: Judge,
) -> None:
    (tmp_path / "theirs.tar").write_bytes(judge("dpkg-deb", "--fsys-tarfile", package).stdout)
    theirs = archive_of(read_foreign_archive(Storage.open(tmp_path / "theirs.tar")))

    unpack(package, tmp_path / "ours.tar", Expectation("demo", "1.2-3", "amd64"))

    assert (tmp_path / "ours.tar").read_bytes() == theirs
    assert read_archive(tmp_path / "ours.tar").names[b"bin/tool"].mode == 0o4755
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "expected",
    [
        Expectation(package="other"),
        Expectation(version="1.2"),
        Expectation(architecture="arm64"),
    ],
)
def test_another_package_than_expected_is_refused(
    expected: Expectation,
    package: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(DiagnosticError) as caught:
        unpack(package, tmp_path / "ours.tar", expected)

    assert caught.value.diagnostics[0].code == "OB0607"
    assert not (tmp_path / "ours.tar").exists()


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def ar_of(*members: tuple[str, bytes]) -> bytes:
    data = b"!<arch>\n"
    for name, body in members:
        header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(body):<10}`\n"
        data += header.encode() + body + b"\n" * (len(body) % 2)
    return data


def deb_of(
    control: bytes = CONTROL,
    data: bytes | None = None,
    suffix: str = ".xz",
    version: bytes = b"2.0\n",
) -> bytes:
    packers: dict[str, Callable[[bytes], bytes]]
    packers = {".xz": lzma.compress, ".gz": gzip.compress, "": bytes, ".zst": bytes}
    pack = packers[suffix]
    return ar_of(
        ("debian-binary", version),
        ("control.tar.gz", gzip.compress(tar_of(control=control))),
        (f"data.tar{suffix}", pack(tar_of(file=b"hello") if data is None else data)),
    )


def unpacked(data: bytes, tmp_path: Path) -> Tree:
    (tmp_path / "made.deb").write_bytes(data)
    unpack(tmp_path / "made.deb", tmp_path / "made.tar", ANY)
    return read_archive(tmp_path / "made.tar")


@pytest.mark.parametrize("suffix", [".xz", ".gz", ""])
def test_a_package_may_be_compressed_in_any_of_the_usual_ways(suffix: str, tmp_path: Path) -> None:
    content = unpacked(deb_of(suffix=suffix), tmp_path).names[b"file"].content

    assert content is not None
    assert content.read(0, 5) == b"hello"


def test_streams_that_follow_one_another_count_as_one(tmp_path: Path) -> None:
    whole = tar_of(file=b"hello")
    halves = lzma.compress(whole[:700]) + lzma.compress(whole[700:])
    data = ar_of(
        ("debian-binary", b"2.0\n"),
        ("control.tar", tar_of(control=CONTROL)),
        ("_ignored", b"odd"),
        ("data.tar.xz", halves),
    )

    assert b"file" in unpacked(data, tmp_path).names


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ar archive"),
        (b"!<arch>\n", "first member"),
        (b"!<arch>\n" + b"x" * 100, "no ar header"),
        (ar_of(("other", b"2.0\n")), "first member"),
        (deb_of(version=b"3.0\n"), "version is not 2"),
        (deb_of(suffix=".zst"), "cannot be read here"),
        (deb_of()[:-20], "cut short"),
        (ar_of(("debian-binary", b"2.0\n"), ("data.tar.xz", b"")), "do not follow"),
        (deb_of(control=b"no colon"), "malformed"),
        (deb_of(control=b"Package: x\nPackage: y\n"), "malformed"),
        (deb_of(control=b"Package: x\n"), "no field `Version`"),
        (deb_of(control=b"\xff: x\n"), "not UTF-8"),
        (deb_of(data=b""), "ends without an end mark"),
        (deb_of(data=b"x" * 512), "no tar header"),
    ],
)
def test_a_malformed_package_is_refused(data: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match=why):
        unpacked(data, tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.deb"]


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_damaged_compression_is_refused(
    compress: Callable[[bytes], bytes],
    damage: str,
    tmp_path: Path,
) -> None:
    body = compress(tar_of(file=b"hello" * 10_000))
    at = len(body) // 2
    body = body[:at] if damage == "cut" else body[:at] + bytes([body[at] ^ 0xFF]) + body[at + 1 :]
    suffix = "xz" if compress is lzma.compress else "gz"
    data = ar_of(
        ("debian-binary", b"2.0\n"),
        ("control.tar", tar_of(control=CONTROL)),
        (f"data.tar.{suffix}", body),
    )

    with pytest.raises(DiagnosticError) as caught:
        unpacked(data, tmp_path)

    assert caught.value.diagnostics[0].code in ("OB0606", "OB0605")


def package_with(data_xz: bytes) -> bytes:
    return ar_of(
        ("debian-binary", b"2.0\n"),
        ("control.tar", tar_of(control=CONTROL)),
        ("data.tar.xz", data_xz),
    )


def test_compression_that_lacks_only_its_end_is_refused(tmp_path: Path) -> None:
    whole = lzma.compress(tar_of(file=b"hello"))

    with pytest.raises(DiagnosticError, match="it is cut short"):
        unpacked(package_with(whole[:-8]), tmp_path)


def test_compression_that_wants_gigabytes_of_memory_is_refused(tmp_path: Path) -> None:
    stream = bytearray(lzma.compress(tar_of(file=b"hello"), preset=0))
    # The .xz File Format, 3.1: after 12 bytes size, flags, filter id, its size, dictionary
    assert stream[14:16] == b"\x21\x01"
    stream[16] = 40  # 4 GiB - 1
    end = 12 + (stream[12] + 1) * 4
    stream[end - 4 : end] = zlib.crc32(stream[12 : end - 4]).to_bytes(4, "little")

    with pytest.raises(DiagnosticError, match="memory usage limit exceeded"):
        unpacked(package_with(bytes(stream)), tmp_path)


def test_a_control_member_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(100 << 20), 1)
    data = ar_of(("debian-binary", b"2.0\n"), ("control.tar.gz", bomb), ("data.tar", b""))

    with pytest.raises(DiagnosticError, match="more than 67108864 bytes"):
        unpacked(data, tmp_path)
