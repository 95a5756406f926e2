"""What counts as the same."""

import re

import pytest

from occlum_build.conformance.outcome import Outcome, comparable
from occlum_build.conformance.verdict import Criteria, Verdict, judge, settle

GOOGLE = b"""\
[==========] Running 3 tests from 1 test suite.
[ RUN      ] Pipe.Reads
[       OK ] Pipe.Reads (3 ms)
[ RUN      ] Pipe.Writes/2
[  FAILED  ] Pipe.Writes/2, where GetParam() = 2 (0 ms)
[ RUN      ] Pipe.Skips
[  SKIPPED ] Pipe.Skips (0 ms)
[  PASSED  ] 1 test.
[  FAILED  ] 1 test, listed below:
[  FAILED  ] Pipe.Writes/2, where GetParam() = 2
"""
DIFFERS = "line 1 of its output is `b`, on the host `a`"
UNSURE = f"it differs from run to run on the host, too: {DIFFERS}"


def ended(
    status: int = 0,
    stdout: bytes = b"",
    stderr: bytes = b"",
    *,
    timed_out: bool = False,
    escapes: int | None = 0,
) -> Outcome:
    return Outcome(status, stdout, stderr, 0.5, timed_out, escapes)


def one(
    host: Outcome,
    enclave: Outcome | None,
    criteria: Criteria = Criteria(),  # noqa: B008  # frozen
) -> tuple[Verdict, str]:
    (case,) = judge("a/b", host, enclave, criteria)
    assert case.name == "a/b"
    return case.verdict, case.why


def test_the_same_status_and_output_pass_whatever_standard_error_says() -> None:
    assert one(ended(3, b"x\n", b"here"), ended(3, b"x\n", b"there")) == (Verdict.PASSED, "")


@pytest.mark.parametrize(
    ("host", "enclave", "why"),
    [
        (ended(0), ended(134, stderr=b"one\ntwo\n"), "status 134, on the host 0: two"),
        (ended(stdout=b"a\nb\n"), ended(stdout=b"a\nc\n"),
         "line 2 of its output is `c`, on the host `b`"),
        (ended(stdout=b"a\nb\n"), ended(stdout=b"a\n"), "1 lines of output, on the host 2"),
        (ended(0), ended(1, b"why\n"), "status 1, on the host 0: why"),
        (ended(), ended(137, timed_out=True), "it does not end in the enclave within 0.5 s"),
    ],
)  # fmt: skip
def test_a_difference_fails_and_says_where(host: Outcome, enclave: Outcome, why: str) -> None:
    assert one(host, enclave) == (Verdict.FAILED, why)


def test_a_system_call_that_reaches_the_host_fails_whatever_else_agrees() -> None:
    verdict, why = one(ended(), ended(escapes=2))

    assert verdict is Verdict.ESCAPED
    assert why == "2 system calls of the program reached the host's kernel"


def test_a_run_that_did_not_count_its_system_calls_does_not_pass() -> None:
    verdict, why = one(ended(139), ended(139, stderr=b"gone\n", escapes=None))

    assert verdict is Verdict.ESCAPED
    assert why == "the enclave ended before its system calls were counted: status 139: gone"


def test_escapes_fail_all_cases_of_a_google_test_at_once() -> None:
    verdict, _ = one(ended(1, GOOGLE), ended(1, GOOGLE, escapes=1))

    assert verdict is Verdict.ESCAPED


def test_without_output_the_status_alone_counts() -> None:
    criteria = Criteria(output=False)

    assert one(ended(1, b"a"), ended(1, b"b"), criteria)[0] is Verdict.PASSED
    assert one(ended(1, b"a"), ended(2, b"a"), criteria)[0] is Verdict.FAILED


def test_a_host_that_gives_no_answer_is_no_judge() -> None:
    verdict, why = one(ended(137, timed_out=True), None)

    assert (verdict, why) == (Verdict.NO_JUDGE, "it does not end on the host within 0.5 s")


def test_durations_and_what_is_ignored_do_not_count() -> None:
    ignored = (re.compile(rb"pid \d+"),)

    assert comparable(b"pid 17 done (12 ms)\n", ignored) == b" done\n"
    assert comparable(b"4 tests ran. (9 ms total)", ()) == b"4 tests ran."


def test_a_google_test_is_judged_case_by_case_against_what_the_host_says() -> None:
    enclave = ended(1, GOOGLE.replace(b"[       OK ] Pipe.Reads", b"[  FAILED  ] Pipe.Reads"))

    cases = {case.name: case for case in judge("pipe", ended(1, GOOGLE), enclave, Criteria())}

    assert {name: case.verdict for name, case in cases.items()} == {
        "pipe::Pipe.Reads": Verdict.FAILED,
        "pipe::Pipe.Writes/2": Verdict.PASSED,
        "pipe::Pipe.Skips": Verdict.PASSED,
    }
    assert cases["pipe::Pipe.Reads"].why == "host OK, enclave FAILED"


def test_cases_after_a_crash_fail() -> None:
    enclave = ended(139, GOOGLE.partition(b"[ RUN      ] Pipe.Skips")[0], b"killed")

    cases = {case.name: case for case in judge("pipe", ended(1, GOOGLE), enclave, Criteria())}

    assert cases["pipe::Pipe.Reads"].verdict is Verdict.PASSED
    assert cases["pipe::Pipe.Skips"].verdict is Verdict.FAILED
    assert cases["pipe::Pipe.Skips"].why == ("host SKIPPED, enclave nothing (status 139: killed)")


@pytest.mark.parametrize(
    ("again", "verdict", "why"),
    [
        (ended(stdout=b"a\n"), Verdict.FAILED, DIFFERS),
        (ended(stdout=b"b\n"), Verdict.PASSED, ""),
        (ended(stdout=b"c\n"), Verdict.NO_JUDGE, UNSURE),
        (ended(137, timed_out=True), Verdict.NO_JUDGE, UNSURE),
    ],
)  # fmt: skip
def test_a_host_that_contradicts_himself_is_no_judge(
    again: Outcome, verdict: Verdict, why: str
) -> None:
    host, enclave = ended(stdout=b"a\n"), ended(stdout=b"b\n")
    found = judge("a", host, enclave, Criteria())

    (case,) = settle("a", found, (host, again), enclave, Criteria())

    assert (case.verdict, case.why) == (verdict, why)


def test_a_case_of_a_google_test_is_settled_without_the_others() -> None:
    host = ended(1, GOOGLE)
    flaky = ended(1, GOOGLE.replace(b"[       OK ] Pipe.Reads", b"[  FAILED  ] Pipe.Reads"))
    enclave = ended(139, GOOGLE.partition(b"[       OK ]")[0])

    found = judge("pipe", host, enclave, Criteria())
    cases = settle("pipe", found, (host, flaky), enclave, Criteria())

    assert [case.verdict for case in cases] == [Verdict.NO_JUDGE, Verdict.FAILED, Verdict.FAILED]


def test_what_escaped_stays_so_whatever_the_host_says() -> None:
    found = judge("a", ended(0), ended(1, escapes=1), Criteria())

    assert settle("a", found, (ended(0), ended(1)), ended(1, escapes=1), Criteria()) == found
