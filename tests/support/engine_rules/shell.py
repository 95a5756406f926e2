"""Rules for tests of the engine: as little as shows what an action sees and makes."""

from collections.abc import Sequence

from occlum_build.api import (
    EXEC_ROOT,
    Annotated,
    Artifact,
    Attrs,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    ReportInfo,
    Rule,
    RuleContext,
    RunInfo,
    Source,
    TestInfo,
)

_ENV = {"PATH": "/usr/bin:/bin"}


class ShellAttrs(Attrs):
    """A command of the shell."""

    srcs: tuple[Annotated[Label, Source()], ...] = Field(default=(), description="Its inputs.")
    outs: tuple[str, ...] = Field(default=(), description="Its output files.")
    out_dirs: tuple[str, ...] = Field(default=(), description="Its output directories.")
    cmd: str = Field(description="The command; `$IN`, `$OUT` and `$ROOT` are what they say.")
    env: dict[str, str] = Field(default={}, description="Its environment.")
    network: bool = Field(default=False, description="Whether it uses the network.")
    timeout: int = Field(default=0, description="After how many seconds it is ended.")
    report: bool = Field(default=False, description="Whether its first output is shown.")


def _shell(ctx: RuleContext[ShellAttrs]) -> Sequence[Provider]:
    attrs = ctx.attrs
    outs = [ctx.declare_file(one) for one in attrs.outs]
    outs += [ctx.declare_directory(one) for one in attrs.out_dirs]
    srcs = ctx.files(attrs.srcs)
    ctx.run(
        mnemonic="Shell",
        argv=["/bin/sh", "-ec", _expanded(attrs.cmd, srcs, outs)],
        inputs=srcs,
        outputs=outs,
        env={**_ENV, **attrs.env},
        network=attrs.network,
        timeout_seconds=attrs.timeout,
    )
    report = [ReportInfo((outs[0],))] if attrs.report else []
    return [DefaultInfo(tuple(outs)), RunInfo(("/bin/cat", outs[0])), *report]


def _expanded(text: str, srcs: Sequence[Artifact], outs: Sequence[Artifact]) -> str:
    text = text.replace("$IN", " ".join(one.path for one in srcs))
    text = text.replace("$OUT", " ".join(one.path for one in outs))
    return text.replace("$ROOT", EXEC_ROOT)


class WriteAttrs(Attrs):
    """A file with a text."""

    text: str = Field(description="The text.")
    executable: bool = Field(default=False, description="Whether it can be executed.")


def _write(ctx: RuleContext[WriteAttrs]) -> Sequence[Provider]:
    out = ctx.declare_file(ctx.label.name)
    ctx.write(out, ctx.attrs.text, executable=ctx.attrs.executable)
    return [DefaultInfo((out,))]


class SignAttrs(Attrs):
    """A file and a key."""

    src: Annotated[Label, Source()] = Field(description="The file.")
    key: str = Field(default="development", description="The key's name.")
    documents: bool = Field(default=False, description="Whether the key signs documents.")


def _sign(ctx: RuleContext[SignAttrs]) -> Sequence[Provider]:
    key = ctx.key(ctx.attrs.key)
    if ctx.attrs.documents:
        key = ctx.find_key(ctx.attrs.key, signs="documents") or key
    out = ctx.declare_file(f"{ctx.label.name}.sig")
    ctx.run(
        mnemonic="Sign",
        argv=["/bin/sh", "-c", f"wc -c < {key.secret} > {out} && cat {key.public} >> {out}"],
        inputs=[ctx.file(ctx.attrs.src)],
        outputs=[out],
        env=_ENV,
        secret_keys=[key],
    )
    return [DefaultInfo((out,))]


class LineageAttrs(Attrs):
    """Files whose making is written down."""

    of: tuple[Annotated[Label, Source()], ...] = Field(description="The files.")


def _lineage(ctx: RuleContext[LineageAttrs]) -> Sequence[Provider]:
    out = ctx.declare_file(f"{ctx.label.name}.json")
    ctx.lineage(out, ctx.files(ctx.attrs.of))
    return [DefaultInfo((out,))]


class ShellTestAttrs(Attrs):
    """A command that must succeed."""

    data: tuple[Annotated[Label, Source()], ...] = Field(default=(), description="Its inputs.")
    cmd: str = Field(description="The command.")
    junit: str | None = Field(default=None, description="Where it writes JUnit XML.")
    timeout: int = Field(default=60, description="After how many seconds it has failed.")
    remembered: bool = Field(default=True, description="Whether a pass is remembered.")
    filter_option: str | None = Field(default=None, description="What stands before a filter.")


def _shell_test(ctx: RuleContext[ShellTestAttrs]) -> Sequence[Provider]:
    attrs = ctx.attrs
    data = ctx.files(attrs.data)
    test = TestInfo(
        argv=("/bin/sh", "-ec", _expanded(attrs.cmd, data, ())),
        inputs=data,
        env=_ENV,
        timeout_seconds=attrs.timeout,
        junit=attrs.junit,
        is_cacheable=attrs.remembered,
        filter_option=attrs.filter_option,
    )
    return [DefaultInfo(), test]


class GoldenAttrs(Attrs):
    """A file that must be what was accepted."""

    golden: Annotated[Label, Source()] = Field(description="What was accepted.")
    found: Annotated[Label, Source()] = Field(description="What is.")


def _golden_test(ctx: RuleContext[GoldenAttrs]) -> Sequence[Provider]:
    golden, found = ctx.file(ctx.attrs.golden), ctx.file(ctx.attrs.found)
    test = TestInfo(
        argv=("/usr/bin/cmp", golden, found), inputs=(golden, found), golden={golden: found}
    )
    return [DefaultInfo(), test]


class NeedsTestAttrs(Attrs):
    """A dependency that must be a test."""

    dep: Annotated[Label, Dep(TestInfo)] = Field(description="A test.")


def _needs_test(ctx: RuleContext[NeedsTestAttrs]) -> Sequence[Provider]:
    return [ctx.dep(ctx.attrs.dep, DefaultInfo)]


shell = Rule(attrs=ShellAttrs, analyze=_shell)
write = Rule(attrs=WriteAttrs, analyze=_write)
golden_test = Rule(attrs=GoldenAttrs, analyze=_golden_test, provides=(TestInfo,))
lineage = Rule(attrs=LineageAttrs, analyze=_lineage)
sign = Rule(attrs=SignAttrs, analyze=_sign)
shell_test = Rule(attrs=ShellTestAttrs, analyze=_shell_test, provides=(TestInfo,))
needs_test = Rule(attrs=NeedsTestAttrs, analyze=_needs_test)
