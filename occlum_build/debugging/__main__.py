"""`python -m occlum_build.debugging`: run an enclave with names for its code.

Exit status: the program's, 128 + n when signal n ended it; 1 if a file cannot be written, 2 wrong
input. Under gdb it is gdb's.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from occlum_build.debugging import gdb
from occlum_build.debugging.crash_report import CrashReport
from occlum_build.debugging.image_files import ImageFiles
from occlum_build.debugging.mapped import read_mapped
from occlum_build.debugging.perf_map import perf_map
from occlum_build.diagnostic import DiagnosticError, render
from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import ElfFile

EXIT_FAILED: Final = 1
EXIT_WRONG_INPUT: Final = 2
_SIGNALLED: Final = 128
_MAPPINGS: Final = "mappings"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status."""
    arguments = make_parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except DiagnosticError as problem:
        for diagnostic in problem.diagnostics:
            sys.stderr.write(render(diagnostic))
        return EXIT_WRONG_INPUT
    except OSError as problem:
        sys.stderr.write(f"error: {problem.strerror}: {problem.filename}\n")
        return EXIT_FAILED
    return status


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m occlum_build.debugging", allow_abbrev=False)
    verbs = parser.add_subparsers(required=True)
    run = verbs.add_parser("run", help="run an enclave", allow_abbrev=False)
    run.add_argument("--libos", required=True, type=Path, help="the LibOS, with its symbols")
    run.add_argument("--report", required=True, type=Path, help="where the enclave has what")
    run.add_argument("--bundle", required=True, type=Path, help="the bundle that is run")
    run.add_argument("--perf-map", action="store_true", help="write /tmp/perf-PID.map at the end")
    run.add_argument("--gdb", action="store_true", help="run it under gdb")
    run.add_argument("--symbolize", action="store_true", help="name functions in crash reports")
    run.add_argument("--trace", nargs="?", const="", help="passed on to the runner")
    run.add_argument("argv", nargs="+", metavar="WORD", help="the runner and its arguments")
    run.set_defaults(run=_run)
    place = verbs.add_parser("place", help="take files out of the root image")
    place.add_argument("--bundle", required=True, type=Path)
    place.add_argument("--directory", required=True, type=Path)
    place.add_argument("--mappings", required=True, type=Path)
    place.set_defaults(run=_place)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    runner, *words = arguments.argv
    if arguments.trace is not None:
        words.insert(0, f"--trace={arguments.trace}" if arguments.trace else "--trace")
    boot = json.loads(arguments.report.read_bytes())["boot"]
    start: int = boot["libos_start"]
    with tempfile.TemporaryDirectory(prefix="occlum-debugging-") as scratch:
        directory = Path(scratch)
        mappings = directory / _MAPPINGS
        listens = arguments.gdb or arguments.perf_map
        argv = [runner, *(("--mappings", str(mappings)) if listens else ()), *words]
        libos = ElfFile(FileBytes(str(arguments.libos)))
        files = ImageFiles(arguments.bundle, directory)
        if arguments.gdb:
            argv = gdb.command(
                [runner, "--platform", "sim", *argv[1:]],
                gdb.Session(
                    libos=arguments.libos,
                    libos_start=start,
                    mappings=mappings,
                    place=(*_own_words(), "place", "--bundle", str(arguments.bundle)),
                    directory=directory,
                ),
            )
        report = CrashReport(libos, files) if arguments.symbolize else None
        process, status = _wait(argv, report)
        if arguments.perf_map and mappings.exists():
            mapped = read_mapped(mappings.read_text(encoding="utf-8"))
            place = Path(f"/tmp/perf-{process}.map")  # noqa: S108 - perf looks only there
            place.unlink(missing_ok=True)
            with place.open("x", encoding="utf-8") as file:
                file.write(perf_map(libos, start, mapped, files))
    return status


def _wait(argv: list[str], report: CrashReport | None) -> tuple[int, int]:
    """Run a program on the user's terminal, whose signals are for it alone; its id and status.

    What it says on standard error passes through the report, if there is one.
    """
    kept = [(one, signal.signal(one, signal.SIG_IGN)) for one in (signal.SIGINT, signal.SIGQUIT)]

    def restore() -> None:
        for one, handler in kept:
            signal.signal(one, handler)

    errors = None if report is None else subprocess.PIPE
    with subprocess.Popen(argv, stderr=errors, preexec_fn=restore) as process:  # noqa: PLW1509 - no threads
        if process.stderr is not None and report is not None:
            for line in process.stderr:
                sys.stderr.buffer.write(report.named(line))
                sys.stderr.buffer.flush()
        status = process.wait()
    return process.pid, status if status >= 0 else _SIGNALLED - status


def _place(arguments: argparse.Namespace) -> int:
    """Print, for each mapping, how far its file has moved, and where the file is now."""
    from occlum_build.debugging.image_files import bias

    files = ImageFiles(arguments.bundle, arguments.directory)
    for one in read_mapped(arguments.mappings.read_text(encoding="utf-8")):
        elf, place = files.elf(one.path), files.place(one.path)
        moved = None if elf is None else bias(elf, one.start, one.offset)
        if moved is not None:
            sys.stdout.write(f"{moved:#x} {place}\n")
    return 0


def _own_words() -> list[str]:
    """How this program was started, without its arguments."""
    return [sys.executable, *sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]]


if __name__ == "__main__":
    sys.exit(main())
