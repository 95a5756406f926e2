"""Tests: run as actions are, remembered while they pass, counted by their cases."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from xml.etree import ElementTree as ET

from occlum_build.action import Action, Tool
from occlum_build.analysis.analysis import Analysis
from occlum_build.artifact import Artifact
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.execution.files import remove
from occlum_build.execution.layout import Layout
from occlum_build.execution.ninja_process import NinjaResult
from occlum_build.execution.plan import Step
from occlum_build.label import Label
from occlum_build.provider import TestInfo
from occlum_build.rule import Argument, argument_word

_MAX_JUNIT_BYTES: Final = 64 << 20
_NO_CASE: Final = 5
"""How a command ends that knows no case of the name that it was given: pytest's own status."""
_FILTER_VARIABLE: Final = "TESTBRIDGE_TEST_ONLY"
_NUMBER_VARIABLE: Final = "TEST_RUN_NUMBER"


@dataclass(frozen=True)
class Cases:
    """How many cases of a test passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: "Cases") -> "Cases":
        """Both together."""
        return Cases(
            self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped
        )

    def __str__(self) -> str:
        """`N passed, N failed`, and `, N skipped` if there are any."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


@dataclass(frozen=True)
class Demand:
    """What of each test is run, and how often."""

    filter: str = ""
    runs: int = 1


@dataclass(frozen=True)
class Run:
    """How one run of a test ended."""

    has_passed: bool
    is_remembered: bool
    milliseconds: int
    cases: Cases
    why: str
    log: str
    is_empty: bool = False
    """Whether the filter left no case of it."""


