"""`occlum-build query`: show targets and what they need, without building anything."""

import json
from collections.abc import Iterable

from occlum_build.analysis.query import Query
from occlum_build.analysis.query_expression import parse
from occlum_build.analysis.target_graph import TargetGraph
from occlum_build.cli.command import Command
from occlum_build.cli.exit_code import ExitCode
from occlum_build.label import Label


def query(command: Command) -> ExitCode:
    """Run the verb."""
    command.need_patterns()
    session = command.session
    graph = TargetGraph(session.loader)

    def load(patterns: Iterable[str]) -> tuple[Label, ...]:
        labels = session.select(patterns, command.directory, is_query=True).labels
        graph.add(labels)
        session.check()
        return labels

    asked = Query(graph, load, session.loader.texts, session.loader.sources.has_package)
    found: dict[Label, None] = {}
    for text in command.arguments.patterns:
        found.update(dict.fromkeys(asked.answer(parse(text))))
    if command.arguments.output == "json":
        facts = [_facts(graph, asked.kind(one), one) for one in found]
        command.console.result(json.dumps(facts, indent=2))
        return ExitCode.DONE
    is_kind = command.arguments.output == "kind"
    for label in found:
        command.console.result(f"{asked.kind(label)} {label}" if is_kind else str(label))
    return ExitCode.DONE


def _facts(graph: TargetGraph, kind: str, label: Label) -> dict[str, object]:
    target = graph.targets.get(label)
    if target is None:
        return {"label": str(label), "kind": kind}
    return {
        "label": str(label),
        "kind": kind,
        "rule_file": str(target.rule_class.file),
        "location": str(target.span),
        "tags": list(target.attrs.tags),
        "dependencies": sorted({str(one.label) for one in target.uses}),
    }
