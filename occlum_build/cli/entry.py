"""The entry point: dispatches to a verb, and turns every ending into an exit code."""

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

from occlum_build.cli.arguments import (
    FILE_VERBS,
    Arguments,
    make_file_parser,
    make_parser,
    parse_arguments,
    parse_file_arguments,
    wants_json,
)
from occlum_build.cli.console import Console
from occlum_build.cli.exit_code import ExitCode
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error
from occlum_build.output_file import UNWRITABLE

_OF_THE_MACHINE: Final = frozenset(
    {
        errno.EACCES,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EFBIG,
        errno.EIO,
        errno.EISDIR,
        errno.ELOOP,
        errno.EMFILE,
        errno.ENAMETOOLONG,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
        errno.ESTALE,
        errno.ETXTBSY,
    }
)
"""Errors of the file system and of its limits that no code of ours can cause."""

_FULL: Final = "make room and do it again; `occlum-build clean` deletes all outputs"
_OURS: Final = (
    "delete what is in the way, if it is `out`, `.occlum-build` or in them: a build makes it again"
)
_LIMITS: Final = "end other programs, or lift what limits yours: `ulimit -a` shows it"
_WHAT_NEXT: Final = {
    errno.EAGAIN: _LIMITS,
    errno.EMFILE: _LIMITS,
    errno.EACCES: "`out/` and `.occlum-build/` of a workspace must be yours: a build writes there",
    errno.EDQUOT: _FULL,
    errno.EEXIST: _OURS,
    errno.EFBIG: "lift the limit of the size of a file: `ulimit -f` shows it",
    errno.EISDIR: _OURS,
    errno.ELOOP: _OURS,
    errno.ENFILE: _LIMITS,
    errno.ENOMEM: _LIMITS,
    errno.ENOSPC: _FULL,
    errno.ENOTDIR: _OURS,
    errno.EROFS: "copy the workspace to where a build can write `out/` and `.occlum-build/`",
}

_MAX_EXCERPT_CHARACTERS: Final = 1 << 18
"""What programs say that know no codes of the engine, and that is no fault of the input."""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code."""
    _stop_for_any_signal()
    try:
        status = _outcome(tuple(sys.argv[1:] if words is None else words))
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as problem:
        _forsake(sys.stdout)
        if not isinstance(problem, BrokenPipeError):
            text = f"error[OB0412]: standard output cannot be written: {problem.strerror}\n"
            with suppress(OSError):
                sys.stderr.write(text)
                sys.stderr.flush()
        _forsake(sys.stderr)
        return ExitCode.FAILED
    return status


def _is_of_the_build(problem: Diagnostic) -> bool:
    """Whether an action or the machine failed; a key that cannot sign is wrong input."""
    return problem.code == UNWRITABLE or (
        problem.code.startswith("OB04") and problem.code != "OB0410"
    )


def _stop_for_any_signal() -> None:
    """Let a closed terminal, `kill` and the quit key end a build as Ctrl-C does: all of it."""
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _forsake(stream: TextIO) -> None:
    """Lead a stream that takes nothing any more to nowhere: Python flushes it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with suppress(OSError, ValueError):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _outcome(given: tuple[str, ...]) -> int:
    """Do what a command line says, and turn every ending into an exit code.

    Raises:
        OSError: standard output or standard error takes nothing any more.
    """
    console = Console(is_json=wants_json(given))
    text_of: Callable[[str], str | None] = _text_in_workspace
    try:
        if given and given[0] in FILE_VERBS:
            text_of = _text_of_file
            parsed = parse_file_arguments(given[0], given[1:])
            return int(parsed.run(parsed))
        arguments = parse_arguments(given)
        if arguments.verb in {"help", "version"}:
            return _about(arguments)
        from occlum_build.cli.command import Command

        command = Command.open(arguments, given, console)
        text_of = command.session.loader.sources.text_of_shown
        return _verb(arguments.verb)(command)
    except SystemExit as ended:  # a parser has shown its help, which may still have to be written
        return ended.code if isinstance(ended.code, int) else ExitCode.DONE
    except DiagnosticError as problem:
        console.diagnostics(problem.diagnostics, text_of)
        is_build = any(map(_is_of_the_build, problem.diagnostics))
        return ExitCode.FAILED if is_build else ExitCode.WRONG_INPUT
    except KeyboardInterrupt:
        problem_found = error("OB0404", "interrupted", notes=("nothing is left half-written",))
        console.diagnostics([problem_found], text_of)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as problem:
        if problem.errno not in _OF_THE_MACHINE:
            return _bug(problem)
        code = "OB0403" if problem.errno in {errno.ENOSPC, errno.EDQUOT} else "OB0412"
        why = f"{problem.strerror}: {problem.filename or ''}".removesuffix(": ")
        helps = [_WHAT_NEXT[problem.errno]] if problem.errno in _WHAT_NEXT else []
        message = "a file cannot be read or written"
        console.diagnostics([error(code, message, notes=(why,), helps=helps)], text_of)
        return ExitCode.FAILED
    except Exception as problem:  # noqa: BLE001  # the last resort
        return _bug(problem)


def _text_in_workspace(file: str) -> str | None:
    """The text of a file that is wrong before a session can be opened: the marker."""
    for directory in (Path.cwd(), *Path.cwd().parents):
        if (directory / "WORKSPACE.occlum").is_file():
            try:
                return (directory / file).read_text(encoding="utf-8", errors="replace")
            except OSError:
                return None
    return None


def _text_of_file(file: str) -> str | None:
    """The text of a file that a verb was given; a pipe would be waited for."""
    try:
        if not Path(file).is_file():
            return None
        with Path(file).open(encoding="utf-8", errors="replace") as opened:
            return opened.read(_MAX_EXCERPT_CHARACTERS)
    except OSError:
        return None


def _verb(name: str) -> Callable[..., int]:
    """The function of a verb; its imports cost time, so only one is imported."""
    from importlib import import_module

    function: Callable[..., int] = getattr(import_module(f"occlum_build.cli.{name}"), name)
    return function


def _about(arguments: Arguments) -> ExitCode:
    if arguments.verb == "version":
        sys.stdout.write(f"occlum-build {_version()}\n")
    elif arguments.help_of:
        with suppress(SystemExit):
            if arguments.help_of in FILE_VERBS:
                make_file_parser(arguments.help_of).parse_args(["--help"])
            make_parser().parse_args([arguments.help_of, "--help"])
    else:
        make_parser().print_help()
    return ExitCode.DONE


def _version() -> str:
    """The version of the distribution, or of the checkout that runs."""
    import tomllib
    from importlib.metadata import PackageNotFoundError, version

    project = Path(__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    try:
        return version("occlum-build")
    except PackageNotFoundError:
        return "unknown"


def _bug(problem: BaseException) -> ExitCode:
    import traceback

    traceback.print_exception(problem)
    sys.stderr.write(
        "\nthis is a bug in occlum-build; please report it with the lines above and what you did\n"
    )
    return ExitCode.BUG
