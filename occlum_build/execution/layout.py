"""Where things lie below `out/` and beside the workspace."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from occlum_build.action import Action
from occlum_build.artifact import Artifact
from occlum_build.configuration import Configuration
from occlum_build.loading.workspace import OUTPUT_DIRECTORY, STATE_DIRECTORY, Workspace

CACHE_VARIABLE = "OCCLUM_BUILD_CACHE"


@dataclass(frozen=True)
class Layout:
    """Every place that the execution of one configuration writes to."""

    workspace: Workspace
    configuration: Configuration

    @property
    def root(self) -> Path:
        """The workspace."""
        return self.workspace.root

    @property
    def directory(self) -> str:
        """The outputs of this configuration, relative to the workspace."""
        return f"{OUTPUT_DIRECTORY}/{self.configuration.name}"

    @property
    def ninja_file(self) -> str:
        """The file that ninja reads, relative to the workspace."""
        return f"{self.directory}/build.ninja"

    @property
    def ninja_directory(self) -> str:
        """Where ninja keeps what it remembers, relative to the workspace."""
        return f"{self.directory}/.ninja"

    @property
    def ninja_log(self) -> str:
        """What ninja remembers of the actions that it ran, relative to the workspace."""
        return f"{self.ninja_directory}/.ninja_log"

    @property
    def state(self) -> Path:
        """What is remembered of this workspace: digests, fingerprints, the lock."""
        return self.root / STATE_DIRECTORY

    @property
    def cache(self) -> Path:
        """Downloads and tools, named by content: several workspaces may share one.

        It is the state directory, or where the variable OCCLUM_BUILD_CACHE points.
        """
        chosen = os.environ.get(CACHE_VARIABLE)
        return Path(chosen).absolute() if chosen else self.state

    def source_path(self, artifact: Artifact) -> Path:
        """Where an artifact lies; a source of another repository lies outside the workspace."""
        if artifact.is_source and artifact.owner.repository:
            return self.workspace.path(artifact.owner)
        return self.root / artifact.path

    def source_place(self, artifact: Artifact) -> str:
        """Where a source lies: inside the workspace as a relative path."""
        return str(self.source_path(artifact)) if artifact.owner.repository else artifact.path

    def action_file(self, action: Action, kind: str) -> str:
        """The file of this kind (`json`, `stamp`, `record`, `log`, …) of an action."""
        name = hashlib.sha256(action.outputs[0].path.encode()).hexdigest()[:16]
        return f"{self.directory}/.actions/{name}.{kind}"

    def sandbox(self, action: Action) -> str:
        """Where the action runs; as long for one action as for the other."""
        return self.action_file(action, "sandbox")

    def node(self, action: Action, output: Artifact) -> str:
        """The file that stands for an output in ninja's graph: a directory's is its digest."""
        if not output.is_directory:
            return output.path
        return self.action_file(action, f"{action.outputs.index(output)}.tree")


def public_key_path(name: str) -> str:
    """The public half of a signing key, relative to the workspace."""
    return f"{OUTPUT_DIRECTORY}/keys/{name}.pem"
