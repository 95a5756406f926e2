"""Running some of cargo's tests, where cargo itself would call it a success to run none."""

import sys

import pytest

from tests.unit.toolchain.conftest import Program

CARGO = "import sys; print(sys.argv[1:]); print('running {count} tests'); sys.exit({status})"
NO_CASE = 5


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["test", "--lib"], "['test', '--lib', '--', 'a name']"),
        (["test", "--", "--nocapture"], "['test', '--', '--nocapture', 'a name']"),
    ],
)
def test_the_name_goes_to_the_program_that_has_the_tests(
    program: Program, words: list[str], given: str
) -> None:
    code = CARGO.format(count=2, status=0)

    ended = _run(program, code, *words, chosen="a name")

    assert (ended[0], ended[1].splitlines()[0]) == (0, given)


def test_without_a_name_the_command_is_run_as_it_is(program: Program) -> None:
    assert _run(program, CARGO.format(count=0, status=0), "test")[:2] == (
        0,
        "['test']\nrunning 0 tests\n",
    )


def test_a_name_that_no_test_has_is_told(program: Program) -> None:
    status, _, said = _run(program, CARGO.format(count=0, status=0), "test", chosen="x")

    assert (status, said) == (NO_CASE, "no test has a name with `x` in it\n")


def test_a_failure_stays_one(program: Program) -> None:
    for count in (0, 1):
        assert _run(program, CARGO.format(count=count, status=101), "test", chosen="x")[0] == 101


def _run(program: Program, code: str, *words: str, chosen: str = "") -> tuple[int, str, str]:
    env = {"TESTBRIDGE_TEST_ONLY": chosen} if chosen else {}
    ended = program("chosen_cases.py", "--", sys.executable, "-c", code, *words, env=env)
    return ended.status, ended.stdout, ended.stderr
