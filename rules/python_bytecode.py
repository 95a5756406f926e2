"""`python_bytecode`: the compiled modules of Python files, for an image that holds those files.

Without them a program in an enclave compiles each module that it imports, at each start.
"""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    Artifact,
    Attrs,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
)

from .origins import tree_origins
from .providers import TreeInfo


class PythonBytecodeAttrs(Attrs):
    """What a `python_bytecode` may say."""

    python: Annotated[Label, Dep(TreeInfo)] = Field(
        description="The tree with the interpreter, its libraries and its standard library, such"
        " as a `deb_rootfs` with `python3`. The interpreter runs on the machine that builds."
    )
    interpreter: str = Field(
        default="/usr/bin/python3",
        description="The path of the interpreter in that tree.",
        pattern=r"^(/[^/]+)+$",
    )
    trees: tuple[Annotated[Label, Dep(TreeInfo)], ...] = Field(
        default=(),
        description="The trees whose `*.py` files are compiled; without any, that of `python`.",
    )
    exclude: tuple[str, ...] = Field(
        default=("**/test", "**/tests"),
        description="Patterns of paths that are not compiled, with all below them: `*` inside a"
        " name, `**` for any number of names. A file that does not compile is an error.",
    )


def analyze(ctx: RuleContext[PythonBytecodeAttrs]) -> Sequence[Provider]:
    """Run the interpreter of the tree over the modules."""
    attrs = ctx.attrs
    python = ctx.dep(attrs.python, TreeInfo)
    trees = ctx.deps(attrs.trees or (attrs.python,), TreeInfo)
    _, inherited = tree_origins(trees)
    tree = ctx.declare_file(f"{ctx.label.name}.tar")
    origins = ctx.declare_file(f"{ctx.label.name}.origins.json")
    ctx.run(
        mnemonic="PythonBytecode",
        argv=[
            ctx.python_tool("occlum_build.fs"),
            *("bytecode", "--label", str(ctx.label), "--python", python.tar),
            *("--interpreter", attrs.interpreter),
            *(f"--exclude={pattern}" for pattern in attrs.exclude),
            *(word for one in trees for word in _tree_words(one)),
            *("--output", tree, "--origins", origins),
        ],
        outputs=[tree, origins],
        description=f"compiling the Python modules of {ctx.label}",
    )
    return [DefaultInfo((tree,)), TreeInfo(tree, origins, inherited)]


def _tree_words(tree: TreeInfo) -> tuple[str | Artifact, ...]:
    return ("--tree", tree.tar, *(() if tree.origins is None else (tree.origins,)))


python_bytecode = Rule(
    attrs=PythonBytecodeAttrs, analyze=analyze, provides=(DefaultInfo, TreeInfo)
)
