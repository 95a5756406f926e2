"""`python -m occlum_build.sgx`: lay out, measure, sign and check enclaves.

Exit status: 0 done, 1 the answer is no or a file cannot be written, 2 wrong
input, 70 a bug of ours. Diagnostics go to stderr; a result appears whole or not
at all.
"""

import argparse
import hashlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, render
from occlum_build.output_file import replace_file, replacing, unwind_on_signals
from occlum_build.sgx.elf import read_libos
from occlum_build.sgx.layout import SSA_FRAME_PAGES, make_layout
from occlum_build.sgx.metadata import read_metadata
from occlum_build.sgx.report import render_report
from occlum_build.sgx.sealed import read_sealed
from occlum_build.sgx.sgxs import SgxsReader
from occlum_build.sgx.sigstruct import EnclaveIdentity, mrsigner
from occlum_build.sgx.stream import write_stream

EXIT_DONE: Final = 0
EXIT_NO: Final = 1
EXIT_WRONG_INPUT: Final = 2
EXIT_BUG: Final = 70
_EXIT_NO_CODES: Final = frozenset({"OB0560", "OB0561", "OB0591"})
_MAX_INPUT_BYTES: Final = 1 << 30


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    arguments = make_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except DiagnosticError as problem:
        return _report(problem.diagnostics)
    except BrokenPipeError:
        return EXIT_NO
    except Exception:  # noqa: BLE001 - the outermost frame: everything else is our bug
        traceback.print_exc()
        sys.stderr.write("error: this is a bug in occlum-build\n")
        return EXIT_BUG


def _enclave(arguments: argparse.Namespace) -> int:
    sealed = read_sealed(_read(arguments.sealed), str(arguments.sealed))
    libos = read_libos(_read(arguments.libos), str(arguments.libos))
    layout = make_layout(libos, sealed)
    hasher = hashlib.sha256()
    with replacing(arguments.output) as output:

        def sink(part: memoryview) -> None:
            hasher.update(part)
            output.write(part)

        write_stream(layout.size_bytes, SSA_FRAME_PAGES, layout.runs, sink)
        output.flush()
        replace_file(arguments.report, render_report(layout, hasher.digest()).encode())
    return EXIT_DONE


def _sign(arguments: argparse.Namespace) -> int:
    from occlum_build.sgx.key import read_private_key
    from occlum_build.sgx.sign import sign

    key = read_private_key(arguments.key)
    replace_file(arguments.output, sign(_identity(arguments), key).pack())
    return EXIT_DONE


def _public_key(arguments: argparse.Namespace) -> int:
    from occlum_build.sgx.key import public_pem, read_public_key

    replace_file(arguments.output, public_pem(read_public_key(arguments.key)))
    return EXIT_DONE


def _mrsigner(arguments: argparse.Namespace) -> int:
    from occlum_build.sgx.key import read_public_key

    modulus = read_public_key(arguments.key).public_numbers().n
    sys.stdout.write(mrsigner(modulus).hex() + "\n")
    return EXIT_DONE


def _development_key(arguments: argparse.Namespace) -> int:
    from occlum_build.sgx.key import ensure_development_key

    if ensure_development_key(arguments.output, arguments.workspace):
        sys.stderr.write(f"made a development key: {arguments.output}\n")
    return EXIT_DONE


def _identity(arguments: argparse.Namespace) -> EnclaveIdentity:
    metadata = read_metadata(_read(arguments.metadata), str(arguments.metadata))
    with _open(arguments.sgxs) as stream:
        return metadata.identity(SgxsReader(stream, str(arguments.sgxs)).measure_only())


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as problem:
        raise _unreadable(path, problem) from None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_INPUT_BYTES)
    except OSError as problem:
        raise _unreadable(path, problem) from None


def _unreadable(path: Path, problem: OSError) -> DiagnosticError:
    return DiagnosticError(
        error("OB0590", f"cannot read `{path.name}`: {problem.strerror}", Span(str(path)))
    )


def _report(diagnostics: Sequence[Diagnostic]) -> int:
    for diagnostic in diagnostics:
        sys.stderr.write(render(diagnostic, colour=sys.stderr.isatty()))
    answered_no = all(one.code in _EXIT_NO_CODES for one in diagnostics)
    return EXIT_NO if answered_no else EXIT_WRONG_INPUT


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m occlum_build.sgx",
        description="Lay out, measure, sign and check SGX enclaves.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str, **paths: str
    ) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        for option, explanation in paths.items():
            flag = f"--{option.replace('_', '-')}"
            one.add_argument(flag, type=Path, required=True, metavar="FILE", help=explanation)
        one.set_defaults(run=run)
        return one

    sgxs, metadata = "the enclave", "`metadata.json` of the configuration"
    command(
        "enclave",
        _enclave,
        "lay out and measure an enclave",
        libos="the LibOS, a static PIE",
        sealed="the sealed configuration",
        output="the SGXS file to write",
        report="the JSON report to write",
    )
    command(
        "sign",
        _sign,
        "sign an enclave with a private key",
        sgxs=sgxs,
        metadata=metadata,
        key="private key, RSA-3072 with exponent 3, in PEM",
        output="the SIGSTRUCT to write",
    )
    command(
        "public-key",
        _public_key,
        "write the public half of a key",
        key="private or public key in PEM",
        output="the PEM file to write",
    )
    command("mrsigner", _mrsigner, "print the MRSIGNER of a key", key="private or public key")
    development = command(
        "development-key",
        _development_key,
        "make a development key if there is none",
        output="the PEM file; one that exists stays",
    )
    development.add_argument(
        "--workspace", type=Path, metavar="FOLDER", help="refuse a key inside this folder"
    )
    return parser


if __name__ == "__main__":
    unwind_on_signals()
    sys.exit(main())
