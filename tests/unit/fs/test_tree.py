import socket
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.content import BytesContent
from occlum_build.fs.directory import read_directory
from occlum_build.fs.tree import Kind, Node, Tree, directory, regular_file, symlink
from occlum_build.fs.walk import check_symlinks_stay_inside, walk


def a_file(text: bytes = b"", origin: str = "test") -> Node:
    return regular_file(0o644, BytesContent(text), origin)


def code_of(caught: pytest.ExceptionInfo[DiagnosticError]) -> str:
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.code


def test_a_tree_is_sorted_by_the_bytes_of_its_paths() -> None:
    tree = Tree([(b"b", a_file()), (b"a/x", a_file()), (b"a-b", a_file()), (b"a\xff", a_file())])

    assert list(tree.names) == [b"", b"a", b"a-b", b"a/x", b"a\xff", b"b"]


def test_a_directory_that_nobody_named_gets_mode_0755() -> None:
    tree = Tree([(b"a/b/c", a_file())])

    assert [(node.kind, node.mode) for _, node in tree][:3] == [(Kind.DIRECTORY, 0o755)] * 3


@pytest.mark.parametrize(
    "path",
    [b"/a", b"a/", b"a//b", b".", b"..", b"a/../b", b"a/./b", b"a\0b", b"n" * 256, b"a/" * 2048],
)
def test_a_path_in_any_other_form_is_refused(path: bytes) -> None:
    with pytest.raises(DiagnosticError) as caught:
        Tree([(path, a_file())])

    assert code_of(caught) == "OB0601"


def test_a_path_that_is_there_twice_is_refused_with_both_origins() -> None:
    with pytest.raises(DiagnosticError) as caught:
        Tree([(b"a", a_file(origin="one")), (b"a", a_file(origin="two"))])

    assert code_of(caught) == "OB0602"
    assert caught.value.diagnostics[0].notes == ("once from one", "once from two")


@pytest.mark.parametrize("above", [a_file(), symlink(b"elsewhere", "test")])
def test_something_below_what_is_no_directory_is_refused(above: Node) -> None:
    with pytest.raises(DiagnosticError) as caught:
        Tree([(b"a", above), (b"a/b/c", a_file())])

    assert code_of(caught) == "OB0602"


def test_a_directory_with_two_names_is_refused() -> None:
    both = directory(0o755, "test")

    with pytest.raises(DiagnosticError) as caught:
        Tree([(b"a", both), (b"b", both)])

    assert code_of(caught) == "OB0603"


@pytest.mark.parametrize(
    "make",
    [
        lambda: symlink(b"", "test"),
        lambda: symlink(b"a\0b", "test"),
        lambda: symlink(b"a" * 4096, "test"),
        lambda: directory(0o10000, "test"),
        lambda: Node(Kind.FILE, 0o644, "test"),
        lambda: Node(Kind.BLOCK_DEVICE, 0o600, "test"),
        lambda: Node(Kind.BLOCK_DEVICE, 0o600, "test", device=(1 << 12, 0)),
        lambda: Node(Kind.FIFO, 0o600, "test", device=(1, 1)),
    ],
)
def test_a_node_that_no_file_system_could_hold_is_refused(make: "type[Node]") -> None:
    with pytest.raises(DiagnosticError) as caught:
        make()  # type: ignore[call-arg]

    assert code_of(caught) == "OB0603"


def test_a_directory_of_the_host_becomes_a_tree(sample: Path) -> None:
    tree = read_directory(sample)

    assert tree.names[b"bin/tool"].mode == 0o4755
    assert tree.names[b"bin/also"] is tree.names[b"bin/tool"]
    assert tree.names[b"bin/sh"].target == b"tool"
    assert tree.names[b"etc/pipe"].kind is Kind.FIFO
    assert tree.names[b"caf\xc3\xa9 \xff"].size == 5
    content = tree.names[b"etc/secret"].content
    assert content is not None
    assert content.read(4990, 10) == b"x" * 10


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the address of a socket has room for 107 bytes
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        with pytest.raises(DiagnosticError) as caught:
            read_directory(tmp_path)

    assert code_of(caught) == "OB0603"


@pytest.mark.parametrize("size", [7, 5001])
def test_a_file_that_changes_while_it_is_read_is_refused(size: int, sample: Path) -> None:
    tree = read_directory(sample)
    (sample / "etc/secret").write_bytes(b"x" * size)

    content = tree.names[b"etc/secret"].content
    assert content is not None
    with pytest.raises(DiagnosticError) as caught:
        content.read(0, 5000)

    assert code_of(caught) == "OB0612"


def links(**targets: str) -> Tree:
    named = {path.replace("_", "/").encode(): target.encode() for path, target in targets.items()}
    return Tree(
        [
            (b"usr/bin/deep/er/x", a_file()),
            *((path, symlink(target, "test")) for path, target in named.items()),
        ],
    )


@pytest.mark.parametrize(
    ("path", "target"),
    [("usr_bin_x", "../../../etc"), ("x", ".."), ("x", "a/../../b"), ("usr_x", "bin/../../../y")],
)
def test_a_symlink_out_of_the_root_is_refused_with_its_path_and_target(
    path: str,
    target: str,
) -> None:
    with pytest.raises(DiagnosticError) as caught:
        check_symlinks_stay_inside(links(**{path: target}))

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "OB0604"
    assert "/" + path.replace("_", "/") in diagnostic.message
    assert f"its target is `{target}`" in diagnostic.notes


def test_a_symlink_that_leaves_the_root_through_another_one_is_refused() -> None:
    # lexically `s/../..` stays inside; but s leads to the root's child
    tree = links(usr_bin_s="/usr", usr_bin_deep_out="../s/../..")

    with pytest.raises(DiagnosticError) as caught:
        check_symlinks_stay_inside(tree)

    assert "/usr/bin/deep/out" in caught.value.diagnostics[0].message


@pytest.mark.parametrize("target", ["/etc/../x", "../..", "../../lib", "loop", "nowhere", "/"])
def test_a_symlink_that_stays_inside_is_fine(target: str) -> None:
    check_symlinks_stay_inside(links(usr_bin_loop=target))


def test_a_walk_follows_symlinks_in_every_part_and_names_them() -> None:
    tree = links(bin="usr/bin", usr_bin_d="/usr/bin/deep")

    where = walk(tree.names, b"/bin/d/er/x")

    assert (where.path, where.links) == (b"usr/bin/deep/er/x", (b"bin", b"usr/bin/d"))


def test_a_loop_of_symlinks_ends() -> None:
    assert walk(links(a="b", b="a").names, b"/a/x").looped
