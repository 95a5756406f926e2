"""What toolchains that are fetched as a wheel share."""

from typing import TypeVar

from occlum_build.api import STORE, Artifact, Attrs, Label, RuleContext

from .providers import ScriptInfo

AttrsT = TypeVar("AttrsT", bound=Attrs)


def fetch_wheel(
    ctx: RuleContext[AttrsT], fetcher: Label, lock: Artifact, package: str, tool: str
) -> Artifact:
    """Fetch the wheel of `package` that `lock` pins; `tool` is its name for people."""
    wheel = ctx.declare_file(f"{ctx.label.name}.whl")
    ctx.run(
        mnemonic="FetchWheel",
        argv=[
            ctx.dep(fetcher, ScriptInfo).tool,
            *("--lock", lock, "--package", package, "--store", STORE, "--output", wheel),
        ],
        outputs=[wheel],
        network=True,
        description=f"fetching {tool}",
    )
    return wheel
