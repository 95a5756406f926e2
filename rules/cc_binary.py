"""`cc_binary`: a C or C++ program for x86-64 Linux, compiled by the pinned zig.

The compiler, its headers and its C libraries come from one wheel, so the same sources give
the same program on every machine. Nothing of the host is seen: no header, no library, no path.
Programs are always stripped: symbols of the C library would name the place where zig built it.
"""

import posixpath
from collections.abc import Sequence

from occlum_build.api import (
    EXEC_ROOT,
    STORE,
    Annotated,
    Artifact,
    Attrs,
    DefaultInfo,
    Dep,
    Field,
    Label,
    Provider,
    Rule,
    RuleContext,
    RunInfo,
    Source,
    Tool,
)

from .providers import BinaryInfo, OriginInfo, ZigInfo

_C = (".c", ".S")
_CXX = (".cc", ".cpp", ".cxx")
_HEADERS = (".h", ".hh", ".hpp", ".inc")

_ALWAYS = (
    "-O2",
    "-g0",
    f"-ffile-prefix-map={EXEC_ROOT}=.",
    f"-ffile-prefix-map={STORE}=/store",  # where the headers of the C++ library lie
    "-Werror=date-time",  # `__DATE__` would make each build another one
    "-fno-ident",
    "-fPIE",
)


class CcBinaryAttrs(Attrs):
    """What a `cc_binary` may say."""

    srcs: tuple[Annotated[Label, Source(*_C, *_CXX, *_HEADERS)], ...] = Field(
        description="C, C++ and assembler sources, and headers.", min_length=1
    )
    target: str = Field(
        default="x86_64-linux-musl",
        description="`x86_64-linux-musl` gives a static PIE that needs no file besides;"
        " `x86_64-linux-gnu.2.36` gives a dynamic PIE for glibc 2.36 or later.",
        pattern=r"^x86_64-linux-(musl|gnu\.2\.[0-9]+)$",
    )
    includes: tuple[str, ...] = Field(
        default=(), description="Directories of headers, relative to the package."
    )
    defines: tuple[str, ...] = Field(
        default=(), description="Macros to define, as `NAME` or `NAME=value`."
    )
    copts: tuple[str, ...] = Field(
        default=(), description="Further options of the compiler; they override `-O2`."
    )
    linkopts: tuple[str, ...] = Field(
        default=(), description="Further options of the linker, such as `-lm`."
    )
    toolchain: Annotated[Label, Dep(ZigInfo)] = Field(
        default=Label.parse("@occlum//toolchain:zig"), description="The compiler."
    )


def analyze(ctx: RuleContext[CcBinaryAttrs]) -> Sequence[Provider]:
    """Compile each source on its own, then link."""
    files = ctx.files(ctx.attrs.srcs)
    headers = [one for one in files if one.path.endswith(_HEADERS)]
    sources = [one for one in files if not one.path.endswith(_HEADERS)]
    if not sources:
        ctx.fail("`srcs` holds headers only", "srcs", helps=("add a `.c` or `.cc` file",))
    objects = [_compile(ctx, source, headers) for source in sources]
    program = ctx.declare_file(ctx.label.name)
    is_cxx = any(one.path.endswith(_CXX) for one in sources)
    is_static = ctx.attrs.target.endswith("musl")
    ctx.run(
        mnemonic="CcLink",
        argv=[
            *_zig(ctx, "c++" if is_cxx else "cc"),
            "-static-pie" if is_static else "-pie",
            *("-fPIE", "-O2", "-s", "-Wl,--build-id=none", "-Wl,-z,relro,-z,now"),
            *("-o", program),
            *objects,
            *ctx.attrs.linkopts,
        ],
        outputs=[program],
        description=f"linking {ctx.label}",
    )
    lock = ctx.dep(ctx.attrs.toolchain, ZigInfo).lock
    return [
        DefaultInfo((program,)),
        BinaryInfo(program),
        OriginInfo({"zig_lock": lock.path}, (lock,)),
        RunInfo((program,), (program,)),
    ]


def _compile(
    ctx: RuleContext[CcBinaryAttrs], source: Artifact, headers: Sequence[Artifact]
) -> Artifact:
    """The object file of one source."""
    is_cxx = source.path.endswith(_CXX)
    output = ctx.declare_file(f"{ctx.label.name}.objects/{_relative(ctx, source)}.o")
    ctx.run(
        mnemonic="CxxCompile" if is_cxx else "CcCompile",
        argv=[
            *_zig(ctx, "c++" if is_cxx else "cc"),
            *_ALWAYS,
            *(f"-D{one}" for one in ctx.attrs.defines),
            *(word for one in _include_folders(ctx) for word in ("-I", one)),
            *ctx.attrs.copts,
            *("-c", source, "-o", output),
        ],
        inputs=headers,
        outputs=[output],
        description=f"compiling {source.name}",
    )
    return output


def _include_folders(ctx: RuleContext[CcBinaryAttrs]) -> list[str]:
    """Where headers are looked for: each folder of sources, and that of what was generated."""
    return [
        posixpath.normpath(posixpath.join(base, one))
        for one in ("", *ctx.attrs.includes)
        for base in (_source_folder(ctx), ctx.output_prefix)
    ]


def _source_folder(ctx: RuleContext[CcBinaryAttrs]) -> str:
    """The directory of the package's sources, as actions see it."""
    repository = ctx.label.repository
    return (
        posixpath.join("external", repository, ctx.label.package)
        if repository
        else (ctx.label.package)
    )


def _zig(ctx: RuleContext[CcBinaryAttrs], command: str) -> list[str | Artifact | Tool]:
    zig = ctx.dep(ctx.attrs.toolchain, ZigInfo)
    return [zig.driver, *zig.arguments, "--store", STORE, "--target", ctx.attrs.target, command]


def _relative(ctx: RuleContext[CcBinaryAttrs], source: Artifact) -> str:
    """A name for the object file that no other source of this target has."""
    for prefix in (f"{ctx.output_prefix}/", f"{_source_folder(ctx)}/"):
        if source.path.startswith(prefix):
            return source.path.removeprefix(prefix)
    return source.path


cc_binary = Rule(attrs=CcBinaryAttrs, analyze=analyze, provides=(DefaultInfo, BinaryInfo, RunInfo))
