"""`genrule`: files that one command makes from others."""

import re
from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    Artifact,
    Attrs,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    Source,
    Tool,
)

from .providers import BinaryInfo, ScriptInfo


class GenruleAttrs(Attrs):
    """What a `genrule` may say."""

    srcs: tuple[Annotated[Label, Source()], ...] = Field(
        default=(), description="The files that the command reads, beside its tool."
    )
    outs: tuple[str, ...] = Field(
        description="The files that the command makes, relative to the package.", min_length=1
    )
    tool: Annotated[Label, Dep()] = Field(
        description="The program: a `python_script`, or a binary that runs on the host."
    )
    args: tuple[str, ...] = Field(
        default=(),
        description="Its arguments. `$(location label)` is the path of a file of `srcs`,"
        " `$(srcs)` of all of them, `$(out name)` of one of `outs`, `$(outs)` of all;"
        " `$$` is a dollar sign.",
    )
    env: dict[str, str] = Field(
        default={}, description="All environment variables that the command sees."
    )


_VARIABLE = re.compile(r"\$(?:\$|\((?P<name>[a-z]+)(?: (?P<argument>[^()]+))?\)|)")


def analyze(ctx: RuleContext[GenruleAttrs]) -> Sequence[Provider]:
    """Run the tool; there is no shell, so no quoting and no program that was not named."""
    outputs = {name: ctx.declare_file(name) for name in ctx.attrs.outs}
    inputs = ctx.files(ctx.attrs.srcs)
    arguments = [
        word for argument in ctx.attrs.args for word in _expanded(ctx, argument, inputs, outputs)
    ]
    ctx.run(
        mnemonic="Genrule",
        argv=[_tool(ctx), *arguments],
        inputs=inputs,
        outputs=tuple(outputs.values()),
        env=ctx.attrs.env,
        description=f"running {ctx.attrs.tool}",
    )
    return [DefaultInfo(tuple(outputs.values()))]


def _tool(ctx: RuleContext[GenruleAttrs]) -> Tool | Artifact:
    script = ctx.find(ctx.attrs.tool, ScriptInfo)
    return script.tool if script else ctx.dep(ctx.attrs.tool, BinaryInfo).program


def _expanded(
    ctx: RuleContext[GenruleAttrs],
    argument: str,
    inputs: Sequence[Artifact],
    outputs: dict[str, Artifact],
) -> list[str]:
    """The words that an argument means: several only if it is `$(srcs)` or `$(outs)` alone."""
    if argument == "$(srcs)":
        return [one.path for one in inputs]
    if argument == "$(outs)":
        return [one.path for one in outputs.values()]

    def value(match: re.Match[str]) -> str:
        meaning = _meaning(ctx, match, outputs)
        if meaning is None:
            known = ", ".join(f"`$(out {one})`" for one in outputs)
            ctx.fail(
                f"`{match[0]}` in `{argument}` means nothing",
                "args",
                helps=(f"there are `$(location label)` of `srcs` and {known}; `$$` is a dollar",),
            )
        return meaning

    return [_VARIABLE.sub(value, argument)]


def _meaning(
    ctx: RuleContext[GenruleAttrs], match: re.Match[str], outputs: dict[str, Artifact]
) -> str | None:
    """What one `$…` stands for; None if it stands for nothing."""
    name, text = match["name"], match["argument"]
    if match[0] == "$$":
        return "$"
    if name == "out" and text in outputs:
        return outputs[text].path
    return _location(ctx, text) if name == "location" and text else None


def _location(ctx: RuleContext[GenruleAttrs], text: str) -> str:
    wanted = [one for one in ctx.attrs.srcs if text in {one.name, f":{one.name}", str(one)}]
    if len(wanted) != 1:
        ctx.fail(f"`$(location {text})` names no label of `srcs`", "args")
    return ctx.file(wanted[0]).path


genrule = Rule(attrs=GenruleAttrs, analyze=analyze)
