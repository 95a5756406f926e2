"""`alias`: another name for a target."""

from collections.abc import Sequence

from occlum_build.api import Annotated, Attrs, Field, Label, Provider, Rule, RuleContext, Source


class AliasAttrs(Attrs):
    """What an `alias` may say."""

    actual: Annotated[Label, Source()] = Field(description="The target or file it stands for.")


def analyze(ctx: RuleContext[AliasAttrs]) -> Sequence[Provider]:
    """Promise everything that `actual` promises."""
    return ctx.providers(ctx.attrs.actual)


alias = Rule(attrs=AliasAttrs, analyze=analyze)
