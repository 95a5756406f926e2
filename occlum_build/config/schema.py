"""The model of Occlum.yaml: every key, its type, its default and its meaning.

Names are those of Occlum.json where it has one. A value that has the right type
and still cannot be run is refused in `checks`; what a key means is said here,
and the reference documentation and the JSON schema are made from it.
"""

from typing import Final, Literal

from pydantic import BaseModel, Field

from occlum_build.config.fields import (
    NO_DATE,
    STRICT,
    AbsolutePath,
    Date,
    EnvironmentEntry,
    EnvironmentName,
    HexHalf,
    PageSize,
    Text,
)
from occlum_build.config.mounts import Mount

MAX_THREADS: Final = 4096
HostSignal = Literal[
    "SIGCONT",
    "SIGHUP",
    "SIGINT",
    "SIGIO",
    "SIGPWR",
    "SIGQUIT",
    "SIGTERM",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGUSR1",
    "SIGUSR2",
    "SIGWINCH",
]
_MAX_UINT16: Final = 0xFFFF


class ResourceLimits(BaseModel):
    """How much memory and how many threads the enclave has."""

    model_config = STRICT

    kernel_space_heap_size: PageSize = Field(
        default="32MB",
        validate_default=True,
        description="Heap of the LibOS: its tables, every `tmpfs`, and a quarter for verified "
        "blocks of images; what does not fit is read and hashed again when it is next needed.",
    )
    kernel_space_heap_max_size: PageSize | None = Field(
        default=None,
        description="Occlum's limit to which the LibOS heap grows. It does not grow in this "
        "version, so it must equal `kernel_space_heap_size`; only with `memory_model: edmm`.",
    )
    kernel_space_stack_size: PageSize = Field(
        default="256KB",
        validate_default=True,
        description="Stack on which a thread of the enclave runs LibOS code; each has its own.",
    )
    user_space_size: PageSize = Field(
        default="300MB",
        validate_default=True,
        description="Memory of the programs, all processes together; addresses that are reserved "
        "without access do not count. With `memory_model: sgx1` all of it is added before the "
        "enclave starts.",
    )
    user_space_max_size: PageSize | None = Field(
        default=None,
        description="Occlum's limit to which user space grows. With `memory_model: edmm` user "
        "space takes memory only as programs ask for it, so it must equal `user_space_size`; "
        "only with `edmm`.",
    )
    max_num_of_threads: int = Field(
        default=32,
        ge=1,
        le=MAX_THREADS,
        description="How many threads run inside the enclave at once, all processes together: "
        "the number of its TCS pages.",
    )
    init_num_of_threads: int | None = Field(
        default=None,
        ge=1,
        le=MAX_THREADS,
        description="Occlum's number of threads at start. All are there from the start in this "
        "version, so it must equal `max_num_of_threads`; only with `memory_model: edmm`.",
    )
    marshal_buffer_size: PageSize | None = Field(
        default=None,
        description="Occlum's shared buffer for HyperEnclave. Not used by this version.",
    )


class Process(BaseModel):
    """The first program, and the limits with which every process starts."""

    model_config = STRICT

    command: tuple[Text, ...] = Field(
        default=(),
        description="The program and its arguments. The program is an absolute path under one of "
        "`entry_points`. May be left out only if `host_arguments` is `replace`.",
    )
    host_arguments: Literal["deny", "append", "replace"] = Field(
        default="deny",
        description="What arguments of the host do: `deny` refuses to start with any, `append` "
        "puts them after `command`, `replace` lets the host name the program, which must lie "
        "under one of `entry_points`.",
    )
    working_directory: AbsolutePath = Field(
        default="/", description="Working directory of the first program."
    )
    host_signals: tuple[HostSignal, ...] = Field(
        default=(
            "SIGCONT",
            "SIGHUP",
            "SIGINT",
            "SIGQUIT",
            "SIGTERM",
            "SIGTSTP",
            "SIGWINCH",
        ),
        description="Signals that the host may send, at any time: those of its terminal reach the "
        "process group in the foreground, others the first program. Those not listed do "
        "to the runner what they do to any program of the host.",
    )
    default_stack_size: PageSize = Field(
        default="4MB", validate_default=True, description="Stack of a program's main thread."
    )
    default_heap_size: PageSize = Field(
        default="32MB", validate_default=True, description="How far a program's `brk` can grow."
    )
    default_mmap_size: PageSize | None = Field(
        default=None,
        description="How much memory a process may map, reservations aside. Left out: what stack "
        "and heap leave of `user_space_size`.",
    )


