"""What each verb does, on a real workspace."""

import json
import time

import pytest

from tests.support.workspace import Workspace

FAILED = 1
WRONG_INPUT = 2

JUNIT = """<testsuites><testsuite><testcase name='a'/><testcase name='b'><failure/></testcase>
<testcase name='c'><skipped/></testcase></testsuite></testsuites>"""


@pytest.fixture
def tests(workspace: Workspace) -> Workspace:
    workspace.build_file(
        """
shell_test(name = "good", data = ["d"], cmd = "cat $IN")
shell_test(name = "bad", cmd = "echo it is bad; exit 4", tags = ["manual", "red"])
"""
    )
    workspace.write("app/d", "")
    return workspace


def test_a_build_shows_what_targets_report(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "m", outs = ["m"], cmd = "echo MRENCLAVE 00ff > $OUT", report = True)'
    )

    assert workspace.build("//app:m").out == "MRENCLAVE 00ff\nbuilt 1 target\n"


def test_the_last_line_of_test_counts(tests: Workspace) -> None:
    outcome = tests.run("test", "//...", "//app:bad")

    assert outcome.status == FAILED
    assert outcome.out.splitlines()[-1] == "1 passed, 1 failed"
    assert "FAIL //app:bad (status 4" in outcome.out
    assert "it is bad" in outcome.out


@pytest.mark.parametrize(
    ("words", "good", "bad"),
    [
        ([], False, True),
        (["--test-output=errors"], False, True),
        (["--test_output=summary"], False, False),
        (["--test_output", "all", "--keep_going"], True, True),
    ],
)
def test_logs_are_shown_of_those_tests_that_are_asked_for(
    tests: Workspace, words: list[str], *, good: bool, bad: bool
) -> None:
    tests.write("app/d", "what good says\n")

    for _ in range(2):
        outcome = tests.run("test", *words, "//...", "//app:bad")

        assert outcome.status == FAILED
        assert ("    what good says\n" in outcome.out) == good
        assert ("    it is bad\n" in outcome.out) == bad
        assert "(log: out/default/testlogs/app/bad/test.log)" in outcome.out


def test_what_failed_comes_last(tests: Workspace) -> None:
    outcome = tests.run("test", "//...", "//app:bad")

    assert outcome.out.index("PASS //app:good") < outcome.out.index("FAIL //app:bad")


def test_a_passed_test_is_remembered_until_an_input_changes(tests: Workspace) -> None:
    tests.run("test", "//app:good")

    assert "PASS //app:good (remembered)" in tests.run("test", "//app:good", "-k").out
    tests.write("app/d", "changed")
    assert "remembered" not in tests.run("test", "//app:good").out


def test_a_failed_test_runs_again(tests: Workspace) -> None:
    tests.run("test", "//app:bad")

    assert "remembered" not in tests.run("test", "//app:bad").out


def test_a_test_that_proves_nothing_for_later_runs_each_time(workspace: Workspace) -> None:
    workspace.build_file('shell_test(name = "t", cmd = "true", remembered = False)')
    workspace.run("test", "//app:t")

    assert "remembered" not in workspace.run("test", "//app:t").out


def test_cases_are_counted_from_junit(workspace: Workspace) -> None:
    workspace.write("app/junit", JUNIT)
    workspace.build_file(
        'shell_test(name = "t", data = ["junit"], junit = "r.xml", cmd = "cp $IN r.xml; exit 1")'
    )

    assert workspace.run("test", "//app:t").out.splitlines()[-1] == "1 passed, 1 failed, 1 skipped"


def test_a_test_that_dies_before_it_reports_has_failed(workspace: Workspace) -> None:
    workspace.build_file('shell_test(name = "t", junit = "r.xml", cmd = "exit 9")')

    outcome = workspace.run("test", "//app:t")

    assert (outcome.status, outcome.out.splitlines()[-1]) == (FAILED, "0 passed, 1 failed")


def test_a_test_whose_input_cannot_be_built_has_failed(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "x", outs = ["x"], cmd = "false")\n'
        'shell_test(name = "t", data = [":x"], cmd = "true")\n'
        'shell_test(name = "u", cmd = "true")'
    )

    outcome = workspace.run("test", "//...")

    assert outcome.status == FAILED
    assert "FAIL //app:t (not built" in outcome.out
    assert outcome.out.splitlines()[-1] == "1 passed, 1 failed"
    assert "OB0401" in outcome.err


def test_a_test_that_hangs_has_failed(workspace: Workspace) -> None:
    workspace.build_file('shell_test(name = "t", timeout = 1, cmd = "sleep 99")')

    assert "its time of 1 s is over" in workspace.run("test", "//app:t").out


def test_tags_choose_tests(tests: Workspace) -> None:
    assert tests.run("test", "//app:good", "//app:bad", "--tag", "red").out.startswith("FAIL")


def test_run_becomes_the_program_with_its_arguments(workspace: Workspace) -> None:
    workspace.build_file('write(name = "w", text = "text")\n' + _RUNNABLE)
    other = workspace.write("other", "more")

    outcome = workspace.run("run", "//app:r", "--", str(other))

    assert (outcome.status, outcome.out) == (0, "made\nmore")


