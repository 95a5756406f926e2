"""`translations`: a C header made from files of translated texts.

This is a rule of the example's own. It uses the API that the built-in rules use, and
`cc_binary` takes its header as it takes any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from occlum.rules.providers import ScriptInfo

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


@dataclass(frozen=True)
class TranslationsInfo(Provider):
    """Which languages a header speaks."""

    languages: tuple[str, ...]


class TranslationsAttrs(Attrs):
    """What a `translations` may say."""

    texts: dict[str, Annotated[Label, Source(".txt")]] = Field(
        description="Language to the file with its texts, one `name: text` a line.", min_length=1
    )
    generator: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("//examples/custom_rule/tools:make_header"),
        description="The program that makes the header.",
    )


def analyze(ctx: RuleContext[TranslationsAttrs]) -> Sequence[Provider]:
    """Make `<name>.h`."""
    header = ctx.declare_file(f"{ctx.label.name}.h")
    texts = {language: ctx.file(label) for language, label in sorted(ctx.attrs.texts.items())}
    ctx.run(
        mnemonic="Translations",
        argv=[
            ctx.dep(ctx.attrs.generator, ScriptInfo).tool,
            *("--output", header),
            *(f"{language}={file}" for language, file in texts.items()),
        ],
        inputs=texts.values(),
        outputs=[header],
        description=f"translating {ctx.label}",
    )
    return [DefaultInfo((header,)), TranslationsInfo(tuple(texts))]


translations = Rule(
    attrs=TranslationsAttrs, analyze=analyze, provides=(DefaultInfo, TranslationsInfo)
)
