"""`bare_libos`: any static PIE as the LibOS of an enclave, for those who write their own."""

from collections.abc import Sequence

from occlum.rules.providers import BinaryInfo, LibosInfo

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


class BareLibosAttrs(Attrs):
    """What a `bare_libos` may say."""

    program: Annotated[Label, Dep(BinaryInfo)] = Field(
        description="A static PIE without relocations other than relative ones."
    )


def analyze(ctx: RuleContext[BareLibosAttrs]) -> Sequence[Provider]:
    """Promise the program as a LibOS."""
    elf = ctx.dep(ctx.attrs.program, BinaryInfo).program
    return [DefaultInfo((elf,)), LibosInfo(elf)]


bare_libos = Rule(attrs=BareLibosAttrs, analyze=analyze, provides=(DefaultInfo, LibosInfo))
