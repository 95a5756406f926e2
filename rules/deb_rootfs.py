"""`deb_rootfs`: a file tree of Debian packages and all that they depend on.

Packages are unpacked without root, and their scripts are not run. What scripts would have
made (alternatives, `/etc/passwd`) is said in `symlinks` and `copies`.
"""

from collections.abc import Sequence

from occlum_build.api import (
    STORE,
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
)

from .providers import ScriptInfo, TreeInfo
from .tree import write_tree

_MERGED = {"/bin": "usr/bin", "/lib": "usr/lib", "/lib64": "usr/lib64", "/sbin": "usr/sbin"}


class DebRootfsAttrs(Attrs):
    """What a `deb_rootfs` may say."""

    packages: tuple[str, ...] = Field(
        description="The packages, as the lock file names them; what they depend on comes along.",
        min_length=1,
    )
    lock: Annotated[Label, Source(".lock")] = Field(
        description="The lock file that a `deb_lock` wrote, with versions and SHA-256.",
    )
    exclude: tuple[str, ...] = Field(
        default=(
            "usr/share/doc",
            "usr/share/info",
            "usr/share/lintian",
            "usr/share/locale",
            "usr/share/man",
        ),
        description="Patterns of paths that are left out with all below them: `*` inside a name,"
        " `**` for any number of names.",
    )
    symlinks: dict[str, str] = Field(
        default={},
        description="Path to where the symbolic link there points: alternatives, for instance,"
        " as `/usr/bin/awk` to `mawk`.",
    )
    copies: dict[str, str] = Field(
        default={},
        description="Path to the path that it is a copy of, such as `/etc/passwd` of"
        " `/usr/share/base-passwd/passwd.master`.",
    )
    directories: tuple[str, ...] = Field(
        default=(), description="Directories that exist even if no package has them."
    )
    merged_usr: bool = Field(
        default=True,
        description="Whether `/bin`, `/lib`, `/lib64` and `/sbin` are links into `/usr`, as on"
        " every Debian since 12.",
    )
    fetcher: Annotated[Label, Dep(ScriptInfo)] = Field(
        default=Label.parse("@occlum//toolchain:fetch_deb"),
        description="The program that fetches packages.",
    )


def analyze(ctx: RuleContext[DebRootfsAttrs]) -> Sequence[Provider]:
    """Fetch, check, unpack and merge."""
    attrs = ctx.attrs
    archives = ctx.declare_directory(f"{ctx.label.name}.debs")
    ctx.run(
        mnemonic="FetchDebs",
        argv=[
            ctx.dep(attrs.fetcher, ScriptInfo).tool,
            *("--lock", ctx.file(attrs.lock)),
            *(word for name in sorted(attrs.packages) for word in ("--package", name)),
            *("--store", STORE, "--directory", archives),
        ],
        outputs=[archives],
        network=True,
        description=f"fetching Debian packages of {ctx.label}",
    )
    links = (_MERGED if attrs.merged_usr else {}) | attrs.symlinks
    spec = {
        "version": 1,
        "label": str(ctx.label),
        "directories": [{"path": path, "mode": "0755"} for path in sorted(attrs.directories)],
        "symlinks": [{"path": path, "target": target} for path, target in sorted(links.items())],
        "copies": [{"path": path, "of": source} for path, source in sorted(attrs.copies.items())],
        "debs": archives.path,
        "debs_exclude": sorted(attrs.exclude),
    }
    tree, origins = write_tree(
        ctx,
        spec,
        mnemonic="DebRootfs",
        inputs=[archives],
        description=f"unpacking Debian packages of {ctx.label}",
    )
    return [DefaultInfo((tree,)), TreeInfo(tree, origins)]


deb_rootfs = Rule(attrs=DebRootfsAttrs, analyze=analyze, provides=(DefaultInfo, TreeInfo))
