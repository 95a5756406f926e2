"""`occlum_enclave`: an Occlum.yaml, a LibOS and images, laid out and measured.

The result is an SGXS file: its SHA-256 is the MRENCLAVE. No key, date or host name is in it.
"""

from collections.abc import Sequence

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
    Validated,
)

from .providers import EnclaveInfo, ImageInfo, LibosInfo


class OcclumEnclaveAttrs(Attrs):
    """What an `occlum_enclave` may say."""

    config: Annotated[Label, Source(".yaml", ".yml"), Validated("occlum_build.config:load")] = (
        Field(description="The `Occlum.yaml` of the enclave.")
    )
    images: dict[str, Annotated[Label, Dep(ImageInfo)]] = Field(
        default={},
        description="The name of each image that the configuration mounts, to its target.",
    )
    libos: Annotated[Label, Dep(LibosInfo)] = Field(
        default=Label.parse("@occlum//libos_src:libos"), description="The LibOS."
    )


def analyze(ctx: RuleContext[OcclumEnclaveAttrs]) -> Sequence[Provider]:
    """Seal the configuration with the images' root hashes, then lay out and measure."""
    images = {name: ctx.dep(label, ImageInfo) for name, label in ctx.attrs.images.items()}
    sealed = ctx.declare_file(f"{ctx.label.name}.sealed.json")
    metadata = ctx.declare_file(f"{ctx.label.name}.metadata.json")
    config = ctx.file(ctx.attrs.config)
    listed = {name: one.programs for name, one in images.items() if one.programs is not None}
    ctx.run(
        mnemonic="SealConfig",
        argv=[
            ctx.python_tool("occlum_build.config"),
            *("seal", "--config", config, "--output", sealed, "--metadata", metadata),
            *(word for name, one in images.items() for word in ("--image", f"{name}={one.meta}")),
            *(word for name, one in listed.items() for word in ("--programs", f"{name}={one}")),
        ],
        inputs=[*(one.meta for one in images.values()), *listed.values()],
        outputs=[sealed, metadata],
        description=f"sealing {config.path}",
    )
    libos = ctx.dep(ctx.attrs.libos, LibosInfo)
    sgxs = ctx.declare_file(f"{ctx.label.name}.sgxs")
    report = ctx.declare_file(f"{ctx.label.name}.enclave.json")
    ctx.run(
        mnemonic="Enclave",
        argv=[
            ctx.python_tool("occlum_build.sgx"),
            *("enclave", "--libos", libos.elf),
            *("--sealed", sealed, "--output", sgxs, "--report", report),
        ],
        outputs=[sgxs, report],
        description=f"laying out and measuring {ctx.label}",
    )
    return [
        DefaultInfo((sgxs, report)),
        EnclaveInfo(sgxs, report, sealed, metadata, images, libos),
    ]


occlum_enclave = Rule(
    attrs=OcclumEnclaveAttrs, analyze=analyze, provides=(DefaultInfo, EnclaveInfo)
)
