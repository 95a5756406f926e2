"""`occlum_libos`: the library OS, as the ELF file that an enclave's layout is made from."""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    DefaultInfo,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    Source,
)

from .cargo import CargoAttrs, prepare, workshop_name
from .providers import LibosInfo


class OcclumLibosAttrs(CargoAttrs):
    """What an `occlum_libos` may say."""

    package: str = Field(default="libos", description="The cargo package of the LibOS.")
    binary: str = Field(default="libos", description="Its binary.")
    settings: Annotated[Label, Source(".toml")] = Field(
        description="Cargo's settings for code in an enclave: CPU features, linker and layout."
    )
    features: tuple[str, ...] = Field(default=(), description="Cargo features to switch on.")


def analyze(ctx: RuleContext[OcclumLibosAttrs]) -> Sequence[Provider]:
    """Build the LibOS with the linker that comes with rustc: no C compiler, no libc."""
    attrs = ctx.attrs
    cargo = prepare(ctx, workshop=workshop_name(ctx, "libos"), libc="x86_64-linux-gnu.2.31")
    elf = ctx.declare_file(f"{ctx.label.name}.elf")
    ctx.run(
        mnemonic="Libos",
        argv=[
            *cargo.words,
            *("--settings-file", ctx.file(attrs.settings)),
            *("--binary", attrs.binary, "--output", elf),
            *("build", "--release", "--package", attrs.package, "--bin", attrs.binary),
            *(("--features", ",".join(attrs.features)) if attrs.features else ()),
        ],
        inputs=cargo.inputs,
        outputs=[elf],
        tools=cargo.tools,
        description="building the LibOS",
    )
    return [DefaultInfo((elf,)), LibosInfo(elf, cargo.origin(attrs.package))]


occlum_libos = Rule(attrs=OcclumLibosAttrs, analyze=analyze, provides=(DefaultInfo, LibosInfo))
