"""Pass lists only grow."""

from pathlib import Path

import pytest

from occlum_build.conformance.pass_list import compare, head_of, read, text, without_program
from occlum_build.conformance.verdict import Case, Verdict
from occlum_build.diagnostic import DiagnosticError


def test_a_list_is_read_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "pass.list"
    path.write_text(text(["# why"], ["b::X", "a", "a"]))

    assert path.read_text() == "# why\na\nb::X\n"
    assert read(path) == {"a", "b::X"}
    assert head_of(path) == ("# why",)


def test_a_list_that_is_not_there_names_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == frozenset()


def test_a_case_that_is_named_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "pass.list").write_text("# why\n\na\nb\na\n")

    with pytest.raises(DiagnosticError) as caught:
        read(tmp_path / "pass.list")

    (problem,) = caught.value.diagnostics
    assert (problem.code, str(problem.span)) == ("OB0702", f"{tmp_path}/pass.list:5:1")


def test_what_no_longer_passes_is_lost_and_what_passes_now_is_gained() -> None:
    cases = [
        Case("kept", Verdict.PASSED),
        Case("broken", Verdict.FAILED, "status 1"),
        Case("unjudged", Verdict.NO_JUDGE),
        Case("new", Verdict.PASSED),
        Case("never", Verdict.FAILED),
    ]

    ratchet = compare(frozenset({"kept", "broken", "unjudged", "not run"}), cases)

    assert [case.name for case in ratchet.lost] == ["broken", "unjudged"]
    assert ratchet.gained == ("new",)


def test_a_case_whose_program_is_gone_is_found() -> None:
    known = frozenset({"a", "b::X.y", "c::X.y", "d/e"})

    assert without_program(known, ["a", "b"]) == ("c::X.y", "d/e")
