import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.diagnostic import Diagnostic, DiagnosticError
from occlum_build.fs.__main__ import main
from occlum_build.fs.archive import read_archive
from occlum_build.fs.packages import package_layers
from occlum_build.fs.specification import read_specification
from occlum_build.fs.tree import Tree

Package = Callable[..., Path]
Build = Callable[..., Tree]


@pytest.fixture
def package(tmp_path: Path) -> Package:
    """Makes packages that `dpkg-deb` built, in a directory of their own."""

    def make(name: str, files: dict[str, str], called: str | None = None) -> Path:
        folder = tmp_path / f"{name}.source"
        (folder / "DEBIAN").mkdir(parents=True)
        (folder / "DEBIAN/control").write_text(
            f"Package: {called or name}\nVersion: 1\nArchitecture: all\n"
            "Maintainer: n <n@e.org>\nDescription: one\n"
        )
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for directory in (folder, *(one for one in folder.rglob("*") if one.is_dir())):
            directory.chmod(0o755)
        (tmp_path / "debs").mkdir(exist_ok=True)
        words: list[str | Path] = [
            "dpkg-deb",
            "--build",
            "--root-owner-group",
            folder,
            tmp_path / f"debs/{name}.deb",
        ]
        subprocess.run(words, check=True, capture_output=True)
        return tmp_path / f"debs/{name}.deb"

    return make


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Runs `rootfs` on the packages that there are."""

    def run(**parts: Any) -> Tree:
        spec = {"version": 1, "label": "//app:debian", "debs": f"{tmp_path}/debs"} | parts
        (tmp_path / "spec.json").write_text(json.dumps(spec))
        words = ["--spec", f"{tmp_path}/spec.json", "--output", f"{tmp_path}/out.tar"]
        assert main(["rootfs", *words]) == 0
        return read_archive(tmp_path / "out.tar")

    return run


def text_at(tree: Tree, path: str) -> str:
    node = tree.names[path.encode()]
    assert node.content is not None
    return node.content.read(0, node.size).decode()


def refusal_of(tmp_path: Path) -> tuple[Diagnostic, ...]:
    (tmp_path / "spec.json").write_text(json.dumps({"version": 1, "debs": f"{tmp_path}/debs"}))
    with pytest.raises(DiagnosticError) as caught:
        package_layers(read_specification(tmp_path / "spec.json"), tmp_path)
    return caught.value.diagnostics


def test_packages_become_one_tree_below_the_links_of_a_merged_usr(
    package: Package, build: Build
) -> None:
    package("shell", {"bin/sh": "shell", "usr/share/doc/shell/copyright": "free"})
    package("tools", {"usr/bin/ls": "list", "lib/libc.so": "library"})

    tree = build(
        symlinks=[{"path": "/bin", "target": "usr/bin"}, {"path": "/lib", "target": "usr/lib"}],
        debs_exclude=["usr/share/doc"],
    )

    assert [path.decode() for path in tree.names if path] == [
        *("bin", "lib", "usr", "usr/bin", "usr/bin/ls", "usr/bin/sh"),
        *("usr/lib", "usr/lib/libc.so", "usr/share"),
    ]


def test_a_copy_is_a_file_of_its_own_with_the_same_content(package: Package, build: Build) -> None:
    package("base", {"usr/share/passwd.master": "root:x:0:0\n", "etc/issue": "Debian"})

    tree = build(
        copies=[{"path": "/etc/passwd", "of": "/share/passwd.master"}],
        symlinks=[{"path": "/share", "target": "usr/share"}],
    )

    assert text_at(tree, "etc/passwd") == "root:x:0:0\n"
    assert tree.names[b"etc/passwd"] is not tree.names[b"usr/share/passwd.master"]


@pytest.mark.parametrize(
    ("path", "of", "message"),
    [
        ("/etc/a", "/etc/none", "`/etc/a` cannot be a copy of `/etc/none`: there is no such file"),
        ("/etc/a", "/etc", "`/etc/a` cannot be a copy of `/etc`: there is no such file"),
        ("/etc/issue", "/etc/issue", "two different things for `/etc/issue`"),
    ],
)
def test_a_copy_of_nothing_or_over_something_is_refused(
    package: Package, tmp_path: Path, capfd: pytest.CaptureFixture[str], path: str, of: str,
    message: str,
) -> None:  # fmt: skip
    package("base", {"etc/issue": "Debian"})
    spec = {"version": 1, "debs": f"{tmp_path}/debs", "copies": [{"path": path, "of": of}]}
    (tmp_path / "spec.json").write_text(json.dumps(spec))

    status = main(["rootfs", "--spec", f"{tmp_path}/spec.json", "--output", f"{tmp_path}/out.tar"])

    assert status == 2
    assert message in capfd.readouterr().err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["base.source", "debs", "spec.json"]


def test_two_packages_with_different_files_at_one_path_are_a_conflict(
    package: Package, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    package("one", {"etc/issue": "1"})
    package("two", {"etc/issue": "2"})
    (tmp_path / "spec.json").write_text(json.dumps({"version": 1, "debs": f"{tmp_path}/debs"}))

    words = ["--spec", f"{tmp_path}/spec.json", "--output", f"{tmp_path}/out.tar"]
    assert main(["rootfs", *words]) == 2

    shown = capfd.readouterr().err
    assert "two different things for `/etc/issue`" in shown
    assert "from layer `one`" in shown
    assert "from layer `two`" in shown


def test_a_package_that_calls_itself_otherwise_is_refused(
    package: Package, tmp_path: Path
) -> None:
    package("shell", {"bin/sh": ""}, called="trojan")

    assert [one.code for one in refusal_of(tmp_path)] == ["OB0607"]


def test_a_file_that_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "debs").mkdir()
    (tmp_path / "debs/README").write_text("hello")

    assert [one.code for one in refusal_of(tmp_path)] == ["OB0606"]


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert [one.code for one in refusal_of(tmp_path)] == ["OB0612"]


def test_the_umask_changes_nothing(package: Package, build: Build, tmp_path: Path) -> None:
    package("shell", {"bin/sh": "shell"})
    build()
    usual = (tmp_path / "out.tar").read_bytes()

    before = os.umask(0o077)
    try:
        build()
    finally:
        os.umask(before)

    assert (tmp_path / "out.tar").read_bytes() == usual
