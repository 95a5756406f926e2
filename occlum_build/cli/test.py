"""`occlum-build test`: run tests, and count what passed and failed."""

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
        steps = test_steps(labels, analysis, session.layout)
        if not steps:
            raise DiagnosticError([*session.wrong, _no_test(command, analysis)])
        if command.arguments.accept:
            _accept(command, labels, analysis)
        forget_failures(steps.values(), session.layout)
        plan, built = session.build(analysis, (), steps.values())
        if built.is_interrupted:
            raise KeyboardInterrupt
        problems = failures(analysis, plan, built)
        problems = [*session.wrong, *problems]
        command.console.diagnostics(problems, session.loader.sources.text_of_shown)
        results = [
            read_result(label, step, session.layout, built) for label, step in steps.items()
        ]
        cases = sum((one.cases for one in results), Cases())
        has_passed = all(one.has_passed for one in results)
        # What failed comes last: it is what the reader of a long log looks for.
        for one in sorted(results, key=lambda one: not one.has_passed):
            _show(command, one)
        command.console.result(str(cases))
        if has_passed and session.wrong:
            return ExitCode.WRONG_INPUT
        if has_passed and all(step.action.is_cacheable for step in steps.values()):
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


def _show(command: Command, one: TestResult) -> None:
    seconds = f"{one.milliseconds / 1000:.1f} s"
    how = "remembered" if one.is_remembered else seconds
    total = one.cases.passed + one.cases.failed + one.cases.skipped
    cases = f", {one.cases}" if total > 1 else ""
    outcome = f"PASS {one.label} (" if one.has_passed else f"FAIL {one.label} ({one.why}, "
    command.console.result(f"{outcome}{how}{cases})")
    wanted = command.arguments.test_output
    log = command.session.workspace.root / one.log
    if not log.is_file() or (one.has_passed and wanted != "all"):
        return
    said = log.read_text(encoding="utf-8", errors="replace").rstrip()
    lines = said.split("\n") if said else []
    first = {"summary": len(lines), "errors": -_LAST_LINES, "all": 0}[wanted]
    for line in lines[first:]:
        command.console.result(f"    {line}".rstrip())
    command.console.result(f"    (log: {one.log})")
