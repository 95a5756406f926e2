"""What every rule that runs cargo has in common; no rule itself."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from occlum_build.api import (
    STORE,
    Annotated,
    Artifact,
    Attrs,
    Dep,
    ExternalTool,
    Field,
    Label,
    RuleContext,
    Source,
    Tool,
)

from .providers import OriginInfo, RustInfo

Word = str | Artifact | Tool


class CargoAttrs(Attrs):
    """What a target that cargo builds or tests may say."""

    lock: Annotated[Label, Source("Cargo.lock")] = Field(
        description="The lock file, beside the `Cargo.toml` of the package or workspace.",
    )
    srcs: tuple[Annotated[Label, Source()], ...] = Field(
        description="Every file that cargo and rustc may read: manifests, sources, data.",
        min_length=1,
    )
    toolchain: Annotated[Label, Dep(RustInfo)] = Field(
        default=Label.parse("@occlum//toolchain:rust"), description="The compiler."
    )


AttrsT = TypeVar("AttrsT", bound=CargoAttrs)


@dataclass(frozen=True)
class Cargo:
    """The parts of a command line that all of cargo's commands share."""

    words: tuple[Word, ...]
    inputs: tuple[Artifact, ...]
    tools: tuple[Tool, ...]
    lock: Artifact
    zig_lock: Artifact
    version: str

    def origin(self, package: str) -> OriginInfo:
        """What a program of this package is made of; without a name, of the whole lock file."""
        facts = {
            "cargo_lock": self.lock.path,
            "cargo_package": package,
            "rust": self.version,
            "zig_lock": self.zig_lock.path,
        }
        return OriginInfo(facts, (self.lock, self.zig_lock))


def prepare(
    ctx: RuleContext[AttrsT],
    *,
    workshop: str,
    libc: str,
    extra_tools: Sequence[ExternalTool] = (),
) -> Cargo:
    """Fetch the crates of the lock file, list the sources, and name the tools.

    `workshop` names the directory where work is kept between runs: targets of one
    workspace that name the same share it, and wait for each other.
    """
    rust = ctx.dep(ctx.attrs.toolchain, RustInfo)
    lock = ctx.file(ctx.attrs.lock)
    crates = _fetch(ctx, rust, lock)
    sources = tuple(dict.fromkeys((lock, *ctx.files(ctx.attrs.srcs))))
    listing = ctx.declare_file(f"{ctx.label.name}.sources")
    ctx.write(listing, "".join(f"{one.path}\n" for one in sources))
    words = (
        rust.cargo_driver,
        *rust.zig.arguments,
        *("--store", STORE, "--rust", rust.tool.home, "--crates", crates, "--libc", libc),
        *("--workshop", workshop, "--root", posixpath.dirname(lock.path)),
        *("--sources", listing),
    )
    return Cargo(
        words=words,
        inputs=(crates, listing, *sources),
        tools=(rust.tool, *extra_tools),
        lock=lock,
        zig_lock=rust.zig.lock,
        version=rust.tool.version.removeprefix("rustc "),
    )


def _fetch(ctx: RuleContext[AttrsT], rust: RustInfo, lock: Artifact) -> Artifact:
    """All crates of the lock file, each checked by its SHA-256, in one archive."""
    crates = ctx.declare_file(f"{ctx.label.name}.crates.tar")
    ctx.run(
        mnemonic="FetchCrates",
        argv=[
            rust.crate_fetcher,
            *("--cargo", f"{rust.tool.home}/bin/cargo", "--lock", lock),
            *("--store", STORE, "--output", crates),
        ],
        outputs=[crates],
        tools=[rust.tool],
        network=True,
        description=f"fetching the crates of {lock.path}",
    )
    return crates


def workshop_name(ctx: RuleContext[AttrsT], purpose: str) -> str:
    """A name for the workshop of one workspace of cargo and purpose, as a file name.

    The repository is no part of it: the tool's own sources are `@occlum//…` to every workspace
    but its own, and with one cache they are compiled once for all.
    """
    package = ctx.label.package.replace("/", "-") or "root"
    return f"workspace-{package}-{purpose}"
