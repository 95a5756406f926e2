"""What `test --test-filter` and `test --runs-per-test` promise."""

import pytest

from tests.support.workspace import Workspace

FAILED = 1
WRONG_INPUT = 2

CHOOSES = """
cases="one two"; ran=0
for case in $cases; do
    case "$case" in *"$TESTBRIDGE_TEST_ONLY"*) echo "ran $case"; ran=1;; esac
done
[ $ran = 1 ] || exit 5
"""
FAILS_IN_EVEN_RUNS = "echo this is run $TEST_RUN_NUMBER; exit $(( (TEST_RUN_NUMBER + 1) % 2 ))"


@pytest.fixture
def chooser(workspace: Workspace) -> Workspace:
    """A test with two cases, one that has none to choose from, and one that takes an option."""
    option = 'echo "it got $0"'
    workspace.build_file(
        f"""
shell_test(name = "chooser", cmd = {CHOOSES!r}, filter_option = "")
shell_test(name = "option", cmd = {option!r}, filter_option = "--only=")
shell_test(name = "whole", cmd = "echo all of it; [ -z $TESTBRIDGE_TEST_ONLY ]")
"""
    )
    return workspace


@pytest.mark.parametrize("option", ["--test-filter=one", "--test_filter=one"])
def test_only_the_cases_of_the_filter_run(chooser: Workspace, option: str) -> None:
    said = chooser.run("test", "//app:chooser", option, "--test-output=all")

    assert said.status == 0
    assert "    ran one\n" in said.out
    assert "ran two" not in said.out


def test_a_command_gets_the_filter_behind_its_option(chooser: Workspace) -> None:
    said = chooser.run("test", "//app:option", "--test-filter", "a b", "--test-output=all")

    assert "    it got --only=a b\n" in said.out


def test_a_result_counts_for_its_filter_alone(chooser: Workspace) -> None:
    for words in ([], ["--test-filter=one"], ["--test-filter=two"], []):
        assert "remembered" not in chooser.run("test", "//app:chooser", *words).out

    assert "remembered" in chooser.run("test", "//app:chooser", "-k").out


def test_what_has_no_cases_to_choose_from_runs_whole_and_says_so(chooser: Workspace) -> None:
    chooser.run("test", "//app:whole")

    said = chooser.run("test", "//app:whole", "--test-filter=one")

    assert (said.status, said.out) == (
        0,
        "PASS //app:whole (remembered, not filtered)\n1 passed, 0 failed\n",
    )


def test_a_filter_that_matches_nothing_is_no_success(chooser: Workspace) -> None:
    said = chooser.run("test", "//app:chooser", "//app:whole", "--test-filter=three")

    assert said.status == WRONG_INPUT
    assert said.out.startswith("SKIP //app:chooser (no case matches, ")
    assert said.out.endswith("\n1 passed, 0 failed\n")
    assert "error[OB0131]: no case of these tests matches `three`" in said.err


def test_a_filter_may_match_in_one_test_of_several(chooser: Workspace) -> None:
    said = chooser.run("test", "//...", "--test-filter=three")

    assert (said.status, said.err.count("error")) == (0, 0)
    assert said.out.splitlines()[-1] == "2 passed, 0 failed"


def test_the_status_of_no_case_fails_where_nobody_filters(workspace: Workspace) -> None:
    workspace.build_file('shell_test(name = "t", cmd = "exit 5", filter_option = "")')

    assert "FAIL //app:t (status 5, " in workspace.run("test", "//app:t").out


def test_each_of_several_runs_is_counted_and_leaves_its_log(workspace: Workspace) -> None:
    workspace.build_file(f'shell_test(name = "t", cmd = "{FAILS_IN_EVEN_RUNS}")')

    said = workspace.run("test", "//app:t", "--runs_per_test=5")

    assert said.status == FAILED
    assert said.out.startswith("FAIL //app:t (2 of 5 runs failed: status 1, ")
    assert said.out.splitlines()[-1] == "3 passed, 2 failed"
    for number in range(1, 6):
        log = f"out/default/testlogs/app/t/run_{number}_of_5/test.log"
        assert (workspace.root / log).read_text() == f"this is run {number}\n"
        assert (f"(log: {log})" in said.out) == (number in {2, 4})


def test_several_runs_are_never_remembered(workspace: Workspace) -> None:
    workspace.build_file('shell_test(name = "t", cmd = "true")')
    workspace.run("test", "//app:t")

    for _ in range(2):
        said = workspace.run("test", "//app:t", "--runs-per-test=3")

        assert said.out.startswith("PASS //app:t (3 runs, ")
        assert "remembered" not in said.out
    assert "remembered" in workspace.run("test", "//app:t", "-k").out


def test_a_filter_that_would_name_a_place_of_the_machine_is_refused(chooser: Workspace) -> None:
    said = chooser.run("test", "//app:chooser", "--test-filter=%{store}")

    assert said.status == WRONG_INPUT
    assert "`%{` is in no case" in said.err


def test_more_runs_than_anybody_waits_for_are_refused(chooser: Workspace) -> None:
    said = chooser.run("test", "//app:chooser", f"--runs-per-test={10**15}")

    assert said.status == WRONG_INPUT
    assert "is more than 10000" in said.err


def test_two_tests_with_one_place_for_their_results_are_refused(workspace: Workspace) -> None:
    workspace.build_file('shell_test(name = "b/c", cmd = "exit 1")')
    workspace.build_file('shell_test(name = "c", cmd = "true")', "app/b")

    said = workspace.run("test", "//...")

    assert said.status == WRONG_INPUT
    assert "`//app:b/c` and `//app/b:c` would write their results to one place" in said.err
    assert workspace.run("test", "//app:b/c").status == FAILED
    assert workspace.run("test", "//app/b:c").status == 0


@pytest.mark.parametrize("number", ["0", "-1", "//app:t@3", ""])
def test_a_number_of_runs_that_is_none_is_refused(workspace: Workspace, number: str) -> None:
    said = workspace.run("test", "//...", f"--runs_per_test={number}")

    assert said.status == WRONG_INPUT
    assert f"`{number}` is no positive number" in said.err
