"""`rootfs`: the tree of a root file system, put together from files and packages.

The shared libraries that a dynamic program needs are found by reading ELF files, never by
running them; a missing one is an error that names who needs it.
"""

import re
from collections.abc import Sequence

from occlum_build.api import (
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
    Source,
)

from .origins import file_origin, tree_origins
from .providers import TreeInfo
from .tree import write_tree

_PATH = re.compile(r"(/[^/\0]+)+")
_MODE = re.compile(r"[0-7]{3,4}")


class RootfsAttrs(Attrs):
    """What a `rootfs` may say."""

    files: dict[str, Annotated[Label, Source()]] = Field(
        default={}, description="Path in the image to the file that goes there."
    )
    modes: dict[str, str] = Field(
        default={},
        description="Path of a file or directory to its mode, in octal digits. Default: `0755`"
        " for directories and executable files, `0644` for others.",
    )
    directories: tuple[str, ...] = Field(
        default=("/dev", "/proc", "/tmp"),  # noqa: S108  # a path in the image
        description="Directories that exist even if nothing is in them.",
    )
    symlinks: dict[str, str] = Field(
        default={}, description="Path in the image to where the symbolic link there points."
    )
    packages: tuple[Annotated[Label, Dep(TreeInfo)], ...] = Field(
        default=(), description="Trees that are put into the image whole, in this order."
    )
    libraries: tuple[Annotated[Label, Dep(TreeInfo)], ...] = Field(
        default=(),
        description="Trees that the shared libraries of dynamic programs, and their"
        " interpreters, are taken from: only those that a program needs.",
    )


def analyze(ctx: RuleContext[RootfsAttrs]) -> Sequence[Provider]:
    """Write what the tree holds, and let it be put together."""
    attrs = ctx.attrs
    _check(ctx)
    packages = ctx.deps(attrs.packages, TreeInfo)
    libraries = ctx.deps(attrs.libraries, TreeInfo)
    files = {path: ctx.file(label) for path, label in attrs.files.items()}
    file_origins = {path: file_origin(ctx, label) for path, label in attrs.files.items()}
    tars = tuple(dict.fromkeys(one.tar for one in (*packages, *libraries)))
    below, inherited = tree_origins((*packages, *libraries))
    spec = {
        "version": 1,
        "label": str(ctx.label),
        "files": [
            {
                "path": path,
                "source": file.path,
                "mode": attrs.modes.get(path),
                "origin": file_origins[path].facts,
            }
            for path, file in sorted(files.items())
        ],
        "directories": [
            {"path": path, "mode": attrs.modes.get(path, "0755")}
            for path in sorted(attrs.directories)
        ],
        "symlinks": [
            {"path": path, "target": target} for path, target in sorted(attrs.symlinks.items())
        ],
        "layers": [
            {"tar": one.tar.path, "label": str(label), "include": [], "exclude": []}
            for one, label in zip(packages, attrs.packages, strict=True)
        ],
        "closure": True,
        "closure_from": [one.tar.path for one in libraries],
        "origins": below,
    }
    tree, origins = write_tree(
        ctx,
        spec,
        mnemonic="Rootfs",
        inputs=[*files.values(), *tars, *_origins_of((*packages, *libraries))],
        description=f"putting {ctx.label} together",
    )
    own = (needed for one in file_origins.values() for needed in one.inputs)
    origin_inputs = tuple(dict.fromkeys((*own, *inherited)))
    return [DefaultInfo((tree,)), TreeInfo(tree, origins, origin_inputs)]


def _origins_of(trees: Sequence[TreeInfo]) -> list[Artifact]:
    return [one.origins for one in trees if one.origins is not None]


def _check(ctx: RuleContext[RootfsAttrs]) -> None:
    """Refuse what no image could hold."""
    attrs = ctx.attrs
    paths: list[tuple[str, tuple[str | int, ...]]] = [
        *((path, ("files", path)) for path in attrs.files),
        *((path, ("directories", index)) for index, path in enumerate(attrs.directories)),
        *((path, ("symlinks", path)) for path in attrs.symlinks),
    ]
    for path, place in paths:
        if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
            helps = () if path.startswith("/") else (f"write `/{path}`",)
            ctx.report(f"`{path}` is no clean absolute path in an image", place, helps=helps)
    for path, mode in attrs.modes.items():
        place = ("modes", path)
        if path not in attrs.files and path not in attrs.directories:
            ctx.report(f"`modes` names `{path}`, which is no file or directory here", place)
        if not _MODE.fullmatch(mode):
            ctx.report(f"`{mode}` is no mode", place, helps=("write octal digits: `0644`",))


rootfs = Rule(attrs=RootfsAttrs, analyze=analyze, provides=(DefaultInfo, TreeInfo))
