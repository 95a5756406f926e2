"""`tar_archive`: the tree of a tar file that another program wrote."""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    Attrs,
    DefaultInfo,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    Source,
)

from .providers import TreeInfo


class TarArchiveAttrs(Attrs):
    """What a `tar_archive` may say."""

    archive: Annotated[Label, Source(".tar")] = Field(
        description="The tar file, as `tar` or `docker export` writes it. Owners, times and the"
        " order of its members are left behind.",
    )


def analyze(ctx: RuleContext[TarArchiveAttrs]) -> Sequence[Provider]:
    """Write the canonical form."""
    tree = ctx.declare_file(f"{ctx.label.name}.canonical.tar")
    origins = ctx.declare_file(f"{ctx.label.name}.origins.json")
    ctx.run(
        mnemonic="TarArchive",
        argv=[
            ctx.python_tool("occlum_build.fs"),
            *("import-tar", ctx.file(ctx.attrs.archive), "--output", tree),
            *("--origins", origins),
        ],
        outputs=[tree, origins],
        description=f"reading {ctx.label}",
    )
    return [DefaultInfo((tree,)), TreeInfo(tree, origins)]


tar_archive = Rule(attrs=TarArchiveAttrs, analyze=analyze, provides=(DefaultInfo, TreeInfo))
