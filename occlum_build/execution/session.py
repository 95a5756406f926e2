"""One run of the engine: load, analyse, plan, let ninja build, and say what failed."""

import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from occlum_build.analysis.analysis import Analysis, analyze
from occlum_build.artifact import Artifact
from occlum_build.configuration import Configuration
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error
from occlum_build.execution.failure import failures
from occlum_build.execution.layout import Layout
from occlum_build.execution.ninja_process import NinjaCommand, NinjaResult, run_ninja
from occlum_build.execution.output_directory import claim_output_directory
from occlum_build.execution.plan import Plan, Step, Writer, make_plan
from occlum_build.execution.progress import Progress
from occlum_build.execution.signing_keys import KeyRing
from occlum_build.execution.source_digests import SourceDigests
from occlum_build.label import Label
from occlum_build.loading.loader import Loader
from occlum_build.loading.pattern import Selection, expand
from occlum_build.loading.workspace import Workspace
from occlum_build.provider import SuiteInfo


@dataclass(frozen=True)
class Options:
    """How to execute; none of it can change what is made."""

    jobs: int | None = None
    keep_going: bool = False


class Session:
    """A workspace, a configuration, and everything loaded and built in it by one command."""

    def __init__(
        self,
        workspace: Workspace,
        configuration: Configuration,
        keys: KeyRing,
        progress: Progress,
        options: Options,
    ) -> None:
        """Open a session; nothing is read yet."""
        self.workspace = workspace
        self.layout = Layout(workspace, configuration)
        self.loader = Loader(workspace, configuration)
        self.digests = SourceDigests(self.layout.state / "digests.bin")
        self.progress = progress
        self.does_go_on = False
        """Whether targets that are right are built although others are wrong (`--keep-going`)."""
        self.wrong: list[Diagnostic] = []
        """What is wrong with the others."""
        self._keys = keys
        self._options = options

    def select(
        self, patterns: Iterable[str], directory: Path, *, is_query: bool = False
    ) -> Selection:
        """The targets that a user in `directory` means, to build them or to ask about them.

        Raises:
            DiagnosticError: with all problems, if a pattern means nothing.
        """
        self.progress.phase("loading")
        selection = expand(patterns, self.loader, directory, is_query=is_query)
        self.check()
        return selection

    def select_some(self, patterns: Iterable[str], directory: Path) -> Selection:
        """As `select`, for a verb that has nothing to do without a target.

        Raises:
            DiagnosticError: also if the patterns take away all that they name.
        """
        selection = self.select(patterns, directory)
        if not selection.labels:
            self.check_wrong()
            message = "no target is left of these patterns"
            helps = ("wildcards leave out targets with the tag `manual`: name those",)
            raise DiagnosticError(error("OB0121", message, helps=helps))
        return selection

    def analyze(self, labels: Sequence[Label]) -> Analysis:
        """The graph below `labels`.

        Raises:
            DiagnosticError: with every problem of loading and analysis.
        """
        self.progress.phase("analysing")
        analysis = analyze(labels, self.loader, self._keys.find)
        members = self.members(labels, analysis)
        if set(members) - set(analysis.targets):
            analysis = analyze([*labels, *members], self.loader, self._keys.find)
        self.check()
        self._keys.check_used()
        sources = [one for one in labels if isinstance(self.loader.find(one), Label)]
        if sources:
            raise DiagnosticError(
                [
                    error("OB0121", f"`{one}` is a source file: it is there already")
                    for one in sources
                ]
            )
        return analysis

    def members(self, labels: Iterable[Label], analysis: Analysis) -> list[Label]:
        """`labels`, with each suite replaced by what it stands for."""
        found: dict[Label, None] = {}
        waiting, seen = list(labels), set[Label]()
        while waiting:
            label = waiting.pop(0)
            if label in seen:
                continue
            seen.add(label)
            target = analysis.targets.get(label)
            suite = target.providers.get(SuiteInfo) if target is not None else None
            if isinstance(suite, SuiteInfo):
                waiting += suite.members
            found[label] = None
        return sorted(found)

    def check(self) -> None:
        """Stop if anything is wrong so far.

        Raises:
            DiagnosticError: with all problems.
        """
        if self.loader.has_errors():
            self.wrong = sorted(self.loader.problems, key=_place)
        if not self.does_go_on:
            self.check_wrong()

    def check_wrong(self) -> None:
        """Stop if anything is wrong, also where the rest was to be built all the same.

        Raises:
            DiagnosticError: with all problems.
        """
        if self.wrong:
            self.progress.clear()
            raise DiagnosticError(self.wrong)

    def build(
        self, analysis: Analysis, artifacts: Iterable[Artifact], steps: Iterable[Step] = ()
    ) -> tuple[Plan, NinjaResult]:
        """Make `artifacts` and run `steps`.

        The result says which actions failed; `check_built` turns that into diagnostics.
        """
        self.progress.phase("preparing")
        claim_output_directory(self.workspace.root)
        wanted, extra = list(artifacts), list(steps)
        plan = make_plan(analysis, wanted, extra, self.layout)
        writer = Writer(plan, analysis, self._keys, self.digests)
        try:
            writer.write()
        finally:
            self.digests.save()
        writer.distrust()
        if not plan.steps:
            self.progress.clear()
            return plan, NinjaResult(status=0)
        command = NinjaCommand(
            root=self.workspace.root,
            ninja_file=self.layout.ninja_file,
            guard=self.layout.state / "actions.lock",
            jobs=self._options.jobs,
            keep_going=self._options.keep_going or bool(extra),
        )
        titles = {
            record: f"{step.action.mnemonic} {step.action.owner}"
            for record, step in plan.steps.items()
        }
        return plan, run_ninja(command, titles, self.progress)

    def check_built(self, analysis: Analysis, plan: Plan, result: NinjaResult) -> None:
        """Stop if the build failed.

        Raises:
            DiagnosticError: one for each action that failed.
            KeyboardInterrupt: the user wanted it to stop.
        """
        if result.is_interrupted:
            raise KeyboardInterrupt
        problems = failures(analysis, plan, result)
        if problems:
            raise DiagnosticError([*self.wrong, *problems])


def _place(problem: Diagnostic) -> tuple[str, int, int]:
    """Problems are shown in the order of the files."""
    span = problem.span
    return (span.file, span.line, span.column) if span is not None else ("", 0, 0)


@contextmanager
def workspace_lock(layout: Layout, progress: Progress) -> Iterator[None]:
    """Only one build at a time writes to a workspace; the second waits."""
    layout.state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(layout.state / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.message("waiting for another occlum-build in this workspace")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
