"""Toolchains that are fetched as a wheel and checked by SHA-256: a rule for each compiler."""

from collections.abc import Sequence
from typing import TypeVar

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
    Source,
)

from .providers import ScriptInfo, WheelInfo


class WheelToolchainAttrs(Attrs):
    """What such a rule may say; each adds the `driver` that it has by default."""

    lock: Annotated[Label, Source(".lock")] = Field(
        description="The lock file with the version and SHA-256 of the wheel."
    )
    fetcher: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:fetch_wheel"),
        description="The program that fetches a wheel.",
    )
    driver: Annotated[Label, Dep(ScriptInfo)] = Field(
        description="The program that unpacks the wheel and runs the compiler."
    )


AttrsT = TypeVar("AttrsT", bound=WheelToolchainAttrs)


def wheel_toolchain(
    attrs: type[AttrsT], info: type[WheelInfo], *, package: str, tool: str
) -> Rule[AttrsT]:
    """The rule for the compiler in the wheel `package`; `tool` is its name for people."""

    def analyze(ctx: RuleContext[AttrsT]) -> Sequence[Provider]:
        """Fetch the wheel; it is unpacked where it is first used."""
        lock = ctx.file(ctx.attrs.lock)
        wheel = ctx.declare_file(f"{ctx.label.name}.whl")
        ctx.run(
            mnemonic="FetchWheel",
            argv=[
                ctx.dep(ctx.attrs.fetcher, ScriptInfo).tool,
                *("--lock", lock, "--package", package, "--store", STORE, "--output", wheel),
            ],
            outputs=[wheel],
            network=True,
            description=f"fetching {tool}",
        )
        driver = ctx.dep(ctx.attrs.driver, ScriptInfo).tool
        return [DefaultInfo((wheel,)), info(wheel, lock, driver)]

    return Rule(attrs=attrs, analyze=analyze, provides=(DefaultInfo, info))
