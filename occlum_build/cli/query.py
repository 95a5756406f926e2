"""`occlum-build query`: show targets and what they need, without building anything."""

import json
import re
from collections.abc import Iterable
from typing import Final

from occlum_build.analysis.target_graph import TargetGraph
from occlum_build.cli.command import Command
from occlum_build.cli.exit_code import ExitCode
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.label import Label

_FUNCTION: Final = re.compile(r"(?P<name>deps|rdeps|path)\((?P<arguments>.*)\)")
_ARGUMENT_COUNTS: Final = {"deps": 1, "rdeps": 2, "path": 2}


def query(command: Command) -> ExitCode:
    """Run the verb."""
    found: dict[Label, None] = {}
    graph = TargetGraph(command.session.loader)
    for text in command.arguments.patterns:
        found.update(dict.fromkeys(_answer(command, graph, text.strip())))
    graph.add(found)
    command.session.check()
    if command.arguments.output == "json":
        command.console.result(json.dumps([_facts(graph, one) for one in found], indent=2))
        return ExitCode.DONE
    for label in found:
        target = graph.targets.get(label)
        kind = target.rule_class.name if target is not None else "source file"
        is_kind = command.arguments.output == "kind"
        command.console.result(f"{kind} {label}" if is_kind else str(label))
    return ExitCode.DONE


def _answer(command: Command, graph: TargetGraph, text: str) -> Iterable[Label]:
    match = _FUNCTION.fullmatch(text)
    if match is None:
        if re.match(r"\w+\(", text):
            message = f"`{text}` is no query"
            helps = ("there are `deps(X)`, `rdeps(WHERE, X)` and `path(FROM, TO)`",)
            raise DiagnosticError(error("OB0126", message, helps=helps))
        return command.session.select([text], command.directory).labels
    words = [one.strip() for one in match["arguments"].split(",")]
    name = match["name"]
    if len(words) != _ARGUMENT_COUNTS[name] or not all(words):
        message = (
            f"`{name}` takes {'one pattern' if _ARGUMENT_COUNTS[name] == 1 else 'two patterns'}"
        )
        raise DiagnosticError(error("OB0126", message))
    sets = [command.session.select([one], command.directory).labels for one in words]
    graph.add(label for labels in sets for label in labels)
    command.session.check()
    if name == "deps":
        return graph.dependencies(sets[0])
    if name == "rdeps":
        return graph.dependents(sets[1])
    if not all(sets):
        message = "`path` needs a target on either side"
        raise DiagnosticError(error("OB0126", message))
    return graph.path(sets[0][0], sets[1][0])


def _facts(graph: TargetGraph, label: Label) -> dict[str, object]:
    target = graph.targets.get(label)
    if target is None:
        return {"label": str(label), "kind": "source file"}
    return {
        "label": str(label),
        "kind": target.rule_class.name,
        "rule_file": str(target.rule_class.file),
        "location": str(target.span),
        "tags": list(target.attrs.tags),
        "dependencies": sorted({str(one.label) for one in target.uses}),
    }
