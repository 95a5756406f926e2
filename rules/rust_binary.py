"""`rust_binary`: a Rust program for x86-64 Linux with glibc, built by cargo.

Crates are fetched and verified by `Cargo.lock` in an action of their own; the build itself
has no network. zig links, so that no compiler of the host is needed.
"""

from collections.abc import Sequence

from occlum_build.api import (
    DefaultInfo,
    Field,
    Provider,
    Rule,
    RuleContext,
    RunInfo,
)

from .cargo import CargoAttrs, prepare, workshop_name
from .providers import BinaryInfo


class RustBinaryAttrs(CargoAttrs):
    """What a `rust_binary` may say."""

    package: str = Field(
        default="", description="The cargo package in the workspace. Default: the only one."
    )
    binary: str = Field(
        default="", description="The binary of the package. Default: the target's name."
    )
    features: tuple[str, ...] = Field(default=(), description="Cargo features to switch on.")
    glibc: str = Field(
        default="2.36",
        description="The oldest glibc that the program must run with.",
        pattern=r"^2\.[0-9]+$",
    )
    rustflags: tuple[str, ...] = Field(
        default=(), description="Further options of rustc, for the program and its crates."
    )


def analyze(ctx: RuleContext[RustBinaryAttrs]) -> Sequence[Provider]:
    """Build one binary in cargo's release profile."""
    attrs = ctx.attrs
    cargo = prepare(
        ctx, workshop=workshop_name(ctx, "release"), libc=f"x86_64-linux-gnu.{attrs.glibc}"
    )
    program = ctx.declare_file(ctx.label.name)
    binary = attrs.binary or ctx.label.name
    ctx.run(
        mnemonic="RustBinary",
        argv=[
            *cargo.words,
            *(f"--rustflag={one}" for one in attrs.rustflags),
            *("--setting", 'profile.release.strip="symbols"'),  # they would name this machine
            *("--binary", binary, "--output", program),
            *("build", "--release", "--bin", binary),
            *(("--package", attrs.package) if attrs.package else ()),
            *(("--features", ",".join(attrs.features)) if attrs.features else ()),
        ],
        inputs=cargo.inputs,
        outputs=[program],
        tools=cargo.tools,
        description=f"building {ctx.label}",
    )
    return [
        DefaultInfo((program,)),
        BinaryInfo(program),
        cargo.origin(attrs.package),
        RunInfo((program,), (program,)),
    ]


rust_binary = Rule(
    attrs=RustBinaryAttrs, analyze=analyze, provides=(DefaultInfo, BinaryInfo, RunInfo)
)