def test_run_twice_says_the_same(workspace: Workspace) -> None:
    workspace.build_file(_RUNNABLE)
    first = workspace.run("run", "//app:r")
    time.sleep(0.1)

    assert workspace.run("run", ":r", directory="app").out == first.out
    assert workspace.run("run", "//app:r").out == first.out


def test_what_cannot_be_run_is_refused(tests: Workspace) -> None:
    outcome = tests.run("run", "//app:good")

    assert outcome.status == WRONG_INPUT
    assert "error[OB0335]: `//app:good` cannot be run" in outcome.err


def test_what_does_not_know_an_option_is_not_given_it(workspace: Workspace) -> None:
    workspace.build_file(_RUNNABLE)

    outcome = workspace.run("run", "--trace", "//app:r")

    assert outcome.status == WRONG_INPUT
    assert "error[OB0336]: `//app:r` cannot be debugged with `--trace`" in outcome.err


def test_query_answers_without_building(tests: Workspace) -> None:
    tests.build_file('shell(name = "x", srcs = ["d"], outs = ["x"], cmd = "")\n' + _RUNNABLE)

    assert tests.run("query", "//...").out == "//app:r\n//app:x\n"
    assert tests.run("query", "deps(//app:x)").out == "//app:d\n//app:x\n"
    assert tests.run("query", "rdeps(//..., //app:d)").out == "//app:d\n//app:x\n"
    assert tests.run("query", "path(//app:x, //app:d)").out == "//app:x\n//app:d\n"
    (facts,) = json.loads(tests.run("query", "//app:x", "--output=json").out)
    assert facts["kind"] == "shell"
    assert facts["location"] == "app/BUILD:2:1"
    assert not (tests.root / "out").exists()


def test_clean_deletes_what_was_made(workspace: Workspace) -> None:
    workspace.build_file(_RUNNABLE)
    workspace.build("//...")

    assert workspace.run("clean").status == 0
    assert not (workspace.root / "out").exists()
    assert workspace.executed("//...") == ["Shell //app:r"]


def test_clean_leaves_a_directory_of_the_user_alone(workspace: Workspace) -> None:
    mine = workspace.write("out/report.txt", "mine")

    outcome = workspace.run("clean")

    assert outcome.status == 2
    assert "error[OB0130]: `out` holds what occlum-build did not make" in outcome.err
    assert mine.read_text() == "mine"


def test_clean_of_a_configuration_leaves_the_others(workspace: Workspace) -> None:
    workspace.write("WORKSPACE.occlum", "configurations: {default: {}, other: {}}")
    workspace.build_file(_RUNNABLE)
    workspace.build("//...")
    workspace.build("//...", "-c", "other")

    assert workspace.run("clean", "-c", "other").status == 0
    assert not (workspace.root / "out/other").exists()
    assert (workspace.root / "out/default").exists()
    for option in ("-k", "-j2", "--key=a=b"):
        assert workspace.run("clean", option).status == 2


def test_clean_expunge_leaves_downloads_alone_and_says_what_it_freed(workspace: Workspace) -> None:
    workspace.build_file(_RUNNABLE)
    workspace.build("//...")
    kept = workspace.write(".occlum-build/sha256/0", "fetched")
    workspace.write(".occlum-build/cargo/work/large", "x" * (3 << 20))

    said = workspace.run("clean", "--expunge")

    assert (said.status, said.err) == (0, "")
    assert said.out.startswith("deleted 3.")
    state = kept.parents[1]
    assert sorted(one.name for one in state.iterdir()) == ["actions.lock", "lock", "sha256"]


def test_patterns_are_read_where_the_user_is(workspace: Workspace) -> None:
    workspace.build_file(_RUNNABLE, "a/b")

    for pattern in ("...", ":r", "r", ":all", "//a/b:all", "//a/...", "//a/b:r"):
        assert workspace.run("build", pattern, directory="a/b").status == 0, pattern
    assert workspace.run("build", "b:r", directory="a").status == 0


def test_a_pattern_can_leave_targets_out(workspace: Workspace) -> None:
    workspace.build_file('write(name = "a", text = "")\nwrite(name = "b", text = "")')

    assert workspace.executed("--", "//...", "-//app:a") == ["Write //app:b"]


def test_a_workspace_inside_another_is_not_part_of_it(workspace: Workspace) -> None:
    workspace.build_file(_RUNNABLE)
    workspace.write("inner/WORKSPACE.occlum", "")
    workspace.write("inner/BUILD", "nonsense(")

    assert workspace.run("query", "//...").out == "//app:r\n"


def test_diagnostics_can_be_read_by_programs(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", nonsense = 1)')

    lines = workspace.run("build", "//...", "--message-format=json").err.splitlines()

    found = [json.loads(line) for line in lines]
    assert [one["code"] for one in found] == ["OB0111", "OB0110"]
    assert found[1]["span"] == {"file": "app/BUILD", "line": 2, "column": 19, "end_column": 27}


_RUNNABLE = 'shell(name = "r", outs = ["r"], cmd = "echo made > $OUT")\n'