@dataclass(frozen=True)
class TestResult:
    """How one test target ended, in one run or in all that were wanted."""

    label: Label
    runs: tuple[Run, ...]
    is_whole: bool
    """Whether it has no cases to choose from, so that a filter left all of it."""

    __test__ = False  # pytest collects classes named Test…

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it ran."""
        return all(one.is_empty for one in self.runs)

    @property
    def has_passed(self) -> bool:
        """Whether all that ran passed."""
        return all(one.has_passed for one in self.runs)

    @property
    def cases(self) -> Cases:
        """The cases of all runs."""
        return sum((one.cases for one in self.runs), Cases())

    @property
    def why(self) -> str:
        """Why it failed, and in how many runs; of one that passed, how many runs there were."""
        failed = [one.why for one in self.runs if not one.has_passed]
        reasons = ", ".join(dict.fromkeys(failed))
        if len(self.runs) == 1:
            return reasons
        if failed:
            return f"{len(failed)} of {len(self.runs)} runs failed: {reasons}"
        return f"{len(self.runs)} runs"


def test_steps(
    labels: Iterable[Label], analysis: Analysis, layout: Layout, demand: Demand
) -> dict[Label, tuple[Step, ...]]:
    """The steps of each label that is a test, one for each run of it.

    Raises:
        DiagnosticError: the results of two tests would lie in one place.
    """
    steps: dict[Label, tuple[Step, ...]] = {}
    owners: dict[str, Label] = {}
    for label in labels:
        info = analysis.targets[label].providers.get(TestInfo)
        if isinstance(info, TestInfo):
            numbers = range(1, demand.runs + 1)
            steps[label] = tuple(_step(label, info, layout, demand, one) for one in numbers)
            place = steps[label][0].action.outputs[0].path
            other = owners.setdefault(place, label)
            if other != label:
                message = f"`{other}` and `{label}` would write their results to one place"
                span = analysis.targets[label].target.call.span
                raise DiagnosticError(error("OB0305", message, span, notes=(f"`{place}`",)))
    return steps


def forget_failures(steps: Iterable[Step], layout: Layout) -> None:
    """Make tests run again that did not pass, or that say that a pass proves nothing."""
    for step in steps:
        outcome = _outcome(step, layout.root)
        if outcome is None or outcome["status"] or not step.action.is_cacheable:
            remove(str(layout.root / layout.action_file(step.action, "record")))
            remove(str(layout.root / step.action.outputs[0].path))


def read_result(
    label: Label, steps: tuple[Step, ...], layout: Layout, build: NinjaResult
) -> TestResult:
    """How the test ended in this build or, if it was not run, in an earlier one."""
    runs = tuple(_run(step, layout, build) for step in steps)
    return TestResult(label, runs, is_whole=not any(step.is_filtered for step in steps))


def _run(step: Step, layout: Layout, build: NinjaResult) -> Run:
    outcome = _outcome(step, layout.root)
    log = f"{step.action.outputs[0].path.rpartition('/')[0]}/test.log"
    if outcome is None:
        return Run(False, False, 0, Cases(failed=1), "not built", log)  # noqa: FBT003
    status = outcome["status"]
    is_empty = step.is_filtered and status == _NO_CASE
    cases = _cases(step, layout.root)
    if is_empty:
        cases = Cases()
    elif cases is None:
        cases = Cases(failed=1) if status else Cases(passed=1)
    elif status and not cases.failed:
        cases += Cases(failed=1)
    if outcome["timed_out"]:
        why = f"its time of {step.action.timeout_seconds} s is over"
    elif status < 0:
        why = f"ended by signal {-status}"
    else:
        why = f"status {status}" if status else ""
    record = layout.action_file(step.action, "record")
    return Run(
        has_passed=not status or is_empty,
        is_remembered=record not in build.executed,
        milliseconds=outcome["milliseconds"],
        cases=cases,
        why=why,
        log=log,
        is_empty=is_empty,
    )


def _step(label: Label, info: TestInfo, layout: Layout, demand: Demand, number: int) -> Step:
    named: list[Argument] = [*info.argv, *info.env.values()]
    tools = [one for one in (*info.tools, *named) if isinstance(one, Tool)]
    found = [one for one in named if isinstance(one, Artifact)]
    found += [needed for one in tools for needed in one.inputs]
    place = f"{layout.directory}/testlogs/{label.package}/{label.name}".replace("//", "/")
    argv = [argument_word(one) for one in info.argv]
    env = {name: argument_word(one) for name, one in info.env.items()}
    is_filtered = bool(demand.filter) and info.filter_option is not None
    if is_filtered:
        env[_FILTER_VARIABLE] = demand.filter
        argv += [f"{info.filter_option}{demand.filter}"] if info.filter_option else []
    if demand.runs > 1:
        env[_NUMBER_VARIABLE] = str(number)
        place += f"/run_{number}_of_{demand.runs}"
    outputs = [Artifact.output(f"{place}/result.json", label)]
    if info.junit is not None:
        outputs.append(Artifact.output(f"{place}/junit.xml", label))
    action = Action(
        owner=label,
        mnemonic="Test",
        argv=tuple(argv),
        inputs=tuple(dict.fromkeys([*info.inputs, *found])),
        outputs=tuple(outputs),
        tools=tuple(dict.fromkeys(tools)),
        env=MappingProxyType(env),
        network=info.network,
        timeout_seconds=info.timeout_seconds,
        # Who wants several runs asks what one of them cannot tell.
        is_cacheable=info.is_cacheable and demand.runs == 1,
    )
    return Step(action, is_test=True, junit=info.junit, is_filtered=is_filtered)


def _outcome(step: Step, root: Path) -> dict[str, int] | None:
    try:
        content: dict[str, int] = json.loads((root / step.action.outputs[0].path).read_bytes())
    except (OSError, ValueError):
        return None
    return content


def _cases(step: Step, root: Path) -> Cases | None:
    """The cases in the test's JUnit XML; None if it wrote none that can be read."""
    if step.junit is None:
        return None
    path = root / step.action.outputs[1].path
    try:
        if not 0 < path.stat().st_size <= _MAX_JUNIT_BYTES:
            return None
        tree = ET.parse(path)  # noqa: S314  # written by the user's own test
    except (OSError, ET.ParseError):
        return None
    failed = skipped = passed = 0
    for case in tree.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return Cases(passed, failed, skipped)
