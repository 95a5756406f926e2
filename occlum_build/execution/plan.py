"""The plan: which actions a run needs, each with its spec, its stamp and its edge."""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from occlum_build.action import STORE, Action, ExternalTool, SigningKey
from occlum_build.analysis.analysis import Analysis
from occlum_build.artifact import Artifact
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error
from occlum_build.execution.files import remove, write_if_different
from occlum_build.execution.layout import Layout
from occlum_build.execution.lineage import Lineage
from occlum_build.execution.ninja_file import Edge, ninja_text
from occlum_build.execution.record import Record
from occlum_build.execution.schedule import Schedule
from occlum_build.execution.signing_keys import KeyRing
from occlum_build.execution.source_digests import SourceDigests
from occlum_build.execution.spec import EXEC_ROOT, Spec, SpecInput, SpecOutput
from occlum_build.execution.tools import Tools

_RUNNER: Final = Path(__file__).with_name("runner")
_KEY_VERSION: Final = 1


@dataclass(frozen=True)
class Step:
    """One action of a run. A test is an action whose failure is a result."""

    action: Action
    is_test: bool = False
    junit: str | None = None
    is_filtered: bool = False
    """Whether it is a test of which only some cases run."""


@dataclass
class Plan:
    """All steps that a set of artifacts needs, by the record file that names each."""

    layout: Layout
    steps: dict[str, Step] = field(default_factory=dict)

    def records(self) -> list[str]:
        """The record file of each step."""
        return sorted(self.steps)

    def step_of(self, record: str) -> Step:
        """The step whose record file this is."""
        return self.steps[record]


def make_plan(
    analysis: Analysis, artifacts: Iterable[Artifact], extra: Iterable[Step], layout: Layout
) -> Plan:
    """The steps for `artifacts`, for the `extra` steps, and for all that those need."""
    plan = Plan(layout)
    waiting = [Step(action) for one in artifacts if (action := analysis.outputs.maker(one))]
    waiting += extra
    while waiting:
        step = waiting.pop()
        record = layout.action_file(step.action, "record")
        if record in plan.steps:
            continue
        plan.steps[record] = step
        makers = (analysis.outputs.maker(one) for one in step.action.inputs)
        waiting += (Step(one) for one in makers if one is not None)
    return plan


