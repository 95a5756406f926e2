"""What the comparison of two outcomes says, case by case."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from occlum_build.conformance.outcome import Outcome, comparable

_SHOWN_LINES: Final = 12


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
        return (Case(name, Verdict.NO_JUDGE, "it does not end on the host in time"),)
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


def _cases(name: str, host: Outcome, enclave: Outcome) -> Iterator[Case]:
    said = enclave.cases
    for case, expected in host.cases.items():
        found = said.get(case)
        if found == expected:
            yield Case(f"{name}::{case}", Verdict.PASSED)
            continue
        ended = "it does not end in time" if enclave.timed_out else f"status {enclave.status}"
        told = found or f"nothing ({ended}{_last_words(enclave)})"
        yield Case(f"{name}::{case}", Verdict.FAILED, f"host {expected}, enclave {told}")


def _whole(name: str, host: Outcome, enclave: Outcome, criteria: Criteria) -> Case:
    if enclave.timed_out:
        return Case(name, Verdict.FAILED, "it does not end in the enclave in time")
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
    lines: Sequence[bytes] = outcome.stderr.strip().splitlines()[-_SHOWN_LINES:]
    return f": {_text(lines[-1])}" if lines else ""


def _text(line: bytes) -> str:
    limit = 160
    text = line.decode("utf-8", "backslashreplace")
    return text if len(text) <= limit else text[:limit] + "…"
