"""`zig_toolchain`: the C and C++ compiler, fetched as a wheel and checked by SHA-256."""

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

from .providers import ScriptInfo, ZigInfo
from .wheel import fetch_wheel


class ZigToolchainAttrs(Attrs):
    """What a `zig_toolchain` may say."""

    lock: Annotated[Label, Source(".lock")] = Field(
        description="The lock file with the version and SHA-256 of the wheel `ziglang`."
    )
    fetcher: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:fetch_wheel"),
        description="The program that fetches a wheel.",
    )
    driver: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:zig_driver"),
        description="The program that unpacks the wheel and runs zig.",
    )


def analyze(ctx: RuleContext[ZigToolchainAttrs]) -> Sequence[Provider]:
    """Fetch the wheel; it is unpacked where it is first used."""
    lock = ctx.file(ctx.attrs.lock)
    wheel = fetch_wheel(ctx, ctx.attrs.fetcher, lock, "ziglang", "zig")
    driver = ctx.dep(ctx.attrs.driver, ScriptInfo).tool
    return [DefaultInfo((wheel,)), ZigInfo(wheel, lock, driver)]


zig_toolchain = Rule(attrs=ZigToolchainAttrs, analyze=analyze, provides=(DefaultInfo, ZigInfo))
