"""What holds for every tree, whatever is in it and wherever it came from."""

import io
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from occlum_build.fs.archive import read_archive, read_foreign_archive, write_archive
from occlum_build.fs.content import BytesContent, Storage
from occlum_build.fs.directory import read_directory
from occlum_build.fs.erofs.reader import read_image
from occlum_build.fs.image import pack, verify
from occlum_build.fs.tree import Kind, Node, Tree, directory, joined, regular_file, symlink

NAMES = st.binary(min_size=1, max_size=255).filter(
    lambda name: name not in (b".", b"..") and not set(name) & set(b"/\0"),
)
COMMON_NAMES = st.sampled_from([b"a", b"-", b"!", b"a.b", b"a-", b"\xff", b"z" * 255]) | NAMES
MODES = st.integers(0, 0o7777)
SIZES = st.integers(0, 200) | st.sampled_from(
    [4031, 4032, 4063, 4064, 4065, 4095, 4096, 4097, 8191, 8192, 12_345, 1 << 20, (1 << 20) + 1],
)
TARGETS = st.binary(min_size=1, max_size=4095).filter(lambda target: b"\0" not in target)
DEVICES = st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1))


def node_of(kind: Kind, mode: int, size: int, target: bytes, device: tuple[int, int]) -> Node:
    match kind:
        case Kind.FILE:
            data = random.Random(size).randbytes(size)
            return regular_file(mode, BytesContent(data), "test")
        case Kind.DIRECTORY:
            return directory(mode, "test")
        case Kind.SYMLINK:
            return symlink(target, "test")
        case Kind.CHARACTER_DEVICE | Kind.BLOCK_DEVICE:
            return Node(kind, mode, "test", device=device)
        case Kind.FIFO:
            return Node(kind, mode, "test")


@st.composite
def entry_lists(draw: st.DrawFn) -> list[tuple[bytes, Node]]:
    """The entries of a tree: each below a directory that is there, some of them hard links."""
    entries: dict[bytes, Node] = {b"": directory(draw(MODES), "test")}
    kinds = st.sampled_from(list(Kind))
    nodes = st.builds(node_of, kinds, MODES, SIZES, TARGETS, DEVICES)
    for _ in range(draw(st.integers(0, 25))):
        above = draw(
            st.sampled_from([p for p, n in entries.items() if n.kind is Kind.DIRECTORY]),
        )
        path = joined(above, draw(COMMON_NAMES))
        files = [node for node in entries.values() if node.kind is not Kind.DIRECTORY]
        is_link = bool(files) and draw(st.booleans())
        linked = st.sampled_from(files) if is_link else nodes
        if len(path) < 4096:
            entries.setdefault(path, draw(linked))
    return list(entries.items())


def identity(tree: Tree) -> bytes:
    buffer = io.BytesIO()
    write_archive(tree, buffer)
    return buffer.getvalue()


@given(entries=entry_lists())
def test_a_tree_survives_tar_and_image(entries: list[tuple[bytes, Node]]) -> None:
    tree = Tree(entries)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "tree.tar")
        path.write_bytes(identity(tree))
        from_tar = read_archive(path)
        pack(from_tar, Path(place, "image"))
        verify(Path(place, "image"))
        from_image = read_image(Storage.open(Path(place, "image")))

        assert identity(from_tar) == identity(tree)
        assert identity(from_image) == identity(tree)
        assert identity(read_foreign_archive(Storage.open(path))) == identity(tree)


@given(entries=entry_lists(), chance=st.randoms(use_true_random=False))
def test_the_order_of_the_source_changes_nothing(
    entries: list[tuple[bytes, Node]],
    chance: random.Random,
) -> None:
    shuffled = list(entries)
    chance.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        facts = [pack(Tree(entries), Path(one, "a")), pack(Tree(shuffled), Path(two, "b" * 99))]

        assert facts[0] == facts[1]
        assert Path(one, "a").read_bytes() == Path(two, "b" * 99).read_bytes()


def materialise(entries: list[tuple[bytes, Node]], root: Path, chance: random.Random) -> None:
    """Make a tree on the host, in a random order, with a random umask and random times."""
    base = os.fsencode(root)
    made: dict[int, bytes] = {}
    directories = [(p, n) for p, n in entries if n.kind is Kind.DIRECTORY and p]
    others = [(p, n) for p, n in entries if n.kind is not Kind.DIRECTORY]
    chance.shuffle(others)
    umask = os.umask(chance.choice([0, 0o022, 0o077, 0o177 & 0o077]))
    try:
        for path, _ in directories:
            os.mkdir(base + b"/" + path)  # noqa: PTH102 (bytes)
        for path, node in others:
            host_path = base + b"/" + path
            if id(node) in made:
                os.link(made[id(node)], host_path, follow_symlinks=False)
                continue
            made[id(node)] = host_path
            if node.kind is Kind.SYMLINK:
                os.symlink(node.target, host_path)  # noqa: PTH211 (bytes)
                continue
            if node.kind is Kind.FIFO:
                os.mkfifo(host_path)
            else:
                assert node.content is not None
                Path(os.fsdecode(host_path)).write_bytes(node.content.read(0, node.size))
            os.chmod(host_path, node.mode)  # noqa: PTH101 (bytes)
        for path, node in [*others, *directories]:
            when = chance.randrange(1 << 31)
            os.utime(base + b"/" + path, (when, when), follow_symlinks=False)
            if os.geteuid() == 0 and node.kind is not Kind.SYMLINK:
                os.chown(base + b"/" + path, chance.randrange(5000), chance.randrange(5000))
                os.chmod(base + b"/" + path, node.mode)  # noqa: PTH101 (chown drops set-id bits)
    finally:
        os.umask(umask)
    for path, node in entries:
        if node.kind is Kind.DIRECTORY:
            os.chmod(base + b"/" + path, node.mode | 0o700)  # noqa: PTH101 (bytes)


def for_the_host(entries: list[tuple[bytes, Node]]) -> list[tuple[bytes, Node]]:
    """The entries that any user can make on any file system, with modes that can be read."""
    kept: dict[int, Node] = {}
    for _, node in entries:
        if node.kind in (Kind.FILE, Kind.FIFO):
            kept[id(node)] = Node(node.kind, node.mode | 0o400, "test", node.content)
        elif node.kind is Kind.DIRECTORY:
            kept[id(node)] = directory(node.mode | 0o700, "test")
        elif node.kind is Kind.SYMLINK:
            kept[id(node)] = node
    return [
        (path, kept[id(node)]) for path, node in entries if id(node) in kept and len(path) < 2000
    ]


@settings(max_examples=40)
@given(entries=entry_lists(), seeds=st.tuples(st.integers(0, 99), st.integers(100, 199)))
def test_umask_times_owners_and_creation_order_change_nothing(
    entries: list[tuple[bytes, Node]],
    seeds: tuple[int, int],
) -> None:
    entries = for_the_host(entries)
    images: list[Any] = []
    for seed in seeds:
        place = Path(tempfile.mkdtemp(prefix="x" * (seed % 50)))
        try:
            (place / "tree").mkdir()
            materialise(entries, place / "tree", random.Random(seed))
            tree = read_directory(place / "tree")
            pack(tree, place / "image")
            images.append(((place / "image").read_bytes(), identity(tree)))
        finally:
            shutil.rmtree(place)

    assert images[0] == images[1]
    assert images[0][1] == identity(Tree(entries))
