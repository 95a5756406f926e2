"""Providers: what a target promises to the targets that depend on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from occlum_build.action import Tool
from occlum_build.artifact import Artifact
from occlum_build.label import Label

_LONGEST_SECONDS: Final = 7 * 24 * 3600


class Provider:
    """Base of every provider: a frozen dataclass of artifacts and plain values.

    A rule file declares its own (`@dataclass(frozen=True) class ZigInfo(Provider)`).
    A provider holds no open file and no result of an action: those do not exist yet.
    """


def need(what: str, values: Iterable[object], *kinds: type) -> None:
    """Refuse values that are of none of `kinds`, where a rule file hands them over.

    Raises:
        TypeError: there is one.
    """
    for one in values:
        if not isinstance(one, kinds):
            named = " or ".join(f"`{kind.__name__}`" for kind in kinds)
            raise TypeError(f"`{what}`: {one!r} is no {named}")


def need_class(what: str, value: object, base: type) -> None:
    """Refuse what is no class derived from `base`.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, type) or not issubclass(value, base):
        raise TypeError(f"`{what}`: {value!r} is no class derived from `{base.__name__}`")


def check_timeout(seconds: object) -> None:
    """Refuse what is no number of seconds that a clock can wait for.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(seconds, int) or not 0 <= seconds <= _LONGEST_SECONDS:
        raise ValueError(f"a timeout is 0 (none) to {_LONGEST_SECONDS} seconds, not {seconds!r}")


@dataclass(frozen=True)
class DefaultInfo(Provider):
    """The files that `occlum-build build` makes for a target, and `srcs` of others get."""

    files: tuple[Artifact, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no artifact."""
        need("files", self.files, Artifact)


@dataclass(frozen=True)
class RunInfo(Provider):
    """What `occlum-build run` executes: with the user's terminal, directory and environment.

    `argv` may name tools and artifacts; `inputs` are built first. It runs outside
    any sandbox and its result is nobody's input. A program that takes the option
    `--trace[=FILE]` says so by `debugging`: what it is given behind its name, before
    that. None means that it does not know it.
    """

    argv: tuple[str | Artifact | Tool, ...]
    inputs: tuple[Artifact, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    debugging: tuple[str | Artifact, ...] | None = None
    debugger: tuple[str | Artifact | Tool, ...] | None = None
    """Takes `--gdb`, `--perf-map`, `--symbolize` and `--trace[=FILE]`, then `--` and `argv`."""

    def __post_init__(self) -> None:
        """Refuse what cannot be executed."""
        _check_command(self.argv, self.inputs)
        need("debugging", self.debugging or (), str, Artifact)
        if self.debugger is not None:
            _check_command(self.debugger, self.inputs)
        need("env", (*self.env, *self.env.values()), str)


@dataclass(frozen=True)
class TestInfo(Provider):
    """What `occlum-build test` executes: exit status 0 passes, all else fails.

    It runs as an action does: declared `inputs` only, `env` only. A pass is
    remembered under the action's key; `is_cacheable=False` runs it every time.
    `junit` is a path, relative to the directory it runs in, where the test writes
    JUnit XML: its cases are then counted. The counts do not decide: the status does.
    `golden` has, for source files that say what is expected, the artifacts that say what is
    so: `test --accept` writes those over the sources before the test runs.
    `filter_option` is how the command takes the text of `test --test-filter`, which is joined
    to it: `-k` for pytest. Without one, such a run has all cases. An empty one is for a command
    that reads the variable TESTBRIDGE_TEST_ONLY, which whoever filters finds set as under Bazel.
    A command that finds no case of this name ends with status 5, as pytest does.
    """

    argv: tuple[str | Artifact | Tool, ...]
    inputs: tuple[Artifact, ...] = ()
    env: Mapping[str, str | Artifact | Tool] = field(default_factory=lambda: MappingProxyType({}))
    timeout_seconds: int = 300
    junit: str | None = None
    network: bool = False
    is_cacheable: bool = True
    tools: tuple[Tool, ...] = ()
    golden: Mapping[Artifact, Artifact] = field(default_factory=lambda: MappingProxyType({}))
    filter_option: str | None = None

    __test__ = False  # pytest collects classes named Test…

    def __post_init__(self) -> None:
        """Refuse what cannot be executed."""
        _check_command(self.argv, self.inputs)
        need("env", self.env, str)
        need("env", self.env.values(), str, Artifact, Tool)
        need("tools", self.tools, Tool)
        need("golden", (*self.golden, *self.golden.values()), Artifact)
        if self.filter_option is not None:
            need("filter_option", (self.filter_option,), str)
        check_timeout(self.timeout_seconds)


@dataclass(frozen=True)
class ReportInfo(Provider):
    """Small text files that are shown after a successful build, such as an MRENCLAVE."""

    files: tuple[Artifact, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no artifact."""
        need("files", self.files, Artifact)


@dataclass(frozen=True)
class SuiteInfo(Provider):
    """The targets that stand for this one in `test` and `build`; made by `test_suite`."""

    members: tuple[Label, ...] = ()


def _check_command(argv: Iterable[object], inputs: Iterable[object]) -> None:
    words = list(argv)
    if not words:
        raise ValueError("`argv` is empty: there is no program to execute")
    need("argv", words, str, Artifact, Tool)
    need("inputs", inputs, Artifact)
