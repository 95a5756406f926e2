"""`deb_lock`: resolves Debian packages with all that they depend on into a lock file.

It builds nothing: `occlum-build run` it, look at what it wrote beside its BUILD file, and
commit that.
"""

from collections.abc import Sequence

from occlum_build.api import (
    EXEC_ROOT,
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
    Tool,
)

from .providers import ScriptInfo


class DebLockAttrs(Attrs):
    """What a `deb_lock` may say."""

    packages: tuple[str, ...] = Field(
        description="The packages that root file systems name. What they depend on is resolved by"
        " apt, with the machine's own sources; recommendations are left out.",
        min_length=1,
    )
    lock: str = Field(
        description="The lock file to write, a name in the directory of the BUILD file.",
        pattern=r"^[A-Za-z0-9._-]+\.lock$",
    )
    resolver: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:lock_debs"),
        description="The program that resolves packages.",
    )


def analyze(ctx: RuleContext[DebLockAttrs]) -> Sequence[Provider]:
    """Say how the lock file is written."""
    place = "/".join(part for part in (EXEC_ROOT, ctx.label.package, ctx.attrs.lock) if part)
    argv: tuple[str | Tool, ...] = (
        ctx.dep(ctx.attrs.resolver, ScriptInfo).tool,
        *(word for name in ctx.attrs.packages for word in ("--package", name)),
        *("--target", str(ctx.label), "--store", STORE, "--output", place),
    )
    return [DefaultInfo(), RunInfo(argv)]


deb_lock = Rule(attrs=DebLockAttrs, analyze=analyze, provides=(DefaultInfo, RunInfo))