class Environment(BaseModel):
    """Environment variables of the first program."""

    model_config = STRICT

    default: tuple[EnvironmentEntry, ...] = Field(
        default=(), description="Variables with values, as `NAME=value`; they are measured."
    )
    untrusted: tuple[EnvironmentName, ...] = Field(
        default=(),
        description="Names of variables whose values come from the host, which may set them to "
        "anything or leave them out.",
    )


class Identifier(BaseModel):
    """A 128-bit number in two halves."""

    model_config = STRICT

    high: HexHalf = Field(default="0x0", description="Upper 64 bits, as a hexadecimal string.")
    low: HexHalf = Field(default="0x0", description="Lower 64 bits, as a hexadecimal string.")

    def to_bytes(self) -> bytes:
        """The 16 bytes in a SIGSTRUCT, little endian."""
        return (int(self.high, 16) << 64 | int(self.low, 16)).to_bytes(16, "little")


class Metadata(BaseModel):
    """What the signature says about the enclave, beside its measurement."""

    model_config = STRICT

    product_id: int = Field(
        default=0, ge=0, le=_MAX_UINT16, description="ISVPRODID of the signature, 16 bits."
    )
    version_number: int = Field(
        default=0,
        ge=0,
        le=_MAX_UINT16,
        description="ISVSVN of the signature, the security version number, 16 bits.",
    )
    debuggable: bool = Field(
        default=False,
        description="Whether the enclave may run in debug mode, in which the host can read and "
        "write all of its memory. A debuggable enclave protects nothing.",
    )
    disable_log: bool | None = Field(
        default=None,
        description="Whether the LibOS keeps silent: the host learns nothing of faults, crashes "
        "and what is missing. Why the program could not be started is told in any case: it says "
        "no more than the configuration, the images and the host's own arguments do. Left out: "
        "the opposite of `debuggable`.",
    )
    enable_kss: bool = Field(
        default=False,
        description="Key separation and sharing: lets `family_id` and `ext_prod_id` take part in "
        "key derivation and attestation.",
    )
    family_id: Identifier = Field(
        default_factory=Identifier, description="ISVFAMILYID of the signature; needs `enable_kss`."
    )
    ext_prod_id: Identifier = Field(
        default_factory=Identifier,
        description="ISVEXTPRODID of the signature; needs `enable_kss`.",
    )
    date: Date = Field(
        default=NO_DATE,
        description="DATE of the signature, `YYYY-MM-DD`. It is never today's date by itself, so "
        "that the same inputs give the same signature; `0000-00-00` means none.",
    )


class Feature(BaseModel):
    """Abilities of processor and LibOS that an enclave can switch on."""

    model_config = STRICT

    memory_model: Literal["sgx1", "edmm"] = Field(
        default="sgx1",
        description="`sgx1`: all memory is added before the enclave starts, and pages of programs "
        "are readable, writable and executable. `edmm`: memory is added as programs ask for it, "
        "with the permissions they ask for; needs SGX2 and Linux 6.0. The two have different "
        "measurements.",
    )
    amx: int = Field(
        default=0,
        ge=0,
        le=2,
        description="AMX: 0 off, 1 required, 2 if there is one. Only 0 in this version.",
    )
    pkru: int = Field(
        default=0,
        ge=0,
        le=2,
        description="Protection keys: 0 off, 1 required, 2 if there are any. Only 0 in this "
        "version.",
    )
    io_uring: int = Field(
        default=0,
        ge=0,
        le=16,
        description="How many io_uring instances of the host are used. Only 0 in this version.",
    )
    enable_posix_shm: bool = Field(
        default=False,
        description="Memory that processes share by file. Only `false` in this version.",
    )


class OcclumConfig(BaseModel):
    """Everything about an enclave that is not in its files."""

    model_config = STRICT

    resource_limits: ResourceLimits = Field(
        default_factory=ResourceLimits, description="Memory and threads."
    )
    process: Process = Field(
        default_factory=Process, description="The program, and process limits."
    )
    entry_points: tuple[AbsolutePath, ...] = Field(
        default=("/bin",),
        description="Programs, or folders of programs, that the enclave may start with.",
    )
    env: Environment = Field(default_factory=Environment, description="Environment variables.")
    metadata: Metadata = Field(default_factory=Metadata, description="Fields of the signature.")
    feature: Feature = Field(default_factory=Feature, description="Optional abilities.")
    mount: tuple[Mount, ...] = Field(
        default=(),
        description="File systems; exactly one of them has the target `/`. `/proc` and `/dev` are "
        "always there.",
    )
