"""`occlum-build test`: run tests, and count what passed and failed."""

from itertools import chain

from occlum_build.analysis.analysis import Analysis
from occlum_build.artifact import Artifact
from occlum_build.cli.command import Command
from occlum_build.cli.exit_code import ExitCode
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error, near
from occlum_build.execution.failure import failures
from occlum_build.execution.files import write_if_different
from occlum_build.execution.session import workspace_lock
from occlum_build.execution.testing import (
    Cases,
    Demand,
    Run,
    TestResult,
    forget_failures,
    read_result,
    test_steps,
)
from occlum_build.label import Label
from occlum_build.provider import TestInfo

_LAST_LINES = 40


def test(command: Command) -> ExitCode:
    """Run the verb."""
    command.need_patterns()
    session = command.session
    session.does_go_on = command.arguments.keep_going
    with workspace_lock(session.layout, command.progress):
        selection = session.select_some(command.arguments.patterns, command.directory)
        analysis = session.analyze(selection.labels)
        labels = _tests(command, session.members(selection.labels, analysis), analysis)
        demand = Demand(command.arguments.test_filter, command.arguments.runs_per_test)
        steps = test_steps(labels, analysis, session.layout, demand)
        if not steps:
            raise DiagnosticError([*session.wrong, _no_test(command, analysis)])
        if command.arguments.accept:
            _accept(command, labels, analysis)
        every_step = list(chain.from_iterable(steps.values()))
        forget_failures(every_step, session.layout)
        plan, built = session.build(analysis, (), every_step)
        if built.is_interrupted:
            raise KeyboardInterrupt
        problems = failures(analysis, plan, built)
        results = [
            read_result(label, runs, session.layout, built) for label, runs in steps.items()
        ]
        unmatched = _no_case(demand, results)
        problems = [*session.wrong, *problems, *unmatched]
        command.console.diagnostics(problems, session.loader.sources.text_of_shown)
        cases = sum((one.cases for one in results), Cases())
        has_passed = all(one.has_passed for one in results)
        # What failed comes last: it is what the reader of a long log looks for.
        for one in sorted(results, key=lambda one: (not one.has_passed, not one.is_empty)):
            _show(command, one, demand)
        command.console.result(str(cases))
        if has_passed and (session.wrong or unmatched):
            return ExitCode.WRONG_INPUT
        if has_passed and all(step.action.is_cacheable for step in every_step):
            command.remember(plan)
    return ExitCode.DONE if has_passed else ExitCode.FAILED


def _tests(command: Command, labels: list[Label], analysis: Analysis) -> list[Label]:
    """Those of `labels` that are tests and have one of the tags that were asked for."""
    tags = set(command.arguments.tags)
    found = []
    for label in labels:
        target = analysis.targets.get(label)
        if target is None or TestInfo not in target.providers:
            continue
        if not tags or tags & set(target.target.attrs.tags):
            found.append(label)
    return found


def _no_test(command: Command, analysis: Analysis) -> Diagnostic:
    known = {
        tag
        for one in analysis.targets.values()
        if TestInfo in one.providers
        for tag in one.target.attrs.tags
    }
    if not command.arguments.tags or not any(
        TestInfo in one.providers for one in analysis.targets.values()
    ):
        return error("OB0125", "none of these targets is a test")
    wanted = ", ".join(f"`{one}`" for one in command.arguments.tags)
    guesses = (near(one, known) for one in command.arguments.tags)
    helps = [f"a tag `{one}` exists" for one in guesses if one]
    return error("OB0125", f"none of these tests has the tag {wanted}", helps=helps)


def _accept(command: Command, labels: list[Label], analysis: Analysis) -> None:
    """Make what is so, and write it over the sources that say what is expected.

    Raises:
        DiagnosticError: none of the tests has such a source, or it is not ours to write.
    """
    session = command.session
    golden: dict[Artifact, Artifact] = {}
    for label in labels:
        info = analysis.targets[label].providers.get(TestInfo)
        golden |= info.golden if isinstance(info, TestInfo) else {}
    if not golden:
        helps = ("a `golden_measurement_test` compares with a file that can be accepted",)
        message = "none of these tests has anything to accept"
        raise DiagnosticError(error("OB0127", message, helps=helps))
    plan, built = session.build(analysis, golden.values())
    session.check_built(analysis, plan, built)
    for expected, found in golden.items():
        if not expected.is_source or expected.owner.repository:
            message = f"`{expected.path}` is no source file of this workspace"
            raise DiagnosticError(error("OB0127", message))
        content = session.layout.source_path(found).read_bytes()
        if write_if_different(str(session.layout.source_path(expected)), content):
            command.console.result(f"accepted {expected.path}")


def _no_case(demand: Demand, results: list[TestResult]) -> list[Diagnostic]:
    """A filter that leaves nothing of all tests that it could be meant for is a mistake."""
    filtered = [one for one in results if not one.is_whole]
    if not filtered or not all(one.is_empty for one in filtered):
        return []
    helps = ("a `pytest_test` takes what `pytest -k` takes, a `cargo_test` a part of a name",)
    return [error("OB0131", f"no case of these tests matches `{demand.filter}`", helps=helps)]


def _show(command: Command, one: TestResult, demand: Demand) -> None:
    total = one.cases.passed + one.cases.failed + one.cases.skipped
    facts = [one.why] if one.why else []
    if one.is_empty:
        outcome, facts = "SKIP", ["no case matches"]
    else:
        outcome = "PASS" if one.has_passed else "FAIL"
    is_remembered = all(run.is_remembered for run in one.runs)
    seconds = sum(run.milliseconds for run in one.runs) / 1000
    facts.append("remembered" if is_remembered else f"{seconds:.1f} s")
    if demand.filter and one.is_whole:
        facts.append("not filtered")
    if total > len(one.runs):
        facts.append(str(one.cases))
    command.console.result(f"{outcome} {one.label} ({', '.join(facts)})")
    for run in one.runs:
        _show_log(command, run)


def _show_log(command: Command, run: Run) -> None:
    wanted = command.arguments.test_output
    log = command.session.workspace.root / run.log
    if not log.is_file() or (run.has_passed and wanted != "all"):
        return
    said = log.read_text(encoding="utf-8", errors="replace").rstrip()
    lines = said.split("\n") if said else []
    first = {"summary": len(lines), "errors": -_LAST_LINES, "all": 0}[wanted]
    for line in lines[first:]:
        command.console.result(f"    {line}".rstrip())
    command.console.result(f"    (log: {run.log})")
