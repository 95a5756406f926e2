"""What an enclave must be to be accepted: the schema of a policy, and its reader.

A policy is strict YAML: a key that is unknown or given twice is refused, as a requirement
that is misspelt would otherwise require nothing.
"""

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from occlum_build.config import strict_yaml
from occlum_build.config.explain import explain
from occlum_build.config.fields import STRICT, Date, wrong
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error

VERSION: Final = 1
_MAX_UINT16: Final = 0xFFFF
_MAX_THREADS: Final = 1 << 14

Permission = Literal["forbidden", "allowed"]
FlagName = Literal["MODE64BIT", "PROVISIONKEY", "EINITTOKEN_KEY", "CET", "KSS", "AEXNOTIFY"]
CetName = Literal[
    "SH_STK_EN", "WR_SHSTK_EN", "ENDBR_EN", "LEG_IW_EN", "NO_TRACK_EN", "SUPPRESS_DIS"
]
XfrmName = Literal["AVX", "MPX", "AVX512", "PKRU", "CET", "AMX"]


def _hexadecimal(digits: int) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(f"[0-9a-f]{{{digits}}}", text):
            raise wrong(f"this is not {digits} hexadecimal digits", "write them in lower case")
        return text

    return AfterValidator(check)


def _digits(value: object) -> object:
    """The text of a number: one hash in some trillions has no letter."""
    return str(value) if type(value) is int else value


Hash = Annotated[str, BeforeValidator(_digits), _hexadecimal(64)]
Id = Annotated[str, BeforeValidator(_digits), _hexadecimal(32)]


class Attributes(BaseModel):
    """Rights that an enclave asks the processor for."""

    model_config = STRICT

    required: tuple[FlagName, ...] = Field(
        default=(), description="Flags that must be set, and pinned by the mask."
    )
    forbidden: tuple[FlagName, ...] = Field(
        default=("PROVISIONKEY", "EINITTOKEN_KEY"),
        description="Flags that must be clear, and pinned by the mask.",
    )


class Cet(BaseModel):
    """Control-flow enforcement inside the enclave."""

    model_config = STRICT

    required: tuple[CetName, ...] = Field(
        default=(),
        description="Bits of CET_ATTRIBUTES that must be set, and pinned; then CET is, too.",
    )


class Kss(BaseModel):
    """Key separation and sharing: further names of a product."""

    model_config = STRICT

    family_id: Id | None = Field(default=None, description="ISVFAMILYID.")
    ext_prod_id: Id | None = Field(default=None, description="ISVEXTPRODID.")


class Policy(BaseModel):
    """What `verify --policy` demands; what is not named is not demanded."""

    model_config = STRICT

    version: Literal[1] = Field(description="The version of this schema: `1`.")
    mrenclave: tuple[Hash, ...] = Field(
        default=(), description="The measurements that are accepted; any, if there is none."
    )
    claim: Permission = Field(
        default="forbidden",
        description="Whether a SIGSTRUCT alone may answer: then MRENCLAVE is what it claims, and "
        "nothing is measured.",
    )
    mrsigner: tuple[Hash, ...] = Field(
        default=(), description="The signers that are accepted; any, if there is none."
    )
    product_id: int | None = Field(
        default=None, ge=0, le=_MAX_UINT16, description="ISVPRODID, if it is given."
    )
    min_version_number: int = Field(
        default=0,
        ge=0,
        le=_MAX_UINT16,
        description="The lowest ISVSVN that is accepted: older versions have known holes.",
    )
    earliest_date: Date | None = Field(
        default=None,
        description="The earliest DATE that is accepted. The signer chose it; nothing proves it.",
    )
    debug: Permission = Field(
        default="forbidden",
        description="Whether a host may start the enclave in debug mode, and read its memory.",
    )
    published_key: Permission = Field(
        default="forbidden",
        description="Whether the key may be a development key, or one whose private half is "
        "public.",
    )
    writable_executable: Permission = Field(
        default="allowed",
        description="Whether pages may be writable and executable at once. Enclaves of this "
        "project need them with `memory_model: sgx1`.",
    )
    unmeasured: Permission = Field(
        default="allowed",
        description="Whether pages may be added whose content the host chooses.",
    )
    attributes: Attributes = Field(
        default=Attributes(), description="Rights that must be there, or must not."
    )
    xfrm: tuple[XfrmName, ...] | None = Field(
        default=None,
        description="The processor state, besides x87 and SSE, that the enclave may have; any, "
        "if it is not given.",
    )
    cet: Cet = Field(default=Cet(), description="Control-flow enforcement that must be on.")
    kss: Kss = Field(default=Kss(), description="Further names that the product must have.")
    max_threads: int | None = Field(
        default=None,
        ge=1,
        le=_MAX_THREADS,
        description="The most threads that may be in it at once.",
    )


def read_policy(path: Path, text: str) -> Policy:
    """The policy; raises `PolicyError` with every problem in the order of the text."""
    root, found = strict_yaml.parse(text, str(path))
    policy = None
    if isinstance(root, strict_yaml.Mapping):
        try:
            policy = Policy.model_validate(strict_yaml.plain(root))
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False)
            found += explain(root, str(path), errors, Policy, path.name)
    elif root is not None and not root.is_refused:
        found.append(error("OB0212", "a policy is a mapping of keys to values", root.span))
    if policy is None or found:
        raise PolicyError(sorted(set(found), key=_position), text)
    return policy


class PolicyError(DiagnosticError):
    """Problems of a policy, with its text for the excerpts."""

    def __init__(self, diagnostics: list[Diagnostic], text: str) -> None:
        """Take at least one problem."""
        super().__init__(diagnostics)
        self.text = text


def _position(diagnostic: Diagnostic) -> tuple[Span, str]:
    return diagnostic.span or Span(""), diagnostic.message
