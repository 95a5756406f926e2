"""`enclave_signature`: the SIGSTRUCT of an enclave, made with a key that the user names.

The secret half of the key is no input of any action and reaches no cache.
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
)

from .providers import EnclaveInfo, SignatureInfo


class EnclaveSignatureAttrs(Attrs):
    """What an `enclave_signature` may say."""

    enclave: Annotated[Label, Dep(EnclaveInfo)] = Field(description="The enclave to sign.")
    key: str = Field(
        default="development",
        description="The name of the key: `--key NAME=FILE` says which file holds it. The"
        " development key is made on first use; nobody should trust what it signs.",
        pattern=r"^[a-z][a-z0-9_-]*$",
    )


def analyze(ctx: RuleContext[EnclaveSignatureAttrs]) -> Sequence[Provider]:
    """Sign; an unchanged enclave and public key give an unchanged signature."""
    enclave = ctx.dep(ctx.attrs.enclave, EnclaveInfo)
    key = ctx.key(ctx.attrs.key)
    signature = ctx.declare_file(f"{ctx.label.name}.sig")
    ctx.run(
        mnemonic="Sign",
        argv=[
            ctx.python_tool("occlum_build.sgx"),
            *("sign", "--sgxs", enclave.sgxs, "--metadata", enclave.metadata),
            *("--key", key.secret, "--output", signature),
        ],
        outputs=[signature],
        secret_keys=[key],
        is_cacheable=False,
        description=f"signing {ctx.label} with key {key.name}",
    )
    return [DefaultInfo((signature,)), SignatureInfo(signature, key)]


enclave_signature = Rule(
    attrs=EnclaveSignatureAttrs, analyze=analyze, provides=(DefaultInfo, SignatureInfo)
)
