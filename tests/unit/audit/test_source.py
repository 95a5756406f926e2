"""Sources: what an audit builds is the tree that was named, and nothing that was made from it."""

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from occlum_build.audit.build import machine_downloads
from occlum_build.audit.source import Source
from occlum_build.diagnostic import DiagnosticError
from tests.support.checkout import ROOT


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    for name, text in {
        "WORKSPACE.occlum": "",
        "app/BUILD": "x",
        "app/run.sh": "#!/bin/sh",
        "out/made": "made",
        ".occlum-build/state": "state",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "app/run.sh").chmod(0o755)
    (root / "app/link").symlink_to("BUILD")
    return root


@pytest.fixture
def repository(tree: Path) -> Path:
    git(tree, "init", "-q", "-b", "main")
    (tree / ".gitignore").write_text("/out/\n/.occlum-build/\n")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "first")
    return tree


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


def copied(text: str, here: Path, target: Path, *, backwards: bool = False) -> dict[str, str]:
    Source.find(text, here).copy_to(target, here, backwards=backwards)
    return {
        one.relative_to(target).as_posix(): one.read_text()
        for one in target.rglob("*")
        if one.is_file()
    }


def test_a_directory_is_copied_without_what_was_made_from_it(tree: Path, tmp_path: Path) -> None:
    found = copied(str(tree), tmp_path, tmp_path / "copy")

    assert set(found) == {"WORKSPACE.occlum", "app/BUILD", "app/link", "app/run.sh"}
    assert (tmp_path / "copy/app/link").is_symlink()
    assert (tmp_path / "copy/app/run.sh").stat().st_mode & 0o111
    assert not (tmp_path / "copy/app/BUILD").stat().st_mode & 0o111


def test_what_version_control_ignores_is_left_out_and_new_files_are_not(
    repository: Path, tmp_path: Path
) -> None:
    (repository / "app/new.c").write_text("new")
    (repository / "app/BUILD").write_text("edited")

    found = copied(".", repository, tmp_path / "copy")

    assert found["app/new.c"] == "new"
    assert found["app/BUILD"] == "edited"
    assert not [name for name in found if name.startswith(("out/", ".occlum-build/"))]


def test_a_workspace_that_version_control_ignores_is_copied_all_the_same(
    repository: Path, tmp_path: Path
) -> None:
    inner = repository / "out/inner"
    (inner / "app").mkdir(parents=True)
    (inner / "WORKSPACE.occlum").touch()
    (inner / "app/BUILD").write_text("x")

    found = copied(str(inner), tmp_path, tmp_path / "copy")

    assert found.keys() == {"WORKSPACE.occlum", "app/BUILD"}


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("text", [".", "HEAD"])
def test_nothing_that_was_made_is_a_source_though_version_control_takes_it_for_one(
    tree: Path, tmp_path: Path, text: str, *, is_committed: bool
) -> None:
    git(tree, "init", "-q", "-b", "main")
    (tree / "app/out").mkdir()
    (tree / "app/out/source.c").touch()
    git(tree, "add", *(["."] if is_committed else ["app", "WORKSPACE.occlum"]))
    git(tree, "commit", "-q", "-m", "first")

    found = copied(text, tree, tmp_path / "copy")

    named = {"WORKSPACE.occlum", "app/BUILD", "app/link", "app/run.sh", "app/out/source.c"}
    assert found.keys() == named


def test_a_link_at_the_place_of_outputs_is_no_source(tree: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    (tree / "out").rename(made)
    (tree / "out").symlink_to(made)
    git(tree, "init", "-q", "-b", "main")
    git(tree, "add", "-A")
    git(tree, "commit", "-q", "-m", "first")

    for number, text in enumerate((".", "HEAD")):
        copied(text, tree, tmp_path / f"copy{number}")
        assert not (tmp_path / f"copy{number}/out").exists()


def test_a_directory_of_sources_may_have_the_name_of_that_of_outputs(
    tree: Path, tmp_path: Path
) -> None:
    (tree / "app/out").mkdir()
    (tree / "app/out/source.c").touch()

    assert "app/out/source.c" in copied(str(tree), tmp_path, tmp_path / "copy")


def test_a_commit_is_what_was_committed(repository: Path, tmp_path: Path) -> None:
    (repository / "app/BUILD").write_text("edited")

    found = copied("main", repository, tmp_path / "copy")

    assert found["app/BUILD"] == "x"
    assert (tmp_path / "copy/app/run.sh").stat().st_mode & 0o111
    assert (tmp_path / "copy/app/link").is_symlink()


def test_a_commit_is_found_from_a_directory_below(repository: Path, tmp_path: Path) -> None:
    assert "app/BUILD" in copied("HEAD", repository / "app", tmp_path / "copy")


def test_the_copy_is_the_same_whatever_the_order(repository: Path, tmp_path: Path) -> None:
    for number, text in enumerate((".", "HEAD")):
        forwards = copied(text, repository, tmp_path / f"a{number}")
        assert copied(text, repository, tmp_path / f"b{number}", backwards=True) == forwards


@pytest.mark.parametrize("text", ["nowhere", "--help", "HEAD:app", "main~7"])
def test_what_is_neither_a_directory_nor_a_commit_is_refused(repository: Path, text: str) -> None:
    with pytest.raises(DiagnosticError, match="OB0810"):
        Source.find(text, repository)


def test_outside_of_a_repository_there_is_no_commit(tree: Path) -> None:
    with pytest.raises(DiagnosticError, match="OB0810"):
        Source.find("main", tree)


def test_a_directory_that_is_no_workspace_is_refused(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="OB0811"):
        copied(str(tree / "app"), tmp_path, tmp_path / "copy")


def test_a_directory_that_is_no_workspace_is_not_copied(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError):
        copied("/proc", tree, tmp_path / "copy")

    assert not (tmp_path / "copy").exists()


def test_a_file_that_cannot_be_read_is_named(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        del target
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(source))

    monkeypatch.setattr(shutil, "copyfile", refuse)

    with pytest.raises(DiagnosticError) as raised:
        copied(str(tree), tree, tmp_path / "copy")

    assert raised.value.diagnostics[0].code == "OB0810"
    assert "cannot be read: Invalid argument" in raised.value.diagnostics[0].message


def test_downloads_are_those_of_the_workspace_here(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OCCLUM_BUILD_CACHE", raising=False)

    assert machine_downloads(tree / "app") == tree / ".occlum-build"
    assert machine_downloads(tmp_path) == ROOT / ".occlum-build"
    monkeypatch.setenv("OCCLUM_BUILD_CACHE", "/elsewhere")
    assert machine_downloads(tree) == Path("/elsewhere")
