"""The closure inside a specification: what is taken from where, on a real C library."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.archive import write_archive
from occlum_build.fs.content import HostContent
from occlum_build.fs.rootfs import assemble
from occlum_build.fs.specification import read_specification
from occlum_build.fs.tree import Tree, regular_file, symlink

Judge = Callable[..., subprocess.CompletedProcess[bytes]]
LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
LOADER = "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"

pytestmark = pytest.mark.skipif(
    not (Path(LIBC).exists() and Path(LOADER).exists()),
    reason="this machine has no glibc in Debian's directories",
)


def from_host(path: str) -> Any:
    real = os.path.realpath(path)
    return regular_file(0o755, HostContent(real.encode(), Path(real).stat().st_size), "host")


@pytest.fixture
def libc_tar(tmp_path: Path) -> str:
    """Like Debian 12's libc6: files below /lib, the loader's symlink in /lib64."""
    tree = Tree(
        [
            (LIBC[1:].encode(), from_host(LIBC)),
            (LOADER[1:].encode(), from_host(LOADER)),
            (b"lib64/ld-linux-x86-64.so.2", symlink(LOADER.encode(), "host")),
            (b"lib/x86_64-linux-gnu/libunused.so", from_host(LIBC)),
        ],
    )
    with (tmp_path / "libc.tar").open("wb") as file:
        write_archive(tree, file)
    return str(tmp_path / "libc.tar")


@pytest.fixture
def build(tmp_path: Path, judge: Judge) -> Callable[..., Tree]:
    (tmp_path / "main.c").write_text('#include <stdio.h>\nint main(void) { puts("hi"); }\n')
    judge("gcc", "-o", tmp_path / "main", tmp_path / "main.c")

    def run(**parts: Any) -> Tree:
        files = [{"path": "/bin/main", "source": str(tmp_path / "main"), "mode": "0755"}]
        specification = {"version": 1, "label": "//x:y", "files": files, "closure": True}
        (tmp_path / "spec.json").write_text(json.dumps(specification | parts))
        return assemble(read_specification(tmp_path / "spec.json"))

    return run


def test_only_what_the_program_needs_is_taken(build: Callable[..., Tree], libc_tar: str) -> None:
    tree = build(closure_from=[libc_tar])

    assert [path.decode() for path in tree.names if path] == [
        "bin",
        "bin/main",
        "lib",
        "lib/x86_64-linux-gnu",
        "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "lib/x86_64-linux-gnu/libc.so.6",
        "lib64",
        "lib64/ld-linux-x86-64.so.2",
    ]


def test_libraries_land_where_the_trees_own_symlinks_lead(
    build: Callable[..., Tree],
    libc_tar: str,
) -> None:
    links = [{"path": f"/{name}", "target": f"usr/{name}"} for name in ("lib", "lib64")]

    tree = build(closure_from=[libc_tar], symlinks=links)

    assert b"usr/lib/x86_64-linux-gnu/libc.so.6" in tree.names
    assert b"usr/lib64/ld-linux-x86-64.so.2" in tree.names
    assert not [path for path in tree.names if path.startswith(b"lib/")]


def test_libraries_are_found_through_a_symlink_that_another_package_has(
    build: Callable[..., Tree],
    libc_tar: str,
    tmp_path: Path,
) -> None:
    links = Tree(
        [(b"lib", symlink(b"usr/lib", "host")), (b"lib64", symlink(b"usr/lib64", "host"))]
    )
    with (tmp_path / "base.tar").open("wb") as file:
        write_archive(links, file)

    tree = build(closure_from=[libc_tar, str(tmp_path / "base.tar")])

    assert tree.names[b"lib"].target == b"usr/lib"
    assert b"usr/lib/x86_64-linux-gnu/libc.so.6" in tree.names
    assert b"usr/lib64/ld-linux-x86-64.so.2" in tree.names


def test_two_packages_with_different_libraries_for_one_path_are_a_conflict(
    build: Callable[..., Tree],
    libc_tar: str,
    tmp_path: Path,
) -> None:
    other = Tree([(LIBC[1:].encode(), from_host(LOADER))])
    with (tmp_path / "other.tar").open("wb") as file:
        write_archive(other, file)

    with pytest.raises(DiagnosticError) as caught:
        build(closure_from=[libc_tar, str(tmp_path / "other.tar")])

    (found,) = caught.value.diagnostics
    assert found.code == "OB0608"
    assert LIBC in found.message


def test_the_program_runs_in_its_root(
    build: Callable[..., Tree],
    libc_tar: str,
    tmp_path: Path,
    judge: Judge,
) -> None:
    if os.geteuid():
        pytest.skip("chroot needs root")
    with (tmp_path / "root.tar").open("wb") as file:
        write_archive(build(closure_from=[libc_tar]), file)
    (tmp_path / "root").mkdir()
    judge("tar", "-xf", tmp_path / "root.tar", "-C", tmp_path / "root")

    assert judge("chroot", tmp_path / "root", "/bin/main").stdout == b"hi\n"


def test_without_its_library_the_program_is_refused(build: Callable[..., Tree]) -> None:
    with pytest.raises(DiagnosticError) as caught:
        build(closure_from=[])

    messages = [one.message for one in caught.value.diagnostics]
    assert messages == [
        "no dynamic loader `/lib64/ld-linux-x86-64.so.2` for `/bin/main`",
        "no library `libc.so.6` for `/bin/main`",
    ]


def test_without_closure_nothing_is_looked_at(build: Callable[..., Tree]) -> None:
    assert len(build(closure=False)) == 3


def test_a_broken_program_is_refused(
    build: Callable[..., Tree], libc_tar: str, tmp_path: Path
) -> None:
    (tmp_path / "main").write_bytes((tmp_path / "main").read_bytes()[:1000])

    with pytest.raises(DiagnosticError, match="`/bin/main` is a broken ELF file"):
        build(closure_from=[libc_tar])
