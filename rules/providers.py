"""What the rules that ship with the tool promise to their dependents.

A rule of yours that returns one of these fits in where the built-in rule does.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from occlum_build.api import Artifact, ExternalTool, Provider, PythonScript, SigningKey


@dataclass(frozen=True)
class BinaryInfo(Provider):
    """One executable file for x86-64 Linux."""

    program: Artifact


@dataclass(frozen=True)
class OriginInfo(Provider):
    """What a program is made of beside its own sources, for bills of materials.

    `facts` may have `zig_lock`, `go_lock` and `cargo_lock` (paths of lock files, which are
    `inputs`), `cargo_package` and `rust` (the version of the toolchain).
    """

    facts: Mapping[str, str]
    inputs: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class ScriptInfo(Provider):
    """A Python program of a repository, for use as the first word of an action's `argv`."""

    tool: PythonScript


@dataclass(frozen=True)
class WheelInfo(Provider):
    """A compiler that is fetched as a wheel, and the lock file that names its digest.

    `driver` unpacks the wheel and runs it. The wheel is verified when it is made.
    """

    wheel: Artifact
    lock: Artifact
    driver: PythonScript


@dataclass(frozen=True)
class ZigInfo(WheelInfo):
    """The C and C++ compiler."""

    @property
    def arguments(self) -> tuple[str | Artifact, ...]:
        """How every program that uses zig is told where it is."""
        return ("--zig-wheel", self.wheel, "--zig-lock", self.lock)


@dataclass(frozen=True)
class GoInfo(WheelInfo):
    """The Go compiler."""


@dataclass(frozen=True)
class RustInfo(Provider):
    """The Rust toolchain of the host, pinned by version and content, and zig as its linker."""

    tool: ExternalTool
    lints: ExternalTool
    formatter: ExternalTool
    zig: ZigInfo
    cargo_driver: PythonScript
    crate_fetcher: PythonScript


@dataclass(frozen=True)
class TreeInfo(Provider):
    """A file tree, as one canonical tar file.

    `origins` says where each file of it comes from, and names `origin_inputs` by path; a
    rule that has none leaves them out, and the tree's label stands for all.
    """

    tar: Artifact
    origins: Artifact | None = None
    origin_inputs: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class ImageInfo(Provider):
    """A read-only file system with its hash tree, and `meta`, which holds the root hash.

    `origins` and `origin_inputs` are those of its tree. `programs` lists what can be started in
    it; without it, a command that is not there is found when the enclave starts.
    """

    image: Artifact
    meta: Artifact
    origins: Artifact | None = None
    origin_inputs: tuple[Artifact, ...] = ()
    programs: Artifact | None = None


@dataclass(frozen=True)
class LibosInfo(Provider):
    """The LibOS: a static PIE with relative relocations only."""

    elf: Artifact
    origin: OriginInfo | None = None


@dataclass(frozen=True)
class EnclaveInfo(Provider):
    """A measured enclave that nobody has signed.

    `report` is JSON and holds the MRENCLAVE. `metadata` is what a signature says besides.
    `images` are in the order of their numbers in the sealed configuration.
    """

    sgxs: Artifact
    report: Artifact
    sealed: Artifact
    metadata: Artifact
    images: Mapping[str, ImageInfo]
    libos: LibosInfo | None = None


@dataclass(frozen=True)
class SignatureInfo(Provider):
    """A SIGSTRUCT, and the key that made it."""

    sigstruct: Artifact
    key: SigningKey


@dataclass(frozen=True)
class BundleInfo(Provider):
    """A directory with everything that it takes to run an enclave; `runner` starts it."""

    directory: Artifact
    runner: Artifact
