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
from occlum_build.execution.files import remove
from occlum_build.execution.layout import Layout
from occlum_build.execution.ninja_process import NinjaResult
from occlum_build.execution.plan import Step
from occlum_build.label import Label
from occlum_build.provider import TestInfo
from occlum_build.rule import Argument, argument_word

_MAX_JUNIT_BYTES: Final = 64 << 20


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
class TestResult:
    """How one test target ended."""

    label: Label
    has_passed: bool
    is_remembered: bool
    milliseconds: int
    cases: Cases
    why: str
    log: str

    __test__ = False  # pytest collects classes named Test…


def test_steps(labels: Iterable[Label], analysis: Analysis, layout: Layout) -> dict[Label, Step]:
    """The step of each label that is a test."""
    steps: dict[Label, Step] = {}
    for label in labels:
        info = analysis.targets[label].providers.get(TestInfo)
        if isinstance(info, TestInfo):
            steps[label] = _step(label, info, layout)
    return steps


def forget_failures(steps: Iterable[Step], layout: Layout) -> None:
    """Make tests run again that did not pass, or that say that a pass proves nothing."""
    for step in steps:
        outcome = _outcome(step, layout.root)
        if outcome is None or outcome["status"] or not step.action.is_cacheable:
            remove(str(layout.root / layout.action_file(step.action, "record")))
            remove(str(layout.root / step.action.outputs[0].path))


def read_result(label: Label, step: Step, layout: Layout, build: NinjaResult) -> TestResult:
    """How the test ended in this build or, if it was not run, in an earlier one."""
    outcome = _outcome(step, layout.root)
    log = f"{step.action.outputs[0].path.rpartition('/')[0]}/test.log"
    if outcome is None:
        return TestResult(label, False, False, 0, Cases(failed=1), "not built", log)  # noqa: FBT003
    status = outcome["status"]
    cases = _cases(step, layout.root)
    if cases is None:
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
    return TestResult(
        label=label,
        has_passed=not status,
        is_remembered=record not in build.executed,
        milliseconds=outcome["milliseconds"],
        cases=cases,
        why=why,
        log=log,
    )


def _step(label: Label, info: TestInfo, layout: Layout) -> Step:
    named: list[Argument] = [*info.argv, *info.env.values()]
    tools = [one for one in (*info.tools, *named) if isinstance(one, Tool)]
    found = [one for one in named if isinstance(one, Artifact)]
    found += [needed for one in tools for needed in one.inputs]
    place = f"{layout.directory}/testlogs/{label.package}/{label.name}".replace("//", "/")
    outputs = [Artifact.output(f"{place}/result.json", label)]
    if info.junit is not None:
        outputs.append(Artifact.output(f"{place}/junit.xml", label))
    action = Action(
        owner=label,
        mnemonic="Test",
        argv=tuple(argument_word(one) for one in info.argv),
        inputs=tuple(dict.fromkeys([*info.inputs, *found])),
        outputs=tuple(outputs),
        tools=tuple(dict.fromkeys(tools)),
        env=MappingProxyType({name: argument_word(one) for name, one in info.env.items()}),
        network=info.network,
        timeout_seconds=info.timeout_seconds,
        is_cacheable=info.is_cacheable,
    )
    return Step(action, is_test=True, junit=info.junit)


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
