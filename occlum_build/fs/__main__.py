"""`python -m occlum_build.fs`: the programs that actions run on file trees.

Exit codes: 0 done, 1 an image or a package is not what it should be, 2 wrong
input, 70 a bug of ours. On failure no output is left behind.
"""

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from occlum_build.diagnostic import DiagnosticError, render
from occlum_build.fs.problem import Code
from occlum_build.output_file import UNWRITABLE, unwind_on_signals

if TYPE_CHECKING:
    from occlum_build.fs.glob import Pattern

_DONE: Final = 0
_REFUSED: Final = 1
_WRONG_INPUT: Final = 2
_OUR_BUG: Final = 70
_REFUSALS: Final = frozenset({Code.OTHER_PACKAGE, Code.ALTERED_IMAGE, UNWRITABLE})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code, diagnostics on stderr."""
    parsed = make_parser().parse_args(arguments)
    try:
        _COMMANDS[parsed.command](parsed)
        sys.stdout.flush()
    except DiagnosticError as failure:
        for diagnostic in failure.diagnostics:
            sys.stderr.write(render(diagnostic))
        refused = any(one.code in _REFUSALS for one in failure.diagnostics)
        return _REFUSED if refused else _WRONG_INPUT
    except BrokenPipeError:
        # the reader of our output went away: no problem of ours, and not for Python to report
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception:  # noqa: BLE001 (the last resort: a bug is reported as one)
        sys.stderr.write("this is a bug in occlum-build; please report it with these lines:\n")
        traceback.print_exc()
        return _OUR_BUG
    return _DONE


def _unpack_deb(parsed: argparse.Namespace) -> None:
    from occlum_build.fs.deb import Expectation, unpack

    unpack(
        parsed.package_file,
        parsed.output,
        Expectation(parsed.package, parsed.version, parsed.architecture),
        parsed.origins,
    )


def _import_tar(parsed: argparse.Namespace) -> None:
    from occlum_build.fs.archive import read_foreign_archive, write_archive
    from occlum_build.fs.content import Storage
    from occlum_build.fs.origins import render_origins
    from occlum_build.output_file import replacing

    tree = read_foreign_archive(Storage.open(parsed.archive))
    with replacing(parsed.output) as output:
        write_archive(tree, output)
    if parsed.origins is not None:
        with replacing(parsed.origins) as output:
            output.write(render_origins(tree, {"file": str(parsed.archive)}))


def _rootfs(parsed: argparse.Namespace) -> None:
    import dataclasses

    from occlum_build.fs.archive import write_archive
    from occlum_build.fs.origins import render_origins
    from occlum_build.fs.packages import package_layers
    from occlum_build.fs.rootfs import assemble
    from occlum_build.fs.scratch import scratch_directory
    from occlum_build.fs.specification import read_specification
    from occlum_build.output_file import replacing

    specification = read_specification(parsed.spec)
    with scratch_directory(parsed.output) as folder:
        layers = specification.layers + package_layers(specification, folder)
        tree = assemble(dataclasses.replace(specification, layers=layers))
        with replacing(parsed.output) as output:
            write_archive(tree, output)
        if parsed.origins is not None:
            with replacing(parsed.origins) as output:
                output.write(render_origins(tree, {"label": specification.label}))


def _bytecode(parsed: argparse.Namespace) -> None:
    from occlum_build.fs.archive import read_archive, write_archive
    from occlum_build.fs.bytecode import compiled_modules
    from occlum_build.fs.origins import read_origins, render_origins
    from occlum_build.fs.scratch import scratch_directory
    from occlum_build.output_file import replacing

    trees = []
    for tar, *origins in parsed.tree:
        known = {path: one for file in origins for path, one in read_origins(file).items()}
        trees.append(read_archive(tar, source_of=known.get))
    with scratch_directory(parsed.output) as folder:
        tree = compiled_modules(
            read_archive(parsed.python),
            os.fsencode(parsed.interpreter),
            trees,
            parsed.exclude,
            folder,
        )
        with replacing(parsed.output) as output:
            write_archive(tree, output)
        if parsed.origins is not None:
            with replacing(parsed.origins) as output:
                output.write(render_origins(tree, {"label": parsed.label}))


def _erofs(parsed: argparse.Namespace) -> None:
    from occlum_build.fs.archive import read_archive
    from occlum_build.fs.directory import read_directory
    from occlum_build.fs.image import pack

    source: Path = parsed.tree
    tree = read_directory(source) if source.is_dir() else read_archive(source)
    pack(tree, parsed.output)


def _verify(parsed: argparse.Namespace) -> None:
    from occlum_build.fs.content import Storage
    from occlum_build.fs.erofs.reader import read_image
    from occlum_build.fs.image import verify

    facts = verify(parsed.image, parsed.root_hash)
    tree = read_image(Storage.open(parsed.image))
    sys.stdout.write(f"{facts.root_hash}  {parsed.image}: {len(tree)} names\n")


def _list(parsed: argparse.Namespace) -> None:
    from occlum_build.fs.content import Storage
    from occlum_build.fs.erofs.reader import read_image
    from occlum_build.fs.listing import lines

    for line in lines(read_image(Storage.open(parsed.image))):
        sys.stdout.write(line + "\n")


_COMMANDS: Final = {
    "unpack-deb": _unpack_deb,
    "import-tar": _import_tar,
    "rootfs": _rootfs,
    "bytecode": _bytecode,
    "erofs": _erofs,
    "verify": _verify,
    "list": _list,
}


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m occlum_build.fs",
        description="File trees, and the verified images made of them.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    deb = commands.add_parser("unpack-deb", help="a Debian package to a canonical tar")
    deb.add_argument("package_file", type=Path, metavar="PACKAGE.deb", help="the package")
    deb.add_argument("--package", help="refuse a package of another name")
    deb.add_argument("--version", help="refuse a package of another version")
    deb.add_argument("--architecture", help="refuse a package of another architecture")

    foreign = commands.add_parser("import-tar", help="any tar to a canonical one")
    foreign.add_argument("archive", type=Path, metavar="TAR", help="the tar")

    rootfs = commands.add_parser("rootfs", help="files, links and layers to a canonical tar")
    rootfs.add_argument(
        "--spec", type=Path, required=True, metavar="SPEC.json", help="what the tree holds"
    )

    bytecode = commands.add_parser("bytecode", help="the compiled modules of Python files")
    bytecode.add_argument(
        "--python", type=Path, required=True, metavar="TAR", help="the tree with the interpreter"
    )
    bytecode.add_argument(
        "--interpreter", required=True, metavar="PATH", help="where it is in that tree"
    )
    bytecode.add_argument(
        "--tree",
        type=Path,
        nargs="+",
        action="append",
        required=True,
        metavar=("TAR", "ORIGINS"),
        help="a tree with modules, and where its files come from",
    )
    bytecode.add_argument(
        "--exclude",
        type=_pattern,
        action="append",
        default=[],
        metavar="PATTERN",
        help="paths that are not compiled",
    )
    bytecode.add_argument("--label", default="", help="what asks for it")

    erofs = commands.add_parser("erofs", help="a tree to an image, with its facts beside it")
    erofs.add_argument(
        "--tree", type=Path, required=True, metavar="TAR|DIRECTORY", help="what is packed"
    )

    for command in (deb, foreign, rootfs, bytecode):
        command.add_argument(
            "--origins", type=Path, metavar="FILE", help="write where each file comes from"
        )

    for command in (deb, foreign, rootfs, bytecode, erofs):
        command.add_argument(
            "--output", type=Path, required=True, metavar="FILE", help="the file to write"
        )

    verify = commands.add_parser("verify", help="check every byte of an image")
    verify.add_argument("image", type=Path, metavar="IMAGE", help="the image")
    verify.add_argument(
        "--root-hash",
        type=_root_hash,
        metavar="HEX",
        help="what to check against, instead of the facts beside the image",
    )

    listing = commands.add_parser("list", help="show what an image holds")
    listing.add_argument("image", type=Path, metavar="IMAGE", help="the image")
    return parser


def _pattern(text: str) -> "Pattern":
    from occlum_build.fs.glob import Pattern

    try:
        return Pattern.parse(text)
    except ValueError as failure:
        raise argparse.ArgumentTypeError(f"`{text}` is no pattern: {failure}") from failure


def _root_hash(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        digest = b""
    if len(digest) != 32:  # noqa: PLR2004 (SHA-256)
        raise argparse.ArgumentTypeError(f"`{text}` is not 64 hexadecimal digits")
    return digest


if __name__ == "__main__":
    unwind_on_signals()
    sys.exit(main())
