"""Providers: what a target promises to the targets that depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from occlum_build.action import Tool
from occlum_build.artifact import Artifact
from occlum_build.label import Label


class Provider:
    """Base of every provider: a frozen dataclass of artifacts and plain values.

    A rule file declares its own (`@dataclass(frozen=True) class ZigInfo(Provider)`).
    A provider holds no open file and no result of an action: those do not exist yet.
    """


@dataclass(frozen=True)
class DefaultInfo(Provider):
    """The files that `occlum-build build` makes for a target, and `srcs` of others get."""

    files: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class RunInfo(Provider):
    """What `occlum-build run` executes: with the user's terminal, directory and environment.

    `argv` may name tools and artifacts; `inputs` are built first. It runs outside
    any sandbox and its result is nobody's input.
    """

    argv: tuple[str | Artifact | Tool, ...]
    inputs: tuple[Artifact, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class TestInfo(Provider):
    """What `occlum-build test` executes: exit status 0 passes, all else fails.

    It runs as an action does: declared `inputs` only, `env` only. A pass is
    remembered under the action's key; `is_cacheable=False` runs it every time.
    `junit` is a path, relative to the directory it runs in, where the test writes
    JUnit XML: its cases are then counted. The counts do not decide: the status does.
    """

    argv: tuple[str | Artifact | Tool, ...]
    inputs: tuple[Artifact, ...] = ()
    env: Mapping[str, str | Artifact | Tool] = field(default_factory=lambda: MappingProxyType({}))
    timeout_seconds: int = 300
    junit: str | None = None
    network: bool = False
    is_cacheable: bool = True
    tools: tuple[Tool, ...] = ()

    __test__ = False  # pytest collects classes named Test…


@dataclass(frozen=True)
class ReportInfo(Provider):
    """Small text files that are shown after a successful build, such as an MRENCLAVE."""

    files: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class SuiteInfo(Provider):
    """The targets that stand for this one in `test` and `build`; made by `test_suite`."""

    members: tuple[Label, ...] = ()
