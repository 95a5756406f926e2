"""`occlum-build run`: make a target, then become it, with the user's terminal."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from occlum_build.action import STORE, ExternalTool, PythonScript, PythonTool, Tool
from occlum_build.artifact import Artifact
from occlum_build.cli.build import show_reports
from occlum_build.cli.command import Command
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.execution.session import workspace_lock
from occlum_build.execution.spec import EXEC_ROOT
from occlum_build.execution.tools import Tools
from occlum_build.provider import RunInfo


def run(command: Command) -> NoReturn:
    """Run the verb; it does not come back."""
    session = command.session
    with workspace_lock(session.layout, command.progress):
        selection = session.select(command.arguments.patterns, command.directory)
        if len(selection.labels) != 1:
            message = f"`run` needs one target, not {len(selection.labels)}"
            raise DiagnosticError(error("OB0121", message))
        (label,) = selection.labels
        analysis = session.analyze([label])
        target = analysis.targets[label]
        info = target.providers.get(RunInfo)
        if not isinstance(info, RunInfo):
            raise DiagnosticError(
                error(
                    "OB0335",
                    f"`{label}` cannot be run",
                    target.target.span,
                    label=f"a `{target.target.rule_class.name}` has no `RunInfo`",
                )
            )
        debugging = command.arguments.debugging
        needs_debugger = any(not one.startswith("--trace") for one in debugging)
        if debugging and (info.debugger if needs_debugger else info.debugging) is None:
            raise DiagnosticError(
                error(
                    "OB0336",
                    f"`{label}` cannot be debugged with `{debugging[0]}`",
                    target.target.span,
                    label=f"a `{target.target.rule_class.name}` does not take this option",
                )
            )
        if needs_debugger:
            argv = [*(info.debugger or ()), *debugging, "--", *info.argv]
        else:
            words = [*(info.debugging or ()), *debugging] if debugging else []
            argv = [info.argv[0], *words, *info.argv[1:]]
        named = [one for one in argv if isinstance(one, Artifact)]
        plan, result = session.build(analysis, [*info.inputs, *named])
        session.check_built(analysis, plan, result)
        if command.arguments.is_json:
            show_reports(command, [label], analysis)
        line = [*_argv(command, argv), *command.arguments.rest]
        env = {name: _text(command, value) for name, value in info.env.items()}
        command.remember(plan, argv=line, env=env)
    become(line, env)


def become(argv: list[str], env: dict[str, str]) -> NoReturn:
    """Replace this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execvpe(argv[0], argv, {**os.environ, **env})  # no shell
    except OSError as problem:
        why = problem.strerror or str(problem)
        message = f"`{argv[0]}` cannot be executed"
        raise DiagnosticError(error("OB0411", message, notes=(why,))) from None


def _argv(command: Command, parts: Sequence[str | Artifact | Tool]) -> list[str]:
    tools = Tools(command.session.digests, command.session.layout)
    words: list[str] = []
    for one in parts:
        if isinstance(one, Artifact):
            words.append(str(command.session.layout.source_path(one)))
        elif isinstance(one, PythonTool):
            words += _isolated(tools.place(one).words)
        elif isinstance(one, PythonScript):
            script = command.session.layout.source_path(one.script)
            words += _isolated([*tools.place(one).words[:-1], str(script)])
        elif isinstance(one, ExternalTool):
            words.append(f"{tools.place(one).words[0]}/{one.program}")
        elif isinstance(one, Tool):
            raise TypeError(one)
        else:
            words.append(_text(command, one))
    return words


def _isolated(words: Sequence[str]) -> list[str]:
    """A Python command for the user's environment, whose `PYTHON…` variables are not for it."""
    return [words[0], "-E", *words[1:]]


def _text(command: Command, text: str) -> str:
    root = command.session.workspace.root
    return text.replace(EXEC_ROOT, str(root)).replace(STORE, str(command.session.layout.cache))
