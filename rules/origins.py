"""Where files come from, as rules hand it on for bills of materials; no rule itself."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from occlum_build.api import Artifact, Attrs, Label, RuleContext

from .providers import OriginInfo, TreeInfo

AttrsT = TypeVar("AttrsT", bound=Attrs)


@dataclass(frozen=True)
class FileOrigin:
    """The origin of one file, and what is read to understand it."""

    facts: Mapping[str, object]
    inputs: tuple[Artifact, ...] = ()


def file_origin(ctx: RuleContext[AttrsT], label: Label) -> FileOrigin:
    """What the file of a label is: a source, or a program with what its rule says of it."""
    file = ctx.file(label)
    facts: dict[str, object] = {"label": str(label)}
    if file.is_source:
        return FileOrigin({**facts, "file": file.path})
    info = ctx.find(label, OriginInfo)
    return FileOrigin(facts) if info is None else FileOrigin({**facts, **info.facts}, info.inputs)


def tree_origins(trees: Iterable[TreeInfo]) -> tuple[dict[str, str], tuple[Artifact, ...]]:
    """The origins file of each tree by its tar, and what is read to understand them."""
    files: dict[str, str] = {}
    inputs: list[Artifact] = []
    for tree in trees:
        if tree.origins is not None:
            files[tree.tar.path] = tree.origins.path
        inputs += tree.origin_inputs
    return files, tuple(dict.fromkeys(inputs))
