"""What all verbs that load a workspace share."""

import errno
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from occlum_build.cli.arguments import Arguments
from occlum_build.cli.console import Console
from occlum_build.diagnostic import DiagnosticError, error, warning
from occlum_build.execution.files import identity
from occlum_build.execution.fingerprint import (
    engine_files,
    fingerprint_path,
    now_ns,
    remember,
)
from occlum_build.execution.plan import Plan
from occlum_build.execution.progress import Progress
from occlum_build.execution.record import Record
from occlum_build.execution.session import Options, Session
from occlum_build.execution.signing_keys import KeyRing, development_key_path
from occlum_build.loading.workspace import Workspace, find_workspace, tool_repository
from occlum_build.private_file import readable_by_others

PACKAGE = Path(__file__).parents[1]


@dataclass
class Command:
    """One command line in its workspace."""

    arguments: Arguments
    words: tuple[str, ...]
    console: Console
    session: Session
    progress: Progress
    directory: Path
    started_ns: int = field(default_factory=now_ns)

    @classmethod
    def open(cls, arguments: Arguments, words: tuple[str, ...], console: Console) -> "Command":
        """Find the workspace of the current directory.

        Raises:
            DiagnosticError: there is none, or its marker or the configuration is wrong.
        """
        try:
            directory = Path(os.path.realpath(Path.cwd()))
        except FileNotFoundError:
            message = "no workspace: the current directory has been deleted"
            raise DiagnosticError(error("OB0101", message)) from None
        workspace = current_workspace(directory)
        configuration = workspace.configuration(arguments.configuration)
        progress = Progress(sys.stderr)
        options = Options(arguments.jobs, arguments.keep_going)
        keys = KeyRing(arguments.keys)
        open_files = (readable_by_others(one) for one in arguments.keys.values())
        console.diagnostics((one for one in open_files if one is not None), lambda _file: None)
        session = Session(workspace, configuration, keys, progress, options)
        return cls(arguments, words, console, session, progress, directory)

    def need_patterns(self) -> None:
        """Refuse a command line that names no target: doing nothing would look like success.

        Raises:
            DiagnosticError: no target is named.
        """
        if not self.arguments.patterns:
            verb = self.arguments.verb
            helps = (f"`occlum-build {verb} //...` takes every target of the workspace",)
            raise DiagnosticError(error("OB0001", f"`{verb}` needs a target", helps=helps))

    def remember(self, plan: Plan, **more: object) -> None:
        """Leave a fingerprint, so that the same command costs nothing while nothing changes.

        What was to be done is done: a full disk keeps it from being remembered, no more.
        """
        session = self.session
        sources = engine_files(str(PACKAGE))
        for read, status in (
            *session.loader.sources.files.items(),
            *session.loader.sources.directories.items(),
        ):
            sources[str(read)] = identity(status) if status is not None else None
        sources |= session.digests.stats
        marker = session.workspace.root / "WORKSPACE.occlum"
        sources[str(marker)] = identity(marker.stat())
        keys = [development_key_path(), *self.arguments.keys.values()]
        outputs = [*map(str, keys), *self._made(plan)]
        root = str(session.workspace.root)
        path = fingerprint_path(str(session.layout.state), root, self.words, str(self.directory))
        answer = {"text": self.console.result_text, **more}
        try:
            remember(path, sources, outputs, answer, self.started_ns)
        except OSError as problem:
            if problem.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            self._warn_of_full_disk(path)

    def _warn_of_full_disk(self, path: str) -> None:
        found = warning(
            "OB0403",
            "this command will not be remembered: no space is left on the device",
            notes=(f"while writing `{path}`",),
            helps=("make room: until then, the same command looks at everything again",),
        )
        self.console.diagnostics([found], lambda _file: None)

    def _made(self, plan: Plan) -> list[str]:
        root = self.session.workspace.root
        found = [str(root / plan.layout.ninja_file)]
        for name in plan.records():
            record = Record.read(str(root / name))
            found += [str(root / one) for one in (record.outputs if record is not None else ())]
            found += [
                str(root / name),
                str(root / plan.layout.action_file(plan.step_of(name).action, "stamp")),
            ]
        return found


def current_workspace(directory: Path) -> Workspace:
    """The workspace that `directory` lies in."""
    return find_workspace(directory, tool_repository(PACKAGE))
