"""The workspace: which directory is built, and where each repository lies."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from occlum_build.artifact import Artifact
from occlum_build.configuration import Configuration
from occlum_build.diagnostic import DiagnosticError, error, near
from occlum_build.label import Label
from occlum_build.loading.workspace_file import WorkspaceFile, read_workspace_file

MARKER: Final = "WORKSPACE.occlum"
BUILD_FILE: Final = "BUILD"
TOOL_REPOSITORY: Final = "occlum"
OUTPUT_DIRECTORY: Final = "out"
STATE_DIRECTORY: Final = ".occlum-build"


@dataclass(frozen=True)
class Workspace:
    """A directory with a marker, and the repositories that labels can name.

    In a checkout of the tool the workspace itself is `@occlum`, and both spellings
    of a label mean one target; `canonical` sees to that.
    """

    root: Path
    file: WorkspaceFile
    tool_root: Path
    """Where the repository `@occlum` lies: the checkout, or inside the installed wheel."""

    @property
    def is_tool(self) -> bool:
        """Whether the workspace is the tool's own source tree."""
        return self.root == self.tool_root

    def canonical(self, label: Label) -> Label:
        """The one spelling of `label` here."""
        if label.repository in self._names_of_this():
            return Label("", label.package, label.name)
        return label

    def repository_root(self, label: Label) -> Path:
        """The directory of the label's repository.

        Raises:
            DiagnosticError: no such repository.
        """
        if not label.repository:
            return self.root
        if label.repository == TOOL_REPOSITORY:
            return self.tool_root
        raise DiagnosticError(
            error(
                "OB0113",
                f"no repository `@{label.repository}`",
                helps=(f"the repositories are this workspace and `@{TOOL_REPOSITORY}`",),
            )
        )

    def package_directory(self, label: Label) -> Path:
        """Where the label's package lies or would lie."""
        return self.repository_root(label) / label.package

    def path(self, label: Label) -> Path:
        """Where the source file `label` lies or would lie."""
        return self.package_directory(label) / label.name

    def shown(self, path: Path) -> str:
        """A path as a message names it: relative to the workspace where that is shorter."""
        if path.is_relative_to(self.root):
            return path.relative_to(self.root).as_posix() or "."
        if path.is_relative_to(self.tool_root):
            return f"@{TOOL_REPOSITORY}/{path.relative_to(self.tool_root).as_posix()}"
        return str(path)

    def source(self, label: Label) -> Artifact:
        """The artifact of a source file."""
        base = PurePosixPath("external", label.repository) if label.repository else PurePosixPath()
        return Artifact.source(str(base / label.package / label.name), label)

    def output_prefix(self, label: Label, configuration: Configuration) -> str:
        """The directory of a package's outputs, relative to where actions run."""
        base = PurePosixPath(OUTPUT_DIRECTORY, configuration.name, "bin")
        if label.repository:
            base = base / "external" / label.repository
        return str(base / label.package)

    def configuration(self, name: str) -> Configuration:
        """The configuration of this name.

        Raises:
            DiagnosticError: the workspace declares no such configuration.
        """
        configurations = self.file.configurations
        if name in configurations:
            return configurations[name]
        guess = near(name, configurations)
        known = ", ".join(f"`{one}`" for one in sorted(configurations))
        raise DiagnosticError(
            error(
                "OB0122",
                f"no configuration `{name}`",
                notes=(f"{MARKER} has {known}",),
                helps=(f"a configuration `{guess}` exists",) if guess else (),
            )
        )

    def _names_of_this(self) -> set[str]:
        own = {self.file.name} if self.file.name else set()
        return own | {TOOL_REPOSITORY} if self.is_tool else own - {TOOL_REPOSITORY}


def find_workspace(start: Path, tool_root: Path) -> Workspace:
    """The workspace that `start` lies in.

    Raises:
        DiagnosticError: neither it nor a parent holds a marker, or the marker is wrong.
    """
    start = Path(os.path.realpath(start))
    for directory in (start, *start.parents):
        marker = directory / MARKER
        if marker.is_file():
            return Workspace(
                directory, read_workspace_file(marker), Path(os.path.realpath(tool_root))
            )
    raise DiagnosticError(
        error(
            "OB0101",
            f"no workspace: neither `{start}` nor a parent holds a file `{MARKER}`",
            helps=(f"make one with `touch {MARKER}` at the top of the source tree",),
        )
    )


def tool_repository(package_directory: Path) -> Path:
    """Where `@occlum` lies, given where the package `occlum_build` lies."""
    installed = package_directory / "_occlum"
    return installed if installed.is_dir() else package_directory.parent
