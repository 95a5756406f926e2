"""`python -m occlum_build.evidence`: describe how a bundle was made, and put it together.

Exit status: 0 done, 1 the answer is no or a file cannot be written, 2 wrong input, 70 a
bug of ours.
"""

import argparse
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, render
from occlum_build.evidence.canonical import canonical
from occlum_build.output_file import unwind_on_signals

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_WRONG_INPUT: Final = 2
EXIT_BUG: Final = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    arguments = make_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int | None] = arguments.run
    try:
        return run(arguments) or EXIT_DONE
    except DiagnosticError as problem:
        for diagnostic in problem.diagnostics:
            sys.stderr.write(render(diagnostic))
        return EXIT_WRONG_INPUT
    except OSError as problem:
        sys.stderr.write(f"error: {problem.strerror}: {problem.filename}\n")
        return EXIT_FAILED
    except Exception:  # noqa: BLE001 - the outermost frame: everything else is our bug
        traceback.print_exc()
        sys.stderr.write("error: this is a bug in occlum-build\n")
        return EXIT_BUG


def _describe(arguments: argparse.Namespace) -> None:
    from hashlib import sha256

    from occlum_build.evidence import sbom
    from occlum_build.evidence.provenance import render_provenance
    from occlum_build.evidence.subject import Subject

    subject = Subject.read(arguments.subject)
    document = sbom.render_sbom(subject)
    digest = sha256(document).hexdigest()
    arguments.sbom.write_bytes(document)
    arguments.provenance.write_bytes(render_provenance(subject, sbom.NAME, digest))


def _sign(arguments: argparse.Namespace) -> None:
    from occlum_build.evidence import dsse
    from occlum_build.evidence.files import read

    key = dsse.read_private_key(arguments.key)
    arguments.output.write_bytes(dsse.sign(read(arguments.provenance), key))


def _bundle(arguments: argparse.Namespace) -> None:
    from occlum_build.evidence.manifest import NAME, PROGRAMS, Making, describe

    bundle: Path = arguments.output
    bundle.mkdir(parents=True, exist_ok=True)
    parts = dict(one.split("=", 1) for one in arguments.part)
    for name, source in parts.items():
        _place(Path(source), bundle / name, mode=0o755 if name.startswith(PROGRAMS) else 0o644)
    making = Making(
        target=arguments.target,
        sealed=arguments.sealed,
        report=arguments.report,
        key_name=arguments.key_name,
        is_development_key=arguments.development_key,
    )
    manifest = describe(bundle, tuple(parts), making)
    (bundle / NAME).write_bytes(canonical(manifest))
    (bundle / NAME).chmod(0o644)
    arguments.summary.write_text(_summary(manifest, bundle), encoding="utf-8")


def _golden(arguments: argparse.Namespace) -> None:
    from occlum_build.evidence.golden import render_golden

    record = render_golden(arguments.sgxs, arguments.report, arguments.sealed)
    arguments.output.write_bytes(record)


def _compare(arguments: argparse.Namespace) -> int:
    """Compare an enclave's record with the one that was accepted: 0 if both measure the same."""
    from occlum_build.evidence.golden import explain, read_golden

    expected, found = read_golden(arguments.expected), read_golden(arguments.found)
    if found is not None and expected is not None:
        if expected["mrenclave"] == found["mrenclave"]:
            sys.stdout.write(f"MRENCLAVE {found['mrenclave']}, as expected\n")
            return EXIT_DONE
        lines = [
            "MRENCLAVE is not the one that was accepted",
            f"  accepted {expected['mrenclave']}",
        ]
        lines += [f"  found    {found['mrenclave']}", "what differs:"]
        lines += [f"  {one}" for one in explain(expected, found)]
    else:
        lines = [f"no MRENCLAVE was accepted yet: `{arguments.expected}` is empty"]
    lines.append(
        f"if that is meant, `occlum-build test --accept {arguments.target}` writes it down"
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_FAILED


def _place(source: Path, target: Path, *, mode: int) -> None:
    """Copy a part; a hole in it stays a hole where the file system can do that."""
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _summary(manifest: dict[str, Any], bundle: Path) -> str:
    """What the user sees after a build."""
    from occlum_build.evidence import provenance

    is_development = manifest["signing_key"]["development"]
    warning = "  (development key: nobody should trust it)" if is_development else ""
    lines = [
        f"{manifest['target']}",
        f"  MRENCLAVE  {manifest['mrenclave']}",
        f"  MRSIGNER   {manifest['mrsigner']}{warning}",
    ]
    signed = bundle / provenance.SIGNED_NAME
    if signed.exists():
        from occlum_build.evidence.envelope import signers

        lines.append(f"  provenance signed by key {' '.join(signers(signed.read_bytes()))}")
    elif (bundle / provenance.UNSIGNED_NAME).exists():
        lines.append("  provenance not signed")
    return "\n".join(lines) + "\n"


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m occlum_build.evidence",
        description="Say what a bundle is made of and how, and put it together.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    describe = commands.add_parser("describe", help="write the bill of materials and provenance")
    describe.add_argument("--subject", type=Path, required=True, help="what a rule wrote")
    describe.add_argument("--sbom", type=Path, required=True, help="the CycloneDX file to write")
    describe.add_argument("--provenance", type=Path, required=True, help="the statement to write")
    describe.set_defaults(run=_describe)

    sign = commands.add_parser("sign", help="sign a statement")
    sign.add_argument("--provenance", type=Path, required=True, help="the statement")
    sign.add_argument("--key", type=Path, required=True, help="private key in PEM")
    sign.add_argument("--output", type=Path, required=True, help="the envelope to write")
    sign.set_defaults(run=_sign)

    bundle = commands.add_parser("bundle", help="put the parts of an enclave into one directory")
    bundle.add_argument("--target", required=True, help="the bundle's label")
    bundle.add_argument("--part", action="append", default=[], metavar="NAME=FILE")
    bundle.add_argument("--sealed", type=Path, required=True, help="the sealed configuration")
    bundle.add_argument("--report", type=Path, required=True, help="what the layout reported")
    bundle.add_argument("--key-name", required=True, help="the name of the signing key")
    bundle.add_argument("--development-key", action="store_true", help="nobody should trust it")
    bundle.add_argument("--output", type=Path, required=True, help="the directory to write")
    bundle.add_argument("--summary", type=Path, required=True, help="the text to write")
    bundle.set_defaults(run=_bundle)

    golden = commands.add_parser("golden", help="write the golden record of an enclave")
    golden.add_argument("--sgxs", type=Path, required=True, help="the enclave")
    golden.add_argument("--report", type=Path, required=True, help="what the layout reported")
    golden.add_argument("--sealed", type=Path, required=True, help="the sealed configuration")
    golden.add_argument("--output", type=Path, required=True, help="the record to write")
    golden.set_defaults(run=_golden)

    compare = commands.add_parser("compare", help="compare an enclave with what was accepted")
    compare.add_argument("--expected", type=Path, required=True, help="the accepted record")
    compare.add_argument("--found", type=Path, required=True, help="the record of this build")
    compare.add_argument("--target", required=True, help="the test's label, for the message")
    compare.set_defaults(run=_compare)
    return parser


if __name__ == "__main__":
    unwind_on_signals()
    sys.exit(main())
