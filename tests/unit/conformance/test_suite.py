"""What a suite is, and what its root file system holds."""

import shutil
from pathlib import Path

import pytest

from occlum_build.conformance.suite import Suite, find_programs
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
