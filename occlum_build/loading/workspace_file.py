"""`WORKSPACE.occlum`: the marker at the top of a workspace, in strict YAML.

name: shop                      # optional: `@shop//…` means this workspace
configurations:                 # optional: chosen with `-c NAME`
  default: {mode: debug}
  release: {mode: release}
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from occlum_build.configuration import DEFAULT_NAME, Configuration
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, near

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_CONFIGURATION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TAKEN: Final = {
    "CACHEDIR.TAG": "`out/CACHEDIR.TAG` tells programs that make backups what `out/` is",
    "keys": "`out/keys` holds the development keys, which all configurations share",
}
"""What else lies in `out/`, beside a directory of outputs for each configuration."""
_KEYS: Final = ("name", "configurations")


@dataclass(frozen=True)
class WorkspaceFile:
    """What a marker says. An empty one says nothing, which is fine."""

    name: str = ""
    configurations: Mapping[str, Configuration] = field(
        default_factory=lambda: MappingProxyType({DEFAULT_NAME: Configuration()})
    )


def read_workspace_file(path: Path) -> WorkspaceFile:
    """The marker at `path`.

    Raises:
        DiagnosticError: with everything that is wrong in it.
    """
    return parse_workspace_file(path.read_text(encoding="utf-8", errors="replace"), path.name)


def parse_workspace_file(text: str, file: str) -> WorkspaceFile:
    """The marker with this text, named `file` in messages."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        span = Span(file, mark.line + 1, mark.column + 1) if mark else Span(file)
        raise DiagnosticError(
            error("OB0102", f"this is no YAML: {problem.problem}", span)
        ) from None
    except (yaml.YAMLError, RecursionError) as problem:
        why = getattr(problem, "reason", None) or "it is nested too deeply"
        raise DiagnosticError(error("OB0102", f"this is no YAML: {why}", Span(file))) from None
    reader = _Reader(file)
    result = reader.workspace(root)
    if reader.problems:
        raise DiagnosticError(reader.problems)
    return result


class _Reader:
    """Walks the composed nodes: they know their lines, and duplicates are still there."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Diagnostic] = []

    def workspace(self, root: yaml.Node | None) -> WorkspaceFile:
        name, configurations = "", {DEFAULT_NAME: Configuration()}
        for key, node, value in self._entries(root):
            if key == "name":
                name = self._string(value)
                if name and not _NAME.fullmatch(name):
                    self._wrong(
                        value, f"`{name}` is no repository name", "lower case, digits, `_`"
                    )
            elif key == "configurations":
                for title, title_node, values in self._entries(value):
                    if not _CONFIGURATION.fullmatch(title):
                        self._wrong(title_node, f"`{title}` is no configuration name")
                    if title in _TAKEN:
                        self._wrong(
                            title_node,
                            f"no configuration can be called `{title}`",
                            notes=(_TAKEN[title],),
                            helps=("give it another name",),
                        )
                    choices = {one: self._string(node) for one, _, node in self._entries(values)}
                    configurations[title] = Configuration(title, MappingProxyType(choices))
            else:
                guess = near(key, _KEYS)
                self._wrong(
                    node,
                    f"unknown key `{key}`",
                    helps=(f"a key `{guess}` exists",)
                    if guess
                    else ("the keys are `name` and `configurations`",),
                )
        return WorkspaceFile(name, MappingProxyType(configurations))

    def _entries(self, node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        if node is None or _is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self._wrong(node, "a mapping is needed here")
            return
        seen: set[str] = set()
        for key_node, value in node.value:
            key = self._string(key_node)
            if key in seen:
                self._wrong(key_node, f"`{key}` is here twice")
            seen.add(key)
            yield key, key_node, value

    def _string(self, node: yaml.Node) -> str:
        """A scalar as it is written: YAML's `on`, `1:30` and `0755` stay what they look like."""
        if isinstance(node, yaml.ScalarNode):
            return str(node.value)
        self._wrong(node, "a string is needed here")
        return ""

    def _wrong(
        self,
        node: yaml.Node,
        message: str,
        label: str = "",
        notes: tuple[str, ...] = (),
        helps: tuple[str, ...] = (),
    ) -> None:
        start, end = node.start_mark, node.end_mark
        end_column = end.column + 1 if end.line == start.line else 0
        span = Span(self.file, start.line + 1, start.column + 1, end_column)
        self.problems.append(error("OB0102", message, span, label=label, notes=notes, helps=helps))


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
