"""What the comparison of two outcomes says, case by case."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from occlum_build.conformance.outcome import Outcome, comparable


class Verdict(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    ESCAPED = "escaped"
    """A system call of the program reached the host's kernel, or nobody can tell."""
    NO_JUDGE = "no judge"
    """The host gives no answer to compare with: it timed out, or differs from run to run."""


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison: a program, or one case of a program that tells of cases."""

    name: str
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What counts besides the exit status."""

    output: bool = True
    ignored: tuple[re.Pattern[bytes], ...] = ()


def judge(
    name: str, host: Outcome, enclave: Outcome | None, criteria: Criteria
) -> tuple[Case, ...]:
    """The cases of one program: its own where it is a GoogleTest, else one.

    `enclave` is None where nobody asked it, for the host had given no answer to compare with.
    """
    if enclave is None:
        why = f"it does not end on the host within {_seconds(host)}"
        return (Case(name, Verdict.NO_JUDGE, why),)
    if enclave.escapes:
        calls = f"{enclave.escapes} system calls of the program reached the host's kernel"
        return (Case(name, Verdict.ESCAPED, calls),)
    if enclave.escapes is None and not enclave.timed_out:
        ended = f"status {enclave.status}{_last_words(enclave)}"
        why = f"the enclave ended before its system calls were counted: {ended}"
        return (Case(name, Verdict.ESCAPED, why),)
    if host.cases:
        return tuple(_cases(name, host, enclave))
    return (_whole(name, host, enclave, criteria),)


def settle(
    name: str,
    found: Sequence[Case],
    asked: tuple[Outcome, Outcome],
    enclave: Outcome,
    by: Criteria,
) -> tuple[Case, ...]:
    """What was found, once the host was asked twice: who contradicts himself is no judge.

    A case that failed passes if the enclave says what the host says the second time.
    """
    first, second = asked
    repeated = {
        one.name: one.verdict for one in judge(name, first, replace(second, escapes=0), by)
    }
    against = {one.name: one.verdict for one in judge(name, second, enclave, by)}

    def settled(case: Case) -> Case:
        if case.verdict is not Verdict.FAILED or repeated.get(case.name) is Verdict.PASSED:
            return case
        if against.get(case.name) is Verdict.PASSED:
            return Case(case.name, Verdict.PASSED)
        why = f"it differs from run to run on the host, too: {case.why}"
        return Case(case.name, Verdict.NO_JUDGE, why)

    return tuple(map(settled, found))


def _cases(name: str, host: Outcome, enclave: Outcome) -> Iterator[Case]:
    said = enclave.cases
    for case, expected in host.cases.items():
        found = said.get(case)
        if found == expected:
            yield Case(f"{name}::{case}", Verdict.PASSED)
            continue
        late = f"it does not end within {_seconds(enclave)}"
        ended = late if enclave.timed_out else f"status {enclave.status}"
        told = found or f"nothing ({ended}{_last_words(enclave)})"
        yield Case(f"{name}::{case}", Verdict.FAILED, f"host {expected}, enclave {told}")


def _whole(name: str, host: Outcome, enclave: Outcome, criteria: Criteria) -> Case:
    if enclave.timed_out:
        why = f"it does not end in the enclave within {_seconds(enclave)}"
        return Case(name, Verdict.FAILED, why)
    if host.status != enclave.status:
        why = f"status {enclave.status}, on the host {host.status}{_last_words(enclave)}"
        return Case(name, Verdict.FAILED, why)
    if not criteria.output:
        return Case(name, Verdict.PASSED)
    expected = comparable(host.stdout, criteria.ignored)
    found = comparable(enclave.stdout, criteria.ignored)
    if expected != found:
        return Case(name, Verdict.FAILED, _first_difference(expected, found))
    return Case(name, Verdict.PASSED)


def _first_difference(expected: bytes, found: bytes) -> str:
    theirs, ours = expected.splitlines(), found.splitlines()
    for number, (their, our) in enumerate(zip(theirs, ours, strict=False), 1):
        if their != our:
            return f"line {number} of its output is `{_text(our)}`, on the host `{_text(their)}`"
    return f"{len(ours)} lines of output, on the host {len(theirs)}"


def _last_words(outcome: Outcome) -> str:
    for stream in (outcome.stderr, outcome.stdout):
        if lines := stream.strip().splitlines():
            return f": {_text(lines[-1])}"
    return ""


def _seconds(outcome: Outcome) -> str:
    return f"{outcome.seconds:g} s"


def _text(line: bytes) -> str:
    limit = 160
    text = line.decode("utf-8", "backslashreplace")
    return text if len(text) <= limit else text[:limit] + "…"
