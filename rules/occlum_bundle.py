"""`occlum_bundle`: one directory with all that it takes to run an enclave."""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
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
)

from .providers import BinaryInfo, BundleInfo, EnclaveInfo, ScriptInfo, SignatureInfo


class OcclumBundleAttrs(Attrs):
    """What an `occlum_bundle` may say."""

    enclave: Annotated[Label, Dep(EnclaveInfo)] = Field(description="The measured enclave.")
    signature: Annotated[Label, Dep(SignatureInfo)] = Field(description="Its signature.")
    runner: Annotated[Label, Dep(BinaryInfo)] = Field(
        default=Label.parse("@occlum//libos_src:occlum_run"),
        description="The program that loads the enclave and runs it.",
    )
    packer: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:bundle"),
        description="The program that puts the directory together.",
    )


def analyze(ctx: RuleContext[OcclumBundleAttrs]) -> Sequence[Provider]:
    """Copy the parts, write the manifest, and report the MRENCLAVE."""
    enclave = ctx.dep(ctx.attrs.enclave, EnclaveInfo)
    signature = ctx.dep(ctx.attrs.signature, SignatureInfo)
    runner = ctx.dep(ctx.attrs.runner, BinaryInfo).program
    images = enclave.images.items()
    bundle = ctx.declare_directory(f"{ctx.label.name}.bundle")
    report = ctx.declare_file(f"{ctx.label.name}.report.txt")
    ctx.run(
        mnemonic="Bundle",
        argv=[
            ctx.dep(ctx.attrs.packer, ScriptInfo).tool,
            *("--target", str(ctx.label)),
            *("--sgxs", enclave.sgxs, "--sealed", enclave.sealed, "--report", enclave.report),
            *("--signature", signature.sigstruct, "--key-name", signature.key.name),
            *(("--development-key",) if signature.key.is_development else ()),
            *(word for name, one in images for word in ("--image", f"{name}={one.image}")),
            *("--runner", runner, "--output", bundle, "--summary", report),
        ],
        inputs=[one.image for one in enclave.images.values()],
        outputs=[bundle, report],
        description=f"bundling {ctx.label}",
    )
    return [
        DefaultInfo((bundle, report)),
        BundleInfo(bundle, runner),
        RunInfo((runner, bundle, "--"), (runner, bundle)),
        ReportInfo((report,)),
    ]


occlum_bundle = Rule(
    attrs=OcclumBundleAttrs,
    analyze=analyze,
    provides=(DefaultInfo, BundleInfo, RunInfo, ReportInfo),
)
