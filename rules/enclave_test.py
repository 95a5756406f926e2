"""`enclave_test`: runs a bundle and looks at what it prints and how it ends."""

from collections.abc import Sequence
from typing import Literal

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

from .providers import BundleInfo, ScriptInfo


class EnclaveTestAttrs(Attrs):
    """What an `enclave_test` may say."""

    bundle: Annotated[Label, Dep(BundleInfo)] = Field(description="The enclave to run.")
    args: tuple[str, ...] = Field(
        default=(), description="Arguments of the program, where the configuration allows any."
    )
    env: dict[str, str] = Field(
        default={}, description="Environment of the runner; the enclave takes what it allows."
    )
    stdin: Annotated[Label, Source()] | None = Field(
        default=None, description="A file that the program reads as its standard input."
    )
    stdout: Annotated[Label, Source()] | None = Field(
        default=None, description="A file that its standard output must equal, byte for byte."
    )
    exit_status: int = Field(default=0, description="How the program must end.", ge=0, le=255)
    host_files: dict[str, Annotated[Label, Source()]] = Field(
        default={},
        description="Name to the file that has it in the fresh directory where relative sources"
        " of `hostfs` mounts start.",
    )
    host_results: dict[str, Annotated[Label, Source()]] = Field(
        default={},
        description="Name to the file that what has it there in the end must equal.",
    )
    enclu: Literal["patched", "trap"] = Field(
        default="patched",
        description="How software SGX sees ENCLU: by a patched gate, which is fast, or by the"
        " trap that the instruction gives, which is faithful. Hardware ignores it.",
    )
    timeout_seconds: int = Field(default=120, description="After how long it has failed.", gt=0)
    checker: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:check_run"),
        description="The program that runs the bundle and compares.",
    )


def analyze(ctx: RuleContext[EnclaveTestAttrs]) -> Sequence[Provider]:
    """Run the enclave once."""
    attrs = ctx.attrs
    bundle = ctx.dep(attrs.bundle, BundleInfo)
    stdin, stdout = ctx.files(attrs.stdin), ctx.files(attrs.stdout)
    host_files = {name: ctx.file(one) for name, one in sorted(attrs.host_files.items())}
    host_results = {name: ctx.file(one) for name, one in sorted(attrs.host_results.items())}
    checker = ctx.dep(attrs.checker, ScriptInfo).tool
    test = TestInfo(
        argv=(
            checker,
            *(word for one in stdin for word in ("--stdin", one)),
            *(word for one in stdout for word in ("--stdout", one)),
            *(w for name, one in host_files.items() for w in ("--host-file", name, one)),
            *(w for name, one in host_results.items() for w in ("--host-result", name, one)),
            *("--status", str(attrs.exit_status), "--contained", "--"),
            *(bundle.runner, "--enclu", attrs.enclu, bundle.directory, "--", *attrs.args),
        ),
        inputs=(
            *(bundle.runner, bundle.directory, *stdin, *stdout),
            *dict.fromkeys((*host_files.values(), *host_results.values())),
        ),
        env=attrs.env,
        timeout_seconds=attrs.timeout_seconds,
    )
    return [DefaultInfo(), test]


enclave_test = Rule(attrs=EnclaveTestAttrs, analyze=analyze, provides=(DefaultInfo, TestInfo))
