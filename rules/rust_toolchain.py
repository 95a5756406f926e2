"""`rust_toolchain`: the Rust compiler that rustup installed, pinned by version and digest."""

from collections.abc import Sequence

from occlum_build.api import (
    Annotated,
    Attrs,
    DefaultInfo,
    Dep,
    ExternalTool,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
)

from .providers import RustInfo, ScriptInfo, ZigInfo

_HOST = "lib/rustlib/x86_64-unknown-linux-gnu"
_COMPILER = (
    *("bin/cargo", "bin/rustc", "bin/rustdoc", "lib/*.so*"),
    *(f"{_HOST}/bin/rust-lld", f"{_HOST}/bin/rust-objcopy", f"{_HOST}/bin/gcc-ld/*"),
    f"{_HOST}/lib/*",
)
"""What rustup installs with its minimal profile and the compiler uses: whatever else a user has
it install (`llvm-tools`, sources, other targets) changes no key."""


class RustToolchainAttrs(Attrs):
    """What a `rust_toolchain` may say."""

    version: str = Field(
        description="The version of rustc, such as `1.95.0`.", pattern=r"^1\.[0-9]+\.[0-9]+$"
    )
    sha256: str = Field(
        default="",
        description="The digest of rustc, cargo, rustdoc and their libraries, as the provenance of"
        " what they made names it; another toolchain is refused. Default: any of this version is"
        " taken, and its digest is in the keys and the provenance.",
        pattern=r"^([0-9a-f]{64})?$",
    )
    zig: Annotated[Label, Dep(ZigInfo)] = Field(
        default=Label.parse("@occlum//toolchain:zig"),
        description="What links programs, build scripts and proc macros.",
    )
    cargo_driver: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:cargo_driver"),
        description="The program that runs cargo on declared sources.",
    )
    crate_fetcher: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:fetch_crates"),
        description="The program that fetches the crates of a lock file.",
    )


def analyze(ctx: RuleContext[RustToolchainAttrs]) -> Sequence[Provider]:
    """Name the toolchain: rustc, cargo and the standard library are in its digest, no more.

    Clippy and rustfmt make no output, so that having them changes no key of a build.
    """
    version = ctx.attrs.version
    compiler = _tool(
        "rust",
        "bin/rustc",
        _COMPILER,
        version,
        f"rustup toolchain install {version} --profile minimal",
        ctx.attrs.sha256,
    )
    lints = _tool(
        "clippy",
        "bin/cargo-clippy",
        ("bin/cargo-clippy", "bin/clippy-driver"),
        version,
        f"rustup component add clippy --toolchain {version}",
    )
    formatter = _tool(
        "rustfmt",
        "bin/rustfmt",
        ("bin/cargo-fmt", "bin/rustfmt"),
        version,
        f"rustup component add rustfmt --toolchain {version}",
    )
    return [
        DefaultInfo(),
        RustInfo(
            tool=compiler,
            lints=lints,
            formatter=formatter,
            zig=ctx.dep(ctx.attrs.zig, ZigInfo),
            cargo_driver=ctx.dep(ctx.attrs.cargo_driver, ScriptInfo).tool,
            crate_fetcher=ctx.dep(ctx.attrs.crate_fetcher, ScriptInfo).tool,
        ),
    ]


def _tool(
    name: str,
    program: str,
    digest_of: tuple[str, ...],
    version: str,
    install: str,
    sha256: str = "",
) -> ExternalTool:
    return ExternalTool(
        name=name,
        locate=("rustup", "run", version, "rustc", "--print", "sysroot"),
        search=("~/.cargo/bin",),
        program=program,
        digest_of=digest_of,
        version=f"rustc {version}" if program == "bin/rustc" else "",
        install=install,
        sha256=sha256,
    )


rust_toolchain = Rule(attrs=RustToolchainAttrs, analyze=analyze, provides=(DefaultInfo, RustInfo))
