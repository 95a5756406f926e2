"""`occlum_libos`: the library OS, as the ELF file that an enclave's layout is made from."""

from collections.abc import Sequence

from occlum_build.api import DefaultInfo, Field, Provider, Rule, RuleContext

from .cargo import CargoAttrs, prepare, workshop_name
from .providers import LibosInfo, RustInfo


class OcclumLibosAttrs(CargoAttrs):
    """What an `occlum_libos` may say."""

    package: str = Field(default="libos", description="The cargo package of the LibOS.")
    binary: str = Field(default="libos", description="Its binary.")
    features: tuple[str, ...] = Field(default=(), description="Cargo features to switch on.")


def analyze(ctx: RuleContext[OcclumLibosAttrs]) -> Sequence[Provider]:
    """Build the LibOS with the linker that comes with rustc: no C compiler, no libc."""
    attrs = ctx.attrs
    cargo = prepare(ctx, workshop=workshop_name(ctx, "libos"), libc="x86_64-linux-gnu.2.31")
    elf = ctx.declare_file(f"{ctx.label.name}.elf")
    lld = f"{ctx.dep(attrs.toolchain, RustInfo).tool.home}/{_LLD}"
    ctx.run(
        mnemonic="Libos",
        argv=[
            *cargo.words,
            *(f"--rustflag={one}" for one in (*_COMPILER, f"-Clinker={lld}", *_LINKER)),
            *("--binary", attrs.binary, "--output", elf),
            *("build", "--release", "--package", attrs.package, "--bin", attrs.binary),
            *(("--features", ",".join(attrs.features)) if attrs.features else ()),
        ],
        inputs=cargo.inputs,
        outputs=[elf],
        tools=cargo.tools,
        description="building the LibOS",
    )
    return [DefaultInfo((elf,)), LibosInfo(elf)]


_LLD = "lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"

# To be kept equal to libos_src/README.md.
_COMPILER: tuple[str, ...] = ()
_LINKER: tuple[str, ...] = ()

occlum_libos = Rule(attrs=OcclumLibosAttrs, analyze=analyze, provides=(DefaultInfo, LibosInfo))
