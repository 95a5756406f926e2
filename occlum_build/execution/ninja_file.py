"""The text of `build.ninja`: edges that depend on key stamps, never on sources.

Ninja decides by time stamps, so the files it sees change only when contents do: a stamp
holds the digests of an action's sources, and the runner moves an output in place only if
it differs. `restat` then lets ninja stop where nothing changed.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Edge:
    """One action in ninja's terms."""

    outputs: tuple[str, ...]
    stamp: str
    inputs: tuple[str, ...]
    spec: str
    comment: str


def ninja_text(edges: Iterable[Edge], directory: str, python: str, runner: str) -> str:
    """The whole file; equal edges give equal text."""
    command = f"{_shell(python)} -I -S -B {_shell(runner)} $spec"
    lines = [
        "# Written by occlum-build. It is read again when it changes; edit BUILD files instead.",
        "ninja_required_version = 1.11",
        f"builddir = {_escaped(directory)}",
        "",
        "rule action",
        f"  command = {command}",
        "  description = $spec",
        "  restat = 1",
    ]
    for edge in edges:
        outputs = " ".join(_escaped(one) for one in edge.outputs)
        inputs = "".join(f" {_escaped(one)}" for one in dict.fromkeys(edge.inputs))
        implicit = f" |{inputs}" if inputs else ""
        lines += [
            "",
            f"# {edge.comment}",
            f"build {outputs}: action {_escaped(edge.stamp)}{implicit}",
            f"  spec = {_dollars(edge.spec)}",
        ]
    return "\n".join(lines) + "\n"


def _escaped(path: str) -> str:
    """A path in a `build` line."""
    return _dollars(path).replace(" ", "$ ").replace(":", "$:")


def _dollars(text: str) -> str:
    return text.replace("$", "$$")


def _shell(word: str) -> str:
    """A word of a command line, which ninja gives to `sh`."""
    quoted = word.replace("'", "'\\''")
    return _dollars(f"'{quoted}'")
