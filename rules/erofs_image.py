"""`erofs_image`: a file tree as a read-only image with a hash tree behind it."""

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
)

from .providers import ImageInfo, TreeInfo


class ErofsImageAttrs(Attrs):
    """What an `erofs_image` may say."""

    tree: Annotated[Label, Dep(TreeInfo)] = Field(
        description="The tree to pack: a `rootfs` or a `deb_archive`."
    )


def analyze(ctx: RuleContext[ErofsImageAttrs]) -> Sequence[Provider]:
    """Pack the tree; the root hash of its hash tree goes into the file beside the image."""
    image = ctx.declare_file(f"{ctx.label.name}.erofs")
    meta = ctx.declare_file(f"{ctx.label.name}.erofs.json")
    programs = ctx.declare_file(f"{ctx.label.name}.erofs.programs.json")
    tree = ctx.dep(ctx.attrs.tree, TreeInfo)
    ctx.run(
        mnemonic="ErofsImage",
        argv=[ctx.python_tool("occlum_build.fs"), "erofs", "--tree", tree.tar, "--output", image],
        outputs=[image, meta, programs],
        description=f"packing {ctx.label}",
    )
    return [
        DefaultInfo((image, meta)),
        ImageInfo(image, meta, tree.origins, tree.origin_inputs, programs),
    ]


erofs_image = Rule(attrs=ErofsImageAttrs, analyze=analyze, provides=(DefaultInfo, ImageInfo))
