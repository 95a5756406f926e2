"""How rules have a file tree written; no rule itself."""

import json
from collections.abc import Iterable, Mapping
from typing import TypeVar

from occlum_build.api import Artifact, Attrs, RuleContext

AttrsT = TypeVar("AttrsT", bound=Attrs)


def write_tree(
    ctx: RuleContext[AttrsT],
    spec: Mapping[str, object],
    *,
    mnemonic: str,
    inputs: Iterable[Artifact],
    description: str,
) -> tuple[Artifact, Artifact]:
    """The canonical tar of what `spec` says, and where its files come from.

    `inputs` are what `spec` names; `occlum_build.fs.specification` says how it is read.
    """
    spec_file = ctx.declare_file(f"{ctx.label.name}.json")
    ctx.write(spec_file, json.dumps(spec, indent=1, sort_keys=True) + "\n")
    tree = ctx.declare_file(f"{ctx.label.name}.tar")
    origins = ctx.declare_file(f"{ctx.label.name}.origins.json")
    ctx.run(
        mnemonic=mnemonic,
        argv=[
            ctx.python_tool("occlum_build.fs"),
            *("rootfs", "--spec", spec_file, "--output", tree, "--origins", origins),
        ],
        inputs=inputs,
        outputs=[tree, origins],
        description=description,
    )
    return tree, origins
