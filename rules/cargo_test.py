"""`cargo_test`: cargo's tests, clippy or rustfmt over declared sources, as one test."""

import json
from collections.abc import Sequence
from typing import Literal

from occlum_build.api import (
    Annotated,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    TestInfo,
)

from .cargo import CargoAttrs, prepare, workshop_name
from .providers import RustInfo, ScriptInfo


class CargoTestAttrs(CargoAttrs):
    """What a `cargo_test` may say."""

    command: Literal["test", "clippy", "fmt"] = Field(
        default="test",
        description="`test` runs the tests, `clippy` lets no lint pass, `fmt` checks the format.",
    )
    args: tuple[str, ...] = Field(
        default=("--workspace",),
        description="Arguments of `test` and `clippy`, such as `--workspace`.",
    )
    env: dict[str, str] = Field(default={}, description="Environment that the tests see.")
    coverage: bool = Field(
        default=False,
        description="Count which code runs, as libFuzzer reads it: for fuzzing under `test`.",
    )
    timeout_seconds: int = Field(default=1800, description="After how long it has failed.", gt=0)
    chooser: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:chosen_cases"),
        description="The program that runs only the cases of `test --test-filter`.",
    )


_COVERAGE = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
)
"""LLVM, "SanitizerCoverage": what libFuzzer wants to know of the code that it drives."""

_ENDINGS = {"test": (), "clippy": ("--", "-D", "warnings"), "fmt": ("--check",)}


def analyze(ctx: RuleContext[CargoTestAttrs]) -> Sequence[Provider]:
    """Run the command; work is kept between runs as a developer's own cargo would keep it."""
    command = ctx.attrs.command
    rust = ctx.dep(ctx.attrs.toolchain, RustInfo)
    extra = {"test": (), "clippy": (rust.lints,), "fmt": (rust.formatter,)}[command]
    cargo = prepare(
        ctx,
        workshop=workshop_name(ctx, f"{command}-coverage" if ctx.attrs.coverage else command),
        libc="x86_64-linux-gnu.2.31",
        extra_tools=extra,
    )
    arguments = {
        "test": ("--no-fail-fast", *ctx.attrs.args),
        "clippy": ctx.attrs.args,
        "fmt": ("--all",),
    }[command]
    flags = [f"--rustflag={flag}" for flag in _COVERAGE] if ctx.attrs.coverage else []
    flags += [f"--setting=env.{name}={json.dumps(text)}" for name, text in ctx.attrs.env.items()]
    is_test = command == "test"
    chooser = (ctx.dep(ctx.attrs.chooser, ScriptInfo).tool, "--") if is_test else ()
    words = (*cargo.words, *flags, "--profile", "debug", command, *arguments, *_ENDINGS[command])
    test = TestInfo(
        argv=(*chooser, *words),
        inputs=cargo.inputs,
        filter_option="" if is_test else None,
        timeout_seconds=ctx.attrs.timeout_seconds,
        tools=cargo.tools,
    )
    return [DefaultInfo(), test]


cargo_test = Rule(attrs=CargoTestAttrs, analyze=analyze, provides=(DefaultInfo, TestInfo))
