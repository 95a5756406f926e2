"""`deb_archive`: the files of one Debian package, named by version and SHA-256."""

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
    Source,
)

from .providers import ScriptInfo, TreeInfo


class DebArchiveAttrs(Attrs):
    """What a `deb_archive` may say."""

    package: str = Field(
        description="The package, as the lock file and apt name it.",
        pattern=r"^[a-z0-9][a-z0-9+.-]+$",
    )
    lock: Annotated[Label, Source(".lock")] = Field(
        default=Label.parse("@occlum//toolchain:debian.lock"),
        description="The lock file with the package's version and SHA-256.",
    )
    fetcher: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:fetch_deb"),
        description="The program that fetches a package.",
    )


def analyze(ctx: RuleContext[DebArchiveAttrs]) -> Sequence[Provider]:
    """Fetch the package, check its digest, and unpack it without running its scripts."""
    archive = ctx.declare_file(f"{ctx.label.name}.deb")
    package = ctx.attrs.package
    ctx.run(
        mnemonic="FetchDeb",
        argv=[
            ctx.dep(ctx.attrs.fetcher, ScriptInfo).tool,
            *("--lock", ctx.file(ctx.attrs.lock), "--package", package),
            *("--store", STORE, "--output", archive),
        ],
        outputs=[archive],
        network=True,
        description=f"fetching Debian package {package}",
    )
    tree = ctx.declare_file(f"{ctx.label.name}.tar")
    origins = ctx.declare_file(f"{ctx.label.name}.origins.json")
    ctx.run(
        mnemonic="UnpackDeb",
        argv=[
            ctx.python_tool("occlum_build.fs"),
            *("unpack-deb", archive, "--output", tree, "--origins", origins),
        ],
        outputs=[tree, origins],
        description=f"unpacking Debian package {package}",
    )
    return [DefaultInfo((tree,)), TreeInfo(tree, origins)]


deb_archive = Rule(attrs=DebArchiveAttrs, analyze=analyze, provides=(DefaultInfo, TreeInfo))
