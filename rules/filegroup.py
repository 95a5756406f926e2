"""`filegroup`: one name for several files."""

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


class FilegroupAttrs(Attrs):
    """What a `filegroup` may say."""

    srcs: tuple[Annotated[Label, Source()], ...] = Field(
        default=(), description="The files, and targets whose files are taken."
    )


def analyze(ctx: RuleContext[FilegroupAttrs]) -> Sequence[Provider]:
    """Promise the files of `srcs`, in order, each once."""
    return [DefaultInfo(ctx.files(ctx.attrs.srcs))]


filegroup = Rule(attrs=FilegroupAttrs, analyze=analyze)
