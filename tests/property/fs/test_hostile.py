"""Input that someone made to hurt: a diagnostic, soon, and nothing else."""

import io
import lzma
import random
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.archive import read_archive, read_foreign_archive, write_archive
from occlum_build.fs.content import BytesContent, Storage
from occlum_build.fs.deb import Expectation, unpack
from occlum_build.fs.elf import read_elf
from occlum_build.fs.erofs import format as form
from occlum_build.fs.erofs.reader import read_image
from occlum_build.fs.image import pack
from occlum_build.fs.specification import read_specification
from occlum_build.fs.tree import Kind, Node, Tree, regular_file, symlink


def sample_tree() -> Tree:
    one = regular_file(0o644, BytesContent(b"one" * 3000), "test")
    return Tree(
        [
            (b"bin/one", one),
            (b"bin/two", one),
            (b"bin/" + b"n" * 180, regular_file(0o755, BytesContent(b"tail"), "test")),
            (b"dev/null", Node(Kind.CHARACTER_DEVICE, 0o666, "test", device=(1, 3))),
            (b"link", symlink(b"bin/one", "test")),
            *(
                (b"many/%04d" % n, regular_file(0o600, BytesContent(b""), "test"))
                for n in range(300)
            ),
        ],
    )


def sample_archive() -> bytes:
    buffer = io.BytesIO()
    write_archive(sample_tree(), buffer)
    return buffer.getvalue()


def sample_image() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        pack(sample_tree(), Path(place, "image"))
        return Path(place, "image").read_bytes()


def sample_package() -> bytes:
    def tar_of(name: str, data: bytes) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        return buffer.getvalue()

    control = tar_of("./control", b"Package: a\nVersion: 1\nArchitecture: all\n")
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(control),
        "data.tar": tar_of("./file", b"x" * 700),
    }
    return b"!<arch>\n" + b"".join(
        f"{name:<48}{len(body):<10}`\n".encode() + body + b"\n" * (len(body) % 2)
        for name, body in members.items()
    )


def read_all(tree: Tree) -> None:
    for _, node in tree:
        if node.content is not None and node.size < 1 << 24:
            node.content.read(0, node.size)


def parse_archive(path: Path) -> None:
    read_all(read_archive(path))


def parse_foreign(path: Path) -> None:
    read_all(read_foreign_archive(Storage.open(path)))


def parse_image(path: Path) -> None:
    data = bytearray(path.read_bytes())
    if len(data) >= 4096:  # a right checksum lets the damage be looked at
        first = data[:4096]
        form.seal_block(first)
        path.write_bytes(bytes(first) + data[4096:])
    read_all(read_image(Storage.open(path)))


def parse_package(path: Path) -> None:
    unpack(path, path.with_name("out.tar"), Expectation())


def parse_elf(path: Path) -> None:
    data = path.read_bytes()
    read_elf(BytesContent(data), "x", "test")


PARSERS: list[tuple[Callable[[Path], None], bytes]] = [
    (parse_archive, sample_archive()),
    (parse_foreign, sample_archive()),
    (parse_image, sample_image()),
    (parse_package, sample_package()),
    (parse_elf, Path("/proc/self/exe").read_bytes()[:200_000]),
    (lambda path: void(read_specification(path)), b'{"version":1,"files":[{"path":"/x"}]}'),
]


def void(_: object) -> None:
    """Drop a value."""


def parsed_or_refused(parse: Callable[[Path], None], data: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "input")
        path.write_bytes(data)
        try:
            parse(path)
        except DiagnosticError as caught:
            assert all(one.code.startswith("OB06") for one in caught.diagnostics)  # noqa: PT017
            assert [one.name for one in Path(place).iterdir()] == ["input"]


@pytest.mark.parametrize(("parse", "good"), PARSERS)
def test_the_samples_are_good(parse: Callable[[Path], None], good: bytes) -> None:
    if parse not in (parse_elf, PARSERS[-1][0]):
        with tempfile.TemporaryDirectory() as place:
            Path(place, "input").write_bytes(good)
            parse(Path(place, "input"))


@pytest.mark.parametrize(("parse", "good"), PARSERS)
@given(data=st.data())
def test_random_bytes_are_refused(
    parse: Callable[[Path], None],
    good: bytes,
    data: st.DataObject,
) -> None:
    junk = data.draw(st.binary(max_size=3000))
    kept = data.draw(st.integers(0, min(len(good), 1200)))
    parsed_or_refused(parse, good[:kept] + junk)


@pytest.mark.parametrize(("parse", "good"), PARSERS)
@given(data=st.data())
def test_a_cut_input_is_refused(
    parse: Callable[[Path], None],
    good: bytes,
    data: st.DataObject,
) -> None:
    parsed_or_refused(parse, good[: data.draw(st.integers(0, len(good)))])


@pytest.mark.parametrize(("parse", "good"), PARSERS)
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 8))
def test_damaged_input_is_refused_or_read(
    parse: Callable[[Path], None],
    good: bytes,
    seed: int,
    count: int,
) -> None:
    chance = random.Random(seed)
    bad = bytearray(good)
    for _ in range(count):
        at = chance.randrange(min(len(bad), 20_000))
        bad[at] = chance.choice([0, 0xFF, 0x7F, 0x80, ord("9"), chance.randrange(256)])
    parsed_or_refused(parse, bytes(bad))
