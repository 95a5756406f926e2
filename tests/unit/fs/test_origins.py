"""Origins: each file of a tree is traced to the package or the rule that it came from."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.__main__ import main
from occlum_build.fs.archive import write_archive
from occlum_build.fs.content import BytesContent
from occlum_build.fs.origins import read_origins, render_origins
from occlum_build.fs.tree import Tree, directory, regular_file, symlink
from tests.support.shared_object import elf, program


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def debian_package(tmp_path: Path) -> Path:
    """A package that `dpkg-deb` built."""
    source = tmp_path / "source"
    (source / "DEBIAN").mkdir(parents=True, mode=0o755)
    (source / "DEBIAN/control").write_text(
        "Package: tool\nVersion: 1.0-1\nArchitecture: amd64\n"
        "Maintainer: n <n@e.org>\nDescription: one\n"
    )
    (source / "usr/bin").mkdir(parents=True)
    (source / "usr/bin/tool").write_bytes(b"tool")
    package = tmp_path / "tool.deb"
    words: list[str | Path] = ["dpkg-deb", "--build", "--root-owner-group", source, package]
    subprocess.run(words, check=True, capture_output=True)
    return package


def tar(name: str, *paths: str, data: bytes = b"x") -> str:
    tree = Tree((one.encode(), regular_file(0o644, BytesContent(data), "test")) for one in paths)
    with Path(name).open("wb") as file:
        write_archive(tree, file)
    return name


def rootfs(**parts: Any) -> dict[str, Any]:
    spec = {"version": 1, "label": "//app:rootfs"} | parts
    Path("spec.json").write_text(json.dumps(spec))
    words = ["--spec", "spec.json", "--output", "out.tar", "--origins", "out.json"]
    assert main(["rootfs", *words]) == 0
    found = read_origins(Path("out.json"))
    return {path.decode(): dict(origin) for path, origin in found.items()}


def test_a_package_says_its_name_version_and_digest_of_each_file(debian_package: Path) -> None:
    words = ["--output", "a.tar", "--origins", "a.json"]
    assert main(["unpack-deb", str(debian_package), *words]) == 0

    found = read_origins(Path("a.json"))

    digest = hashlib.sha256(debian_package.read_bytes()).hexdigest()
    assert set(found) == {b"usr/bin/tool"}
    assert found[b"usr/bin/tool"]["deb"] == {
        "package": "tool",
        "version": "1.0-1",
        "architecture": "amd64",
        "sha256": digest,
    }


def test_a_tar_of_another_program_is_the_origin_of_what_is_in_it() -> None:
    tar("theirs.tar", "etc/a")
    words = ["theirs.tar", "--output", "ours.tar", "--origins", "ours.json"]
    assert main(["import-tar", *words]) == 0

    assert read_origins(Path("ours.json")) == {b"etc/a": {"file": "theirs.tar"}}


def test_a_file_of_a_rule_has_the_origin_that_the_rule_gave() -> None:
    Path("hello").write_bytes(b"hello")

    found = rootfs(
        files=[{"path": "/bin/hello", "source": "hello", "origin": {"label": "//app:hello"}}],
        symlinks=[{"path": "/bin/sh", "target": "hello"}],
    )

    assert found == {"bin/hello": {"label": "//app:hello"}, "bin/sh": {"label": "//app:rootfs"}}


def test_origins_of_a_layer_go_through_to_the_whole() -> None:
    tar("layer.tar", "etc/a", "etc/b")
    origins = {
        "version": 1,
        "origins": [{"deb": {"package": "a"}}, {"deb": {"package": "b"}}],
        "files": {"etc/a": 0, "etc/b": 1},
    }
    Path("layer.json").write_text(json.dumps(origins))

    found = rootfs(
        layers=[{"tar": "layer.tar", "label": "//deb:both"}], origins={"layer.tar": "layer.json"}
    )

    assert {path: one["deb"]["package"] for path, one in found.items()} == {
        "etc/a": "a",
        "etc/b": "b",
    }


def test_a_layer_that_says_nothing_is_named_by_its_label() -> None:
    tar("layer.tar", "etc/a")

    found = rootfs(layers=[{"tar": "layer.tar", "label": "//mine:layer"}])

    assert found == {"etc/a": {"label": "//mine:layer"}}


def test_a_library_that_a_program_needs_is_traced_to_its_package() -> None:
    Path("app").write_bytes(program("libx.so.1"))
    deb = {"deb": {"package": "libx"}}
    names = ("lib/libx.so.1", "lib/unused.so", "lib64/ld-linux-x86-64.so.2")
    tar("libs.tar", *names, data=elf())
    document = {"version": 1, "origins": [deb], "files": dict.fromkeys(names, 0)}
    Path("libs.json").write_text(json.dumps(document))

    found = rootfs(
        files=[{"path": "/bin/app", "source": "app", "origin": {"label": "//app"}}],
        closure=True,
        closure_from=["libs.tar"],
        origins={"libs.tar": "libs.json"},
    )

    assert found["lib/libx.so.1"] == deb
    assert "lib/unused.so" not in found


def test_origins_are_the_same_bytes_whatever_the_order_of_the_tree() -> None:
    def node(name: str) -> Any:
        return regular_file(0o644, BytesContent(b""), "test", {"label": name})

    entries = [(b"b", node("two")), (b"a", node("one")), (b"d", directory(0o755, "test"))]
    link = (b"l", symlink(b"a", "test"))

    one = render_origins(Tree([*entries, link]), {"label": "rest"})
    other = render_origins(Tree([link, *reversed(entries)]), {"label": "rest"})

    assert one == other
    assert json.loads(one)["files"] == {"a": 0, "b": 2, "l": 1}


def test_names_that_are_not_utf_8_come_back(tmp_path: Path) -> None:
    tree = Tree([(b"\xff\xfe", regular_file(0o644, BytesContent(b""), "test", {"label": "x"}))])
    (tmp_path / "o.json").write_bytes(render_origins(tree, {}))

    assert read_origins(tmp_path / "o.json") == {b"\xff\xfe": {"label": "x"}}


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"version":2}', '{"version":1,"origins":[1],"files":{}}',
     '{"version":1,"origins":[],"files":{"a":0}}', '{"version":1,"origins":{},"files":[]}'],
)  # fmt: skip
def test_what_is_no_origins_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "o.json").write_text(text)

    with pytest.raises(DiagnosticError, match="OB0611"):
        read_origins(tmp_path / "o.json")
