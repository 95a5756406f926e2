"""`golden_measurement_test`: an enclave must measure what was accepted and checked in.

It answers in a review what a change did to the measurement: the record beside the BUILD file
changes with it, and says which region of the enclave or which setting is another one.
"""

from collections.abc import Sequence
from types import MappingProxyType

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
    TestInfo,
)

from .providers import EnclaveInfo


class GoldenMeasurementTestAttrs(Attrs):
    """What a `golden_measurement_test` may say."""

    enclave: Annotated[Label, Dep(EnclaveInfo)] = Field(description="The measured enclave.")
    golden: Annotated[Label, Source(".json")] = Field(
        description="The record that was accepted, a source file: begin with an empty one."
        " `occlum-build test --accept` writes what the enclave measures into it."
    )


def analyze(ctx: RuleContext[GoldenMeasurementTestAttrs]) -> Sequence[Provider]:
    """Make the record of the enclave, and compare it with the one that was accepted."""
    enclave = ctx.dep(ctx.attrs.enclave, EnclaveInfo)
    golden = ctx.file(ctx.attrs.golden)
    if not golden.is_source:
        ctx.fail("`golden` is made by an action, so nobody can have accepted it", "golden")
    found = ctx.declare_file(f"{ctx.label.name}.found.json")
    tool = ctx.python_tool("occlum_build.evidence")
    ctx.run(
        mnemonic="Golden",
        argv=[
            *(tool, "golden", "--sgxs", enclave.sgxs, "--report", enclave.report),
            *("--sealed", enclave.sealed, "--output", found),
        ],
        outputs=[found],
        description=f"recording the regions of {ctx.attrs.enclave}",
    )
    test = TestInfo(
        argv=(
            *(tool, "compare", "--expected", golden, "--found", found),
            *("--target", str(ctx.label)),
        ),
        inputs=(golden, found),
        golden=MappingProxyType({golden: found}),
    )
    return [DefaultInfo((found,)), test]


golden_measurement_test = Rule(
    attrs=GoldenMeasurementTestAttrs, analyze=analyze, provides=(DefaultInfo, TestInfo)
)
