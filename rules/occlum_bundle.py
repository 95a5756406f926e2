"""`occlum_bundle`: one directory with all that it takes to run an enclave, and to trust it.

Beside the parts it holds evidence: a manifest that pins each part, a bill of materials, and
provenance, which is signed if the user names a key for it.
"""

import json
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
    ReportInfo,
    Rule,
    RuleContext,
    RunInfo,
)

from .providers import BinaryInfo, BundleInfo, EnclaveInfo, OriginInfo, SignatureInfo

_SBOM = "sbom.cdx.json"
_PROVENANCE = "provenance.json"
_SIGNED_PROVENANCE = "provenance.dsse.json"


class OcclumBundleAttrs(Attrs):
    """What an `occlum_bundle` may say."""

    enclave: Annotated[Label, Dep(EnclaveInfo)] = Field(description="The measured enclave.")
    signature: Annotated[Label, Dep(SignatureInfo)] = Field(description="Its signature.")
    runner: Annotated[Label, Dep(BinaryInfo)] = Field(
        default=Label.parse("@occlum//libos_src:occlum_run"),
        description="The program that loads the enclave and runs it.",
    )
    provenance_key: str = Field(
        default="provenance",
        description="The name of the key, Ed25519 or ECDSA on P-256, that signs the provenance:"
        " `--key NAME=FILE` says which file holds it. Without that option the provenance is not"
        " signed, and the build says so.",
        pattern=r"^[a-z][a-z0-9_-]*$",
    )


def analyze(ctx: RuleContext[OcclumBundleAttrs]) -> Sequence[Provider]:
    """Describe the parts, copy them, write the manifest, and report the MRENCLAVE."""
    enclave = ctx.dep(ctx.attrs.enclave, EnclaveInfo)
    signature = ctx.dep(ctx.attrs.signature, SignatureInfo)
    runner = ctx.dep(ctx.attrs.runner, BinaryInfo).program
    parts = {
        "bin/occlum-run": runner,
        "enclave.sgxs": enclave.sgxs,
        **{f"images/{name}.erofs": one.image for name, one in enclave.images.items()},
    }
    evidence = _evidence(ctx, enclave, parts)
    parts |= {"enclave.sig": signature.sigstruct, **evidence}
    bundle = ctx.declare_directory(f"{ctx.label.name}.bundle")
    report = ctx.declare_file(f"{ctx.label.name}.report.txt")
    ctx.run(
        mnemonic="Bundle",
        argv=[
            ctx.python_tool("occlum_build.evidence"),
            *("bundle", "--target", str(ctx.label)),
            *(word for name, one in parts.items() for word in ("--part", f"{name}={one}")),
            *("--sealed", enclave.sealed, "--report", enclave.report),
            *("--key-name", signature.key.name),
            *(("--development-key",) if signature.key.is_development else ()),
            *("--output", bundle, "--summary", report),
        ],
        inputs=tuple(parts.values()),
        outputs=[bundle, report],
        description=f"bundling {ctx.label}",
    )
    return [
        DefaultInfo((bundle, report)),
        BundleInfo(bundle, runner),
        _run_info(ctx, enclave, runner, bundle),
        ReportInfo((report,)),
    ]


def _run_info(
    ctx: RuleContext[OcclumBundleAttrs], enclave: EnclaveInfo, runner: Artifact, bundle: Artifact
) -> RunInfo:
    """How the bundle is run, and how it is debugged if its LibOS is at hand."""
    argv = (runner, bundle, "--")
    if enclave.libos is None:
        return RunInfo(argv, (runner, bundle), debugging=())
    debugger = (
        ctx.python_tool("occlum_build.debugging"),
        *("run", "--libos", enclave.libos.elf, "--report", enclave.report, "--bundle", bundle),
    )
    inputs = (runner, bundle, enclave.libos.elf, enclave.report)
    return RunInfo(argv, inputs, debugging=(), debugger=debugger)


def _evidence(
    ctx: RuleContext[OcclumBundleAttrs], enclave: EnclaveInfo, parts: dict[str, Artifact]
) -> dict[str, Artifact]:
    """The bill of materials and the provenance of `parts`, by their names in the bundle."""
    name = ctx.label.name
    lineage = ctx.declare_file(f"{name}.lineage.json")
    ctx.lineage(lineage, parts.values())
    programs, needed = _programs(ctx, enclave, parts["bin/occlum-run"])
    subject = ctx.declare_file(f"{name}.subject.json")
    facts = {
        "version": 1,
        "target": str(ctx.label),
        "lineage": lineage.path,
        "report": enclave.report.path,
        "parts": {part: one.path for part, one in parts.items()},
        "images": {
            image: None if one.origins is None else one.origins.path
            for image, one in enclave.images.items()
        },
        "programs": programs,
    }
    ctx.write(subject, json.dumps(facts, indent=1, sort_keys=True) + "\n")
    for image in enclave.images.values():
        needed += [*image.origin_inputs, *(() if image.origins is None else (image.origins,))]
    sbom = ctx.declare_file(f"{name}.{_SBOM}")
    statement = ctx.declare_file(f"{name}.{_PROVENANCE}")
    ctx.run(
        mnemonic="Evidence",
        argv=[
            ctx.python_tool("occlum_build.evidence"),
            *("describe", "--subject", subject, "--sbom", sbom, "--provenance", statement),
        ],
        inputs=[lineage, enclave.report, *parts.values(), *needed],
        outputs=[sbom, statement],
        description=f"describing {ctx.label}",
    )
    key = ctx.find_key(ctx.attrs.provenance_key, signs="documents")
    if key is None or key.is_development:
        return {_SBOM: sbom, _PROVENANCE: statement}
    signed = ctx.declare_file(f"{name}.{_SIGNED_PROVENANCE}")
    ctx.run(
        mnemonic="SignProvenance",
        argv=[
            ctx.python_tool("occlum_build.evidence"),
            *("sign", "--provenance", statement, "--key", key.secret, "--output", signed),
        ],
        outputs=[signed],
        secret_keys=[key],
        is_cacheable=False,
        description=f"signing the provenance of {ctx.label} with key {key.name}",
    )
    return {_SBOM: sbom, _SIGNED_PROVENANCE: signed}


def _programs(
    ctx: RuleContext[OcclumBundleAttrs], enclave: EnclaveInfo, runner: Artifact
) -> tuple[dict[str, object], list[Artifact]]:
    """The LibOS and the runner with what they are made of, and what is read to know it."""
    found: list[tuple[str, Artifact, OriginInfo | None]] = [
        ("occlum-run", runner, ctx.find(ctx.attrs.runner, OriginInfo))
    ]
    if enclave.libos is not None:
        found.append(("libos", enclave.libos.elf, enclave.libos.origin))
    programs: dict[str, object] = {}
    needed: list[Artifact] = []
    for name, file, origin in found:
        facts = {"label": str(file.owner), **(origin.facts if origin is not None else {})}
        programs[name] = {"path": file.path, "origin": facts}
        needed += [file, *(origin.inputs if origin is not None else ())]
    return programs, needed


occlum_bundle = Rule(
    attrs=OcclumBundleAttrs,
    analyze=analyze,
    provides=(DefaultInfo, BundleInfo, RunInfo, ReportInfo),
)
