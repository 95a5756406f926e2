import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.diagnostic import Diagnostic, DiagnosticError
from occlum_build.fs.archive import write_archive
from occlum_build.fs.content import BytesContent
from occlum_build.fs.rootfs import assemble
from occlum_build.fs.specification import read_specification
from occlum_build.fs.tree import Kind, Node, Tree, directory, regular_file, symlink

Identity = Callable[[Tree], bytes]


def a_file(text: bytes = b"", mode: int = 0o644) -> Node:
    return regular_file(mode, BytesContent(text), "test")


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Tree]:
    def run(**parts: Any) -> Tree:
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({"version": 1, "label": "//app:rootfs"} | parts))
        return assemble(read_specification(path))

    return run


@pytest.fixture
def layer(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(name: str, files: dict[str, Node], **patterns: list[str]) -> dict[str, Any]:
        path = tmp_path / f"{name}.tar"
        with path.open("wb") as file:
            write_archive(Tree((p.encode(), node) for p, node in files.items()), file)
        return {"tar": str(path), "label": f"//deb:{name}"} | patterns

    return make


def paths(tree: Tree) -> list[str]:
    return [path.decode() for path in tree.names if path]


def refused(build: Callable[..., Tree], **parts: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticError) as caught:
        build(**parts)
    return caught.value.diagnostics


def test_files_directories_and_symlinks_are_put_where_they_are_asked_for(
    build: Callable[..., Tree],
    tmp_path: Path,
) -> None:
    (tmp_path / "app").write_bytes(b"app")

    tree = build(
        files=[{"path": "/bin/app", "source": str(tmp_path / "app"), "mode": "0711"}],
        directories=[{"path": "/tmp", "mode": "1777"}],  # noqa: S108 (a path in the tree)
        symlinks=[{"path": "/bin/sh", "target": "app"}],
    )

    assert paths(tree) == ["bin", "bin/app", "bin/sh", "tmp"]
    assert tree.names[b"bin/app"].mode == 0o711
    assert tree.names[b"tmp"].mode == 0o1777
    assert tree.names[b"bin/sh"].target == b"app"


@pytest.mark.parametrize(("source_mode", "mode"), [(0o700, 0o755), (0o664, 0o644)])
def test_a_file_without_a_mode_takes_only_the_executable_bit(
    source_mode: int,
    mode: int,
    build: Callable[..., Tree],
    tmp_path: Path,
) -> None:
    (tmp_path / "app").touch()
    (tmp_path / "app").chmod(source_mode)

    tree = build(files=[{"path": "/app", "source": str(tmp_path / "app"), "mode": None}])

    assert tree.names[b"app"].mode == mode


def test_a_layer_is_taken_whole_or_by_patterns(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    files = {"usr/lib/a.so": a_file(), "usr/lib/a.a": a_file(), "usr/share/doc/a": a_file()}

    assert len(build(layers=[layer("x", files)])) == 8
    some = build(layers=[layer("x", files, include=["usr/lib"], exclude=["**/*.a"])])
    assert paths(some) == ["usr", "usr/lib", "usr/lib/a.so"]


def test_a_directory_above_what_is_chosen_keeps_its_mode(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    files = {"secret": directory(0o700, "test"), "secret/key": a_file()}

    tree = build(layers=[layer("x", files, include=["secret/key"])])

    assert tree.names[b"secret"].mode == 0o700


def test_a_pattern_that_matches_nothing_is_refused(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    (found,) = refused(build, layers=[layer("x", {"usr/lib/a": a_file()}, include=["usr/lbi/a"])])

    assert found.code == "OB0617"
    assert found.helps == ("the layer has `/usr/lib/a`",)


def test_two_different_files_for_one_path_are_a_conflict_that_names_both(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
    tmp_path: Path,
) -> None:
    (tmp_path / "hosts").write_text("ours")
    one = layer("one", {"etc/hosts": a_file(b"theirs")})

    (found,) = refused(
        build,
        layers=[one],
        files=[{"path": "/etc/hosts", "source": str(tmp_path / "hosts"), "mode": "0644"}],
    )

    assert found.code == "OB0608"
    assert "/etc/hosts" in found.message
    assert str(tmp_path / "hosts") in found.notes[0]
    assert "layer `//deb:one`" in found.notes[1]


@pytest.mark.parametrize(
    "other",
    [a_file(b"x", 0o755), a_file(b"y"), symlink(b"x", "test"), directory(0o755, "test")],
)
def test_a_difference_in_anything_is_a_conflict(
    other: Node,
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    layers = [layer("one", {"x": a_file(b"x")}), layer("two", {"x": other})]

    assert [one.code for one in refused(build, layers=layers)] == ["OB0608"]


def test_all_conflicts_are_reported_at_once(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    layers = [
        layer(name, {path: a_file(name.encode()) for path in ("a", "b", "c")})
        for name in ("one", "two")
    ]

    assert len(refused(build, layers=layers)) == 3


def test_the_same_file_in_two_layers_is_no_conflict(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    layers = [layer(name, {"etc/same": a_file(b"same")}) for name in ("one", "two")]

    assert paths(build(layers=layers)) == ["etc", "etc/same"]


def test_a_mode_of_a_directory_that_layers_differ_in_must_be_said(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    layers = [
        layer("one", {"var": directory(0o755, "test")}),
        layer("two", {"var": directory(0o700, "test")}),
    ]
    (found,) = refused(build, layers=layers)
    assert "directories" in found.helps[0]

    tree = build(layers=layers, directories=[{"path": "/var", "mode": "0750"}])
    assert tree.names[b"var"].mode == 0o750


def test_the_order_of_everything_means_nothing(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
    archive_of: Identity,
) -> None:
    both = a_file(b"linked")
    layers = [
        layer("one", {"a": both, "b": both, "lib/x": a_file(b"x")}),
        layer("two", {"a": a_file(b"linked"), "lib/y": a_file(b"y")}),
        layer("three", {"usr/lib/z": a_file(b"z"), "lib": symlink(b"usr/lib", "test")}),
    ]

    identities = {
        archive_of(build(layers=list(order))) for order in itertools.permutations(layers)
    }

    assert len(identities) == 1


def test_what_a_layer_has_in_lib_lands_where_the_symlink_leads(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    old_layout = layer("old", {"lib/x86_64-linux-gnu/libc.so.6": a_file(b"c")})

    tree = build(layers=[old_layout], symlinks=[{"path": "/lib", "target": "usr/lib"}])

    assert tree.names[b"lib"].kind is Kind.SYMLINK
    assert b"usr/lib/x86_64-linux-gnu/libc.so.6" in tree.names


def test_symlinks_that_move_each_other_settle(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    tree = build(
        layers=[layer("x", {"lib/inner/file": a_file(), "a/inner": directory(0o755, "test")})],
        symlinks=[{"path": "/lib", "target": "a"}, {"path": "/a/inner", "target": "/b"}],
    )

    assert paths(tree) == ["a", "a/inner", "b", "b/file", "lib"]


def test_a_loop_of_directory_symlinks_is_refused_in_bounded_time(
    build: Callable[..., Tree],
    layer: Callable[..., dict[str, Any]],
) -> None:
    files = {"l/a": a_file(), "l/b/c": a_file()}

    with pytest.raises(DiagnosticError):
        build(layers=[layer("x", files)], symlinks=[{"path": "/l", "target": "l"}])


def test_a_symlink_out_of_the_root_is_refused(build: Callable[..., Tree]) -> None:
    (found,) = refused(build, symlinks=[{"path": "/bin/x", "target": "../../etc/passwd"}])

    assert found.code == "OB0604"
    assert "/bin/x" in found.message
    assert "`../../etc/passwd`" in found.notes[0]


def test_a_missing_source_is_refused(build: Callable[..., Tree]) -> None:
    (found,) = refused(build, files=[{"path": "/x", "source": "gone", "mode": "0644"}])

    assert found.code == "OB0612"
    assert "`gone`" in found.message


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"version": 2}, "version 2 is not known"),
        ({"fiels": []}, "`fiels` is not a known key; `files` is known"),
        ({"files": {}}, "`files` must be a list"),
        ({"files": [1]}, r"`files\[0\]` must be an object"),
        ({"files": [{"path": "/x"}]}, r"`files\[0\].source` must be a string"),
        (
            {"files": [{"path": "/x", "source": "s", "mode": 493}]},
            r"`files\[0\].mode` must be a string",
        ),
        ({"files": [{"path": "/x", "source": "s", "mode": "0o755"}]}, "octal string"),
        ({"directories": [{"path": "/x", "mode": "17777"}]}, "octal string"),
        ({"directories": [{"path": "/x/../y", "mode": "0755"}]}, "cannot be a path"),
        ({"symlinks": [{"path": "/x", "target": ""}]}, "cannot be a path"),
        (
            {"layers": [{"tar": "x", "include": ["a//b"]}]},
            r"`layers\[0\].include` has the pattern `a//b`",
        ),
        ({"closure": 1}, "`closure` must be true or false"),
        ({"closure_from": [1]}, "`closure_from` must be a list of strings"),
    ],
)
def test_a_wrong_specification_is_refused_with_the_place(
    parts: dict[str, Any],
    why: str,
    build: Callable[..., Tree],
) -> None:
    with pytest.raises(DiagnosticError, match=why):
        build(**parts)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version":1,"version":1}', "[" * 9999, "\xff"])
def test_what_is_no_specification_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(DiagnosticError) as caught:
        read_specification(tmp_path / "spec.json")

    assert caught.value.diagnostics[0].code == "OB0611"
