"""`genrule`: files that one command makes from others."""

import re
from collections.abc import Mapping, Sequence

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
    spelled = _spelled(ctx.attrs.srcs)
    arguments = [
        word
        for argument in ctx.attrs.args
        for word in _expanded(ctx, argument, inputs, outputs, spelled)
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
    outputs: Mapping[str, Artifact],
    spelled: Mapping[str, set[Label]],
) -> list[str]:
    """The words that an argument means: several only if it is `$(srcs)` or `$(outs)` alone."""
    if argument == "$(srcs)":
        return [one.path for one in inputs]
    if argument == "$(outs)":
        return [one.path for one in outputs.values()]

    def value(match: re.Match[str]) -> str:
        meaning = _meaning(ctx, match, outputs, spelled)
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
    ctx: RuleContext[GenruleAttrs],
    match: re.Match[str],
    outputs: Mapping[str, Artifact],
    spelled: Mapping[str, set[Label]],
) -> str | None:
    """What one `$…` stands for; None if it stands for nothing."""
    name, text = match["name"], match["argument"]
    if match[0] == "$$":
        return "$"
    if name == "out" and text in outputs:
        return outputs[text].path
    return _location(ctx, text, spelled) if name == "location" and text else None


def _location(ctx: RuleContext[GenruleAttrs], text: str, spelled: Mapping[str, set[Label]]) -> str:
    wanted = sorted(spelled.get(text, ()))
    if not wanted:
        ctx.fail(f"`$(location {text})` names no label of `srcs`", "args")
    if len(wanted) > 1:
        listed = ", ".join(f"`$(location {one})`" for one in wanted)
        ctx.fail(f"`$(location {text})` names several of `srcs`", "args", helps=(f"say {listed}",))
    return ctx.file(wanted[0]).path


def _spelled(labels: Sequence[Label]) -> dict[str, set[Label]]:
    """What `$(location …)` may call each label: whole, or by its name alone."""
    found: dict[str, set[Label]] = {}
    for one in labels:
        for text in (one.name, f":{one.name}", str(one)):
            found.setdefault(text, set()).add(one)
    return found


genrule = Rule(attrs=GenruleAttrs, analyze=analyze)
