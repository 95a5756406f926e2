"""Actions: the commands that make artifacts, and the tools they use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from occlum_build.artifact import Artifact
from occlum_build.label import Label

EXEC_ROOT: Final = "%{exec_root}"
"""Stands, in arguments and environment values, for the absolute path of the directory in
which the action runs. It differs between machines: use it only to strip it from outputs."""


STORE: Final = "%{store}"
"""Stands, in arguments, for the absolute path of the directory that keeps downloads and
unpacked tools between builds. What is in it is no input: use only what is named by its digest."""


Signs = Literal["enclaves", "documents"]
"""What a key is for: the two take different kinds of keys."""


class Tool:
    """A program that actions run, known by its content and not by where it lies."""

    __slots__ = ()

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """What every action that runs it needs besides."""
        return ()


@dataclass(frozen=True, slots=True)
class PythonTool(Tool):
    """A Python module, run by the interpreter and with the packages of a lock file.

    Without `packages` it is a module that ships with the tool, or one of the packages that
    the engine itself runs with. Its key covers its own sources and the lock file, not the
    rest of the engine. `packages` is a lock file with hashes, as pip reads it: the engine
    makes an environment with exactly those, once, and the tool itself is not in it.
    """

    module: str
    packages: Artifact | None = None

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """The lock file."""
        return () if self.packages is None else (self.packages,)

    @property
    def command(self) -> str:
        """How an argument list names it; it stands for several words."""
        packages = "" if self.packages is None else f":{self.packages.path}"
        return f"%{{python:{self.module}{packages}}}"


@dataclass(frozen=True, slots=True)
class PythonScript(Tool):
    """A Python file of a repository, run by the engine's own interpreter.

    `modules` are the files of its directory that it imports; both are inputs of the
    actions that it runs in. It has the standard library and those, no installed package.
    """

    script: Artifact
    modules: tuple[Artifact, ...] = ()

    @property
    def inputs(self) -> tuple[Artifact, ...]:
        """The script and its modules."""
        return (self.script, *self.modules)

    @property
    def command(self) -> str:
        """How an argument list names it; it stands for several words."""
        return f"%{{script:{self.script.path}}}"


@dataclass(frozen=True, slots=True)
class ExternalTool(Tool):
    """A tool of the host that is pinned by content, such as a Rust toolchain.

    `locate` is a command that prints the tool's home directory (its first word is
    looked up on the user's PATH, and in `search`, with `~` for the home). `program` is
    the path of the main program below the home. `digest_of` are globs below the home:
    what they match is the tool's identity. `version` is the first line that
    `program --version` must begin with, and `sha256` what the digest of those files must
    be, if given: the provenance of what the tool made names it. `install` is the command
    that a user is told to run where the tool is missing.
    """

    name: str
    locate: tuple[str, ...]
    program: str
    digest_of: tuple[str, ...]
    install: str
    version: str = ""
    search: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def home(self) -> str:
        """Stands for the home directory in arguments and environment values."""
        return f"%{{tool:{self.name}}}"

    def __str__(self) -> str:
        """Stands for the program in arguments and environment values."""
        return f"{self.home}/{self.program}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key by name: its public half is an input like any other, its secret half is not.

    `secret`, in the arguments of an action made with `secret_keys=`, becomes the path
    of the PEM file while that action runs. It is in no key, no cache and no log.
    `is_development` says that nobody should trust what it signs. Enclaves need RSA of 3072
    bits with the exponent 3; documents take Ed25519 or ECDSA on P-256.
    """

    name: str
    public: Artifact
    is_development: bool
    signs: Signs = "enclaves"

    @property
    def secret(self) -> str:
        """Stands for the path of the private key."""
        return f"%{{key:{self.name}}}"


@dataclass(frozen=True, slots=True)
class Action:
    """One command: what it reads, what it writes, and nothing else that could matter.

    `env` holds every variable the command sees. The caller's environment never
    leaks in; two machines would otherwise sign different enclaves. `argv` and the
    values of `env` may hold `%{…}` for places that differ between machines and are
    therefore not part of the identity. `text` is set instead of `argv` for a file that
    is merely written, and `lineage_of` for one that says how other artifacts are made.
    `description` is display only.
    """

    owner: Label
    mnemonic: str
    argv: tuple[str, ...]
    inputs: tuple[Artifact, ...]
    outputs: tuple[Artifact, ...]
    tools: tuple[Tool, ...] = ()
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    network: bool = False
    secret_keys: tuple[SigningKey, ...] = ()
    stdout: Artifact | None = None
    text: str | None = None
    lineage_of: tuple[Artifact, ...] = ()
    is_executable: bool = False
    timeout_seconds: int = 0
    is_cacheable: bool = True
    description: str = field(default="", compare=False)