class Writer:
    """Writes what ninja and the action runner read; a file that is right is not touched."""

    def __init__(
        self, plan: Plan, analysis: Analysis, keys: KeyRing, digests: SourceDigests
    ) -> None:
        """Write for `plan`."""
        self._plan = plan
        self._layout = plan.layout
        self._analysis = analysis
        self._keys = keys
        self._digests = digests
        self._tools = Tools(digests, plan.layout)
        self._lineage = Lineage(analysis, plan.layout, digests, self._tools)

    def write(self) -> None:
        """Write specs, stamps and `build.ninja`.

        Raises:
            DiagnosticError: with every input, tool or key that is missing or wrong.
        """
        problems: list[Diagnostic] = []
        (self._layout.root / self._layout.directory / ".actions").mkdir(
            parents=True, exist_ok=True
        )
        schedule = Schedule(Path(self._path(self._layout.ninja_log)))
        edges = []
        for record, step in sorted(self._plan.steps.items()):
            try:
                self._publish_keys(step.action)
                spec = self._spec(step, record)
                stamp = self._stamp(step)
            except DiagnosticError as problem:
                problems += [one for one in problem.diagnostics if one not in problems]
                continue
            spec_file = self._layout.action_file(step.action, "json")
            write_if_different(self._path(spec_file), spec.to_json())
            write_if_different(self._path(spec.stamp), stamp.encode())
            milliseconds = schedule.expected(step.action) if step.is_test else 0
            edges.append((-milliseconds, self._edge(step, spec, spec_file)))
        if problems:
            raise DiagnosticError(problems)
        edges.sort(key=lambda one: one[0])
        text = ninja_text(
            [edge for _, edge in edges],
            self._layout.ninja_directory,
            sys.executable,
            str(_RUNNER),
        )
        write_if_different(self._path(self._layout.ninja_file), text.encode())

    def distrust(self) -> None:
        """Delete outputs that nobody's action made: ninja would trust their time stamps."""
        for record_file, step in self._plan.steps.items():
            record = Record.read(self._path(record_file))
            if record is not None and record.is_intact(str(self._layout.root)):
                continue
            for output in step.action.outputs:
                remove(self._path(self._layout.node(step.action, output)))
            remove(self._path(record_file))

    def _inputs(self, action: Action) -> tuple[Artifact, ...]:
        """What an action reads: of a lineage, all that was made on the way."""
        if not action.lineage_of:
            return action.inputs
        return self._lineage.made(action)

    def _text(self, action: Action) -> str | None:
        return self._lineage.text(action) if action.lineage_of else action.text

    def _publish_keys(self, action: Action) -> None:
        for key in self._used_keys(action):
            self._keys.publish(key, self._layout.root)

    def _used_keys(self, action: Action) -> list[SigningKey]:
        public = {one.path for one in action.inputs}
        return [one for one in action.secret_keys if one.public.path in public]

    def _spec(self, step: Step, record: str) -> Spec:
        action, layout = step.action, self._layout
        return Spec(
            owner=str(action.owner),
            mnemonic=action.mnemonic,
            workspace=str(layout.root),
            stamp=layout.action_file(action, "stamp"),
            record=record,
            log=self._log(step),
            sandbox=layout.sandbox(action),
            inputs=[self._input(one) for one in self._inputs(action)],
            outputs=[
                SpecOutput(one.path, one.is_directory, layout.node(action, one))
                for one in action.outputs
            ],
            argv=self._words(action),
            env={name: self._placed(value, action) for name, value in sorted(action.env.items())},
            stdout=action.stdout.path if action.stdout is not None else None,
            text=self._text(action),
            is_lineage=bool(action.lineage_of),
            is_executable=action.is_executable,
            visible=self._visible(action),
            network=action.network,
            timeout_seconds=action.timeout_seconds,
            is_test=step.is_test,
            junit=step.junit,
            description=action.description,
        )

    def _visible(self, action: Action) -> list[str]:
        """The places of this machine that the action's words lead to."""
        found = [one for tool in action.tools for one in self._tools.place(tool).places]
        if any(STORE in text for text in (*action.argv, *action.env.values())):
            found.append(str(self._layout.cache))
        found += [str(self._keys.secret_path(one)) for one in self._used_keys(action)]
        return sorted(set(found))

    def _log(self, step: Step) -> str:
        if step.is_test:
            return f"{step.action.outputs[0].path.rpartition('/')[0]}/test.log"
        return self._layout.action_file(step.action, "log")

    def _input(self, artifact: Artifact) -> SpecInput:
        maker = self._analysis.outputs.maker(artifact)
        if maker is None:
            return SpecInput(artifact.path, self._layout.source_place(artifact))
        record = self._layout.action_file(maker, "record")
        return SpecInput(artifact.path, artifact.path, artifact.is_directory, record)

    def _words(self, action: Action) -> list[str]:
        python = {
            placed.placeholder: placed.words
            for placed in (self._tools.place(one) for one in action.tools)
            if len(placed.words) > 1
        }
        words: list[str] = []
        for word in action.argv:
            words += python[word] if word in python else [self._placed(word, action)]
        return words

    def _placed(self, text: str, action: Action) -> str:
        """`text` with this machine's places in it, but for the directory it runs in."""
        for tool in action.tools:
            if isinstance(tool, ExternalTool):
                text = text.replace(tool.home, self._tools.place(tool).words[0])
        text = text.replace(STORE, str(self._layout.cache))
        for key in action.secret_keys:
            text = text.replace(key.secret, str(self._keys.secret_path(key)))
        if "%{" in text.replace(EXEC_ROOT, ""):
            raise DiagnosticError(
                error(
                    "OB0407",
                    f"`{text}` names a tool or key that its action does not declare",
                    notes=(f"in an action `{action.mnemonic}` of `{action.owner}`",),
                )
            )
        return text

    def _stamp(self, step: Step) -> str:
        """All that identifies the action and is known before the build, one fact a line."""
        action = step.action
        static = {
            "argv": action.argv,
            "env": dict(action.env),
            "is_executable": action.is_executable,
            "is_test": step.is_test,
            "network": action.network,
            "outputs": [[one.path, one.is_directory] for one in action.outputs],
            "stdout": action.stdout.path if action.stdout is not None else None,
            "text": self._text(action),
            "timeout_seconds": action.timeout_seconds,
        }
        lines = [f"key {_KEY_VERSION}"]
        lines += [f"{name} {json.dumps(value, sort_keys=True)}" for name, value in static.items()]
        lines += sorted(self._tools.place(tool).key_line for tool in action.tools)
        lines += [self._input_line(action, one) for one in self._inputs(action)]
        return "\n".join(lines) + "\n"

    def _input_line(self, action: Action, artifact: Artifact) -> str:
        if self._analysis.outputs.maker(artifact) is not None:
            return f"made {artifact.path}"
        path = self._layout.root / self._layout.source_place(artifact)
        try:
            return f"source {artifact.path} {self._digests.line(path)}"
        except OSError as problem:
            message = f"`{artifact.path}`, an input of `{action.owner}`, cannot be read"
            why = problem.strerror or str(problem)
            raise DiagnosticError(error("OB0408", message, notes=(why,))) from None

    def _edge(self, step: Step, spec: Spec, spec_file: str) -> Edge:
        inputs = self._inputs(step.action)
        makers = [(one, self._analysis.outputs.maker(one)) for one in inputs]
        return Edge(
            outputs=tuple(one.node for one in spec.outputs),
            stamp=spec.stamp,
            inputs=tuple(
                sorted(self._layout.node(maker, one) for one, maker in makers if maker is not None)
            ),
            spec=spec_file,
            comment=f"{step.action.mnemonic} {step.action.owner}",
        )

    def _path(self, path: str) -> str:
        return str(self._layout.root / path)
