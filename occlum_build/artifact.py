"""Artifacts: the files and directories that actions read and write."""

from dataclasses import dataclass
from enum import Enum

from occlum_build.label import Label


class Root(Enum):
    """Where an artifact comes from."""

    SOURCE = "source"
    """A file of the source tree; never written."""
    OUTPUT = "output"
    """Made by exactly one action."""
    PUBLIC_KEY = "public_key"
    """The public half of a signing key that the user named."""


@dataclass(frozen=True, slots=True, order=True)
class Artifact:
    """A file or directory, named before it exists.

    `path` is relative to the directory in which every action runs, so it may be
    put into an argument or a response file as it is. It says nothing about where
    the workspace lies on a disk, and an artifact is never read during analysis.
    `owner` is the source file's label, or the target that declared the output.
    """

    path: str
    owner: Label
    root_name: str
    is_directory: bool = False

    @property
    def root(self) -> Root:
        """Where it comes from."""
        return Root(self.root_name)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def is_source(self) -> bool:
        """Whether no action makes it."""
        return self.root is not Root.OUTPUT

    def __str__(self) -> str:
        """The path, so that an f-string may be an argument."""
        return self.path

    @classmethod
    def source(cls, path: str, label: Label) -> "Artifact":
        """The source file `label`, which actions see at `path`."""
        return cls(path, label, Root.SOURCE.value)

    @classmethod
    def output(cls, path: str, owner: Label, *, is_directory: bool = False) -> "Artifact":
        """What an action of `owner` makes at `path`."""
        return cls(path, owner, Root.OUTPUT.value, is_directory)
