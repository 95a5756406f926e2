"""`python -m occlum_build.config`: check an Occlum.yaml, and seal it.

Exit status: 0 done, 1 a file cannot be written, 2 wrong input, 70 a bug of ours.
Diagnostics go to stderr; a result appears whole or not at all.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from occlum_build.config.images import check_images, read_image
from occlum_build.config.json_schema import render_json_schema
from occlum_build.config.load import load
from occlum_build.config.programs import check_command, read_programs
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.seal import metadata_json, sealed_json
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, render
from occlum_build.output_file import UNWRITABLE, replace_file, unwind_on_signals

EXIT_DONE: Final = 0
EXIT_NOT_WRITTEN: Final = 1
EXIT_WRONG_INPUT: Final = 2
EXIT_BUG: Final = 70
_MAX_INPUT_BYTES: Final = 1 << 21
_MAX_LIST_BYTES: Final = 1 << 28


class _WrongFileError(DiagnosticError):
    """Problems in one file, with its text for the excerpts."""

    def __init__(self, diagnostics: Sequence[Diagnostic], text: str) -> None:
        super().__init__(diagnostics)
        self.text = text


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    arguments = make_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = arguments.run
    try:
        run(arguments)
    except DiagnosticError as problem:
        text = problem.text if isinstance(problem, _WrongFileError) else None
        for diagnostic in problem.diagnostics:
            sys.stderr.write(render(diagnostic, text, colour=sys.stderr.isatty()))
        not_written = all(one.code == UNWRITABLE for one in problem.diagnostics)
        return EXIT_NOT_WRITTEN if not_written else EXIT_WRONG_INPUT
    except Exception:  # noqa: BLE001 - the outermost frame: everything else is our bug
        traceback.print_exc()
        sys.stderr.write("error: this is a bug in occlum-build\n")
        return EXIT_BUG
    return EXIT_DONE


def _check(arguments: argparse.Namespace) -> None:
    _load(arguments.config)


def _seal(arguments: argparse.Namespace) -> None:
    config, text = _load(arguments.config)
    images = {name: read_image(_read(path), str(path)) for name, path in arguments.image}
    programs = {
        name: read_programs(_read(path, _MAX_LIST_BYTES), str(path))
        for name, path in arguments.programs
    }
    problems = check_images(config, images, text, str(arguments.config))
    problems += check_command(config, programs, text, str(arguments.config))
    if problems:
        raise _WrongFileError(problems, text)
    sealed = sealed_json(config, images)
    if arguments.metadata is not None:
        replace_file(arguments.metadata, metadata_json(config).encode() + b"\n")
    replace_file(arguments.output, sealed.encode())


def _schema(arguments: argparse.Namespace) -> None:
    replace_file(arguments.output, render_json_schema().encode())


def _load(path: Path) -> tuple[OcclumConfig, str]:
    data = _read(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as problem:
        message = f"this is not UTF-8: byte {problem.start} cannot be read"
        raise DiagnosticError(error("OB0201", message, Span(str(path)))) from None
    config, diagnostics = load(text, str(path))
    if config is None:
        raise _WrongFileError(diagnostics, text)
    return config, text


def _read(path: Path, most: int = _MAX_INPUT_BYTES) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as problem:
        raise DiagnosticError(
            error("OB0290", f"cannot read `{path.name}`: {problem.strerror}", Span(str(path)))
        ) from None


def _named_path(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise argparse.ArgumentTypeError(f"`{text}` is not NAME=FILE")
    return name, Path(path)


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m occlum_build.config",
        description="Check and seal the configuration of an enclave.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    text = "say everything that is wrong with an Occlum.yaml"
    check = commands.add_parser("check", help=text, description=text, allow_abbrev=False)
    check.add_argument("config", type=Path, metavar="OCCLUM_YAML", help="the file")
    check.set_defaults(run=_check)

    text = "write the canonical form that is measured"
    seal = commands.add_parser("seal", help=text, description=text, allow_abbrev=False)
    seal.add_argument(
        "--config", type=Path, required=True, metavar="OCCLUM_YAML", help="what is sealed"
    )
    seal.add_argument(
        "--image",
        type=_named_path,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="an image, and the JSON file that describes it",
    )
    seal.add_argument(
        "--programs",
        type=_named_path,
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="an image, and the list of what can be started in it",
    )
    seal.add_argument("--output", type=Path, required=True, help="the sealed configuration")
    seal.add_argument("--metadata", type=Path, help="the fields of the signature")
    seal.set_defaults(run=_seal)

    text = "write the JSON schema of Occlum.yaml"
    schema = commands.add_parser("schema", help=text, description=text, allow_abbrev=False)
    schema.add_argument("--output", type=Path, required=True, help="the schema")
    schema.set_defaults(run=_schema)
    return parser


if __name__ == "__main__":
    unwind_on_signals()
    sys.exit(main())
