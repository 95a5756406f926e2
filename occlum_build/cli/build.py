"""`occlum-build build`: make targets, and show what they report."""

from collections.abc import Iterable

from occlum_build.analysis.analysis import Analysis
from occlum_build.artifact import Artifact
from occlum_build.cli.command import Command
from occlum_build.cli.exit_code import ExitCode
from occlum_build.execution.session import workspace_lock
from occlum_build.label import Label
from occlum_build.provider import ReportInfo


def build(command: Command) -> ExitCode:
    """Run the verb."""
    command.need_patterns()
    session = command.session
    session.does_go_on = command.arguments.keep_going
    with workspace_lock(session.layout, command.progress):
        selection = session.select_some(command.arguments.patterns, command.directory)
        analysis = session.analyze(selection.labels)
        members = session.members(selection.labels, analysis)
        labels = [one for one in members if one in analysis.targets]
        artifacts = [
            *(file for label in labels for file in analysis.targets[label].default_files().files),
            *reports(labels, analysis),
        ]
        plan, result = session.build(analysis, artifacts)
        session.check_built(analysis, plan, result)
        show_reports(command, labels, analysis)
        count = len(labels)
        command.console.result(f"built {count} target{'' if count == 1 else 's'}")
        session.check_wrong()
        command.remember(plan)
    return ExitCode.DONE


def reports(labels: Iterable[Label], analysis: Analysis) -> list[Artifact]:
    """The files that targets want to be shown."""
    found: list[Artifact] = []
    for label in labels:
        info = analysis.targets[label].providers.get(ReportInfo)
        if isinstance(info, ReportInfo):
            found += info.files
    return list(dict.fromkeys(found))


def show_reports(command: Command, labels: Iterable[Label], analysis: Analysis) -> None:
    """Print them."""
    for artifact in reports(labels, analysis):
        text = command.session.layout.source_path(artifact).read_text(
            encoding="utf-8", errors="replace"
        )
        for line in text.rstrip("\n").split("\n"):
            command.console.result(line)
