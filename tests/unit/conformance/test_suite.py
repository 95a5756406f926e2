"""What a suite is, and what its root file system holds."""

import shutil
from pathlib import Path

import pytest

from occlum_build.conformance.suite import Suite, find_programs, interpreters
from occlum_build.conformance.tree import write_tree
from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.archive import read_archive
from occlum_build.fs.tree import Kind


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """A program, a script, a library and data."""
    folder = tmp_path / "suite"
    (folder / "more").mkdir(parents=True)
    shutil.copy("/bin/true", folder / "more/true")
    shutil.copy("/bin/true", folder / "libx.so.1")
    (folder / "script").write_text("#!/bin/sh\n")
    (folder / "script").chmod(0o755)
    (folder / "notes.txt").write_text("read me")
    (folder / "run-me.txt").write_text("no program")
    (folder / "run-me.txt").chmod(0o755)
    (folder / "link").symlink_to("script")
    return Suite(folder)


def test_programs_are_executable_elf_files_and_scripts(suite: Suite) -> None:
    assert find_programs(suite.directory, ["*"]) == ("more/true", "script")
    assert find_programs(suite.directory, ["more/*"]) == ("more/true",)


def test_a_suite_without_a_matching_program_is_refused(suite: Suite) -> None:
    with pytest.raises(DiagnosticError) as caught:
        find_programs(suite.directory, ["none*"])

    assert [one.code for one in caught.value.diagnostics] == ["OB0701"]


@pytest.mark.parametrize("name", ["new\nline", "bad\udcffname"])
def test_a_program_whose_name_is_no_line_is_refused(suite: Suite, name: str) -> None:
    shutil.copy("/bin/true", suite.directory / name)

    with pytest.raises(DiagnosticError, match="no line of a list"):
        find_programs(suite.directory, ["*"])

    assert find_programs(suite.directory, ["more/*"]) == ("more/true",)


def test_a_copy_lies_at_the_path_of_the_enclave_and_goes_away(suite: Suite) -> None:
    with suite.copied():
        assert (suite.root / "notes.txt").read_text() == "read me"
        assert (suite.root / "link").is_symlink()
        with pytest.raises(DiagnosticError) as caught, suite.copied():
            pytest.fail("two runs at one path")

    assert [one.code for one in caught.value.diagnostics] == ["OB0704"]
    assert not suite.root.exists()


def test_what_a_killed_run_left_behind_goes_away(suite: Suite) -> None:
    suite.root.mkdir()
    (suite.root / "left").write_text("by a killed run")

    with suite.copied():
        assert sorted(one.name for one in suite.root.iterdir()) == sorted(
            one.name for one in suite.directory.iterdir()
        )

    assert not suite.root.exists()


def test_a_link_at_the_path_of_the_copy_is_not_followed(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    suite.root.symlink_to(tmp_path / "other")
    try:
        with pytest.raises(DiagnosticError) as caught, suite.copied():
            pytest.fail("a copy behind a link")
    finally:
        suite.root.unlink()

    assert [one.code for one in caught.value.diagnostics] == ["OB0704"]


def test_a_copy_is_restored_to_what_it_was(suite: Suite) -> None:
    with suite.copied():
        assert not suite.is_touched()
        (suite.root / "notes.txt").write_text("spoilt")
        (suite.root / "more/true").unlink()
        (suite.root / "made").mkdir()

        assert suite.is_touched()
        suite.restore()

        assert not suite.is_touched()
        assert (suite.root / "notes.txt").read_text() == "read me"
        assert (suite.root / "more/true").is_file()
        assert not (suite.root / "made").exists()


def test_interpreters_are_those_that_scripts_name_and_the_host_has(suite: Suite) -> None:
    lines = {"a": "#!/usr/bin/env -S sed -f", "b": "#! /bin/cat -u", "c": "#!/no/such", "d": "#!"}
    for name, line in lines.items():
        (suite.directory / name).write_text(f"{line}\n")
        (suite.directory / name).chmod(0o755)

    found = interpreters(suite.directory, "/usr/bin:/bin")

    assert found == ("/usr/bin/env", "/usr/bin/sed", "/bin/cat", "/bin/sh")


def test_a_directory_may_be_a_tool(suite: Suite, tmp_path: Path) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/deep/file").write_text("read by a program")

    write_tree(suite, [str(tmp_path / "data")], tmp_path / "tree.tar")

    names = {path.decode(): node for path, node in read_archive(tmp_path / "tree.tar")}
    assert names[f"{str(tmp_path)[1:]}/data/deep/file"].kind is Kind.FILE


def test_the_tree_holds_the_suite_its_tools_and_the_libraries_of_both(
    suite: Suite, tmp_path: Path
) -> None:
    write_tree(suite, ["/bin/sh"], tmp_path / "tree.tar")

    names = {path.decode(): node for path, node in read_archive(tmp_path / "tree.tar")}
    root = str(suite.root)[1:]
    assert {f"{root}/more/true", f"{root}/notes.txt", f"{root}/link"} <= names.keys()
    assert any(Path(name).name == "libc.so.6" for name in names)
    assert any(Path(name).name.startswith("ld-linux") for name in names)
    shell = Path("/bin/sh").resolve()
    assert names[str(shell)[1:]].kind is Kind.FILE
    assert names["tmp"].mode == 0o1777


def test_a_tool_that_the_host_lacks_is_refused(suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as caught:
        write_tree(suite, ["/bin/no-such-tool"], tmp_path / "tree.tar")

    assert [one.code for one in caught.value.diagnostics] == ["OB0703"]
    assert not (tmp_path / "tree.tar").exists()
