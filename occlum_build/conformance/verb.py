"""`occlum-build conformance`: a directory of programs, on the host and in an enclave."""

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from occlum_build.conformance import outcome, pass_list
from occlum_build.conformance.comparison import Answer, Comparison
from occlum_build.conformance.enclave import (
    SESSION,
    SHELL,
    Enclave,
    build,
    configuration,
)
from occlum_build.conformance.suite import Suite, find_programs, interpreters
from occlum_build.conformance.tree import write_tree
from occlum_build.conformance.verdict import Case, Criteria, Verdict
from occlum_build.diagnostic import DiagnosticError, Severity, error, render
from occlum_build.option_value import positive_integer
from occlum_build.output_file import replace_file

_DONE: Final = 0
_FAILED: Final = 1
SCHEMA: Final = 1

ENVIRONMENT: Final = {"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin"}  # noqa: S108
"""What every program sees, on the host as in the enclave."""

TOOLS: Final = (
    *("/bin/cat", "/bin/chmod", "/bin/chown", "/bin/cp", "/bin/cut", "/bin/date", "/bin/dd"),
    *("/bin/df", "/bin/echo", "/bin/env", "/bin/expr", "/bin/false", "/bin/grep", "/bin/head"),
    *("/bin/id", "/bin/kill", "/bin/ln", "/bin/ls", "/bin/mkdir", "/bin/mkfifo", "/bin/mktemp"),
    *("/bin/mv", "/bin/printf", "/bin/ps", "/bin/pwd", "/bin/rm", "/bin/rmdir", "/bin/sed"),
    *("/bin/seq", "/bin/sleep", "/bin/sort", "/bin/stat", "/bin/sync", "/bin/tail", "/bin/tee"),
    *("/bin/test", "/bin/touch", "/bin/tr", "/bin/true", "/bin/uname", "/bin/wc", "/bin/xargs"),
)
"""Programs of the host that suites like to start, where there are any."""


def run(options: argparse.Namespace) -> int:
    """Run a suite on both sides and compare; the exit status. Raises `DiagnosticError`."""
    if options.update and options.pass_list is None:
        message = "`--update` changes a pass list, and none is named"
        raise DiagnosticError(error("OB0701", message, helps=("name it with `--pass-list FILE`",)))
    suite = Suite(options.directory.resolve())
    if not suite.directory.is_dir():
        raise DiagnosticError(error("OB0701", f"`{options.directory}` is no directory"))
    for output in (options.json, options.pass_list):
        if output is not None and not output.absolute().parent.is_dir():
            message = f"`{output}` cannot be written: there is no such directory"
            raise DiagnosticError(error("OB0701", message))
    known = pass_list.read(options.pass_list) if options.pass_list else frozenset[str]()
    programs = find_programs(suite.directory, options.program or ["*"])
    env = {**ENVIRONMENT, **dict(options.env)}
    config = _config(options, suite, env)
    bundle = _bundle(options, suite, config)
    has_parent = options.config is None
    enclave = Enclave(bundle, options.enclu, has_parent=has_parent, runs=outcome.Runs())
    comparison = Comparison(
        suite,
        enclave,
        env,
        ENVIRONMENT,
        arguments=options.argument,
        seconds=options.timeout,
        patience=options.patience,
        criteria=Criteria(options.compare == "output", tuple(options.ignore)),
    )
    with suite.copied():
        cases = sorted(_cases(options, programs, comparison), key=lambda case: case.name)
    # Whoever chooses programs knows that the others do not run.
    gone = pass_list.without_program(known, programs) if options.program is None else ()
    ratchet = pass_list.compare(known, cases)
    if options.json:
        _write_json(options.json, cases)
    for name in gone:
        sys.stdout.write(f"lost: {name} is in {options.pass_list}, and its program is gone\n")
    _report(cases, ratchet, options)
    if options.update and options.pass_list:
        names = known | set(ratchet.gained)
        head = pass_list.head_of(options.pass_list)
        replace_file(options.pass_list, pass_list.text(head, names).encode())
    if any(one.verdict is Verdict.ESCAPED for one in cases):
        return _FAILED
    if options.pass_list:
        return _FAILED if ratchet.lost or gone else _DONE
    return _FAILED if any(one.verdict is Verdict.FAILED for one in cases) else _DONE


def _config(options: argparse.Namespace, suite: Suite, env: Mapping[str, str]) -> str:
    if options.config is None:
        return configuration(suite, env, options.memory_model)
    try:
        text: str = options.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        message = f"the configuration cannot be read: {problem}"
        raise DiagnosticError(error("OB0701", message)) from problem
    return text


def _bundle(options: argparse.Namespace, suite: Suite, config: str) -> Path:
    """The suite's enclave, in a workspace that is kept for the next time."""
    workspace = options.cache / "conformance" / suite.key
    workspace.mkdir(parents=True, exist_ok=True)
    usual = [one for one in (*TOOLS, "/bin/sh", SHELL, SESSION) if Path(one).is_file()]
    tools = (*usual, *interpreters(suite.directory, ENVIRONMENT["PATH"]), *options.tool)
    for missing in write_tree(suite, tools, workspace / "tree.tar"):
        sys.stderr.write(render(replace(missing, severity=Severity.WARNING)))
    return build(workspace, config, options.cache)


def _answers(
    options: argparse.Namespace, programs: Sequence[str], comparison: Comparison
) -> Iterator[Answer]:
    """Run every program on both sides; those of which there is a doubt come last."""
    doubtful: list[Answer] = []
    with ThreadPoolExecutor(options.jobs) as pool, _ended_with(comparison.enclave.runs):
        for number, answer in enumerate(pool.map(comparison.ask, programs), 1):
            if answer.doubt:
                doubtful.append(answer)
            else:
                yield answer
            if sys.stderr.isatty():
                sys.stderr.write(f"\r\x1b[K[{number}/{len(programs)}] {programs[number - 1]}")
                sys.stderr.flush()
    yield from map(comparison.settled, doubtful)
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")


@contextmanager
def _ended_with(runs: outcome.Runs) -> Iterator[None]:
    """Kills what still runs when the block is left early: the pool waits for its threads."""
    try:
        yield
    except BaseException:
        runs.end()
        raise


def _cases(
    options: argparse.Namespace, programs: Sequence[str], comparison: Comparison
) -> Iterator[Case]:
    """The cases of every program, told and kept as they come."""
    for answer in _answers(options, programs, comparison):
        differ = any(case.verdict is not Verdict.PASSED for case in answer.cases)
        if options.outputs and answer.inside is not None and differ:
            sides = {"host": answer.host, "enclave": answer.inside}
            _write_outputs(options.outputs / answer.name, sides)
        for case in answer.cases:
            if options.verbose or case.verdict is not Verdict.PASSED:
                _say(case)
        yield from answer.cases


def _write_outputs(folder: Path, outcomes: Mapping[str, outcome.Outcome]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for side, ended in outcomes.items():
        replace_file(folder / f"{side}.stdout", ended.stdout)
        replace_file(folder / f"{side}.stderr", ended.stderr)


def _say(case: Case) -> None:
    words = f"{case.verdict}: {case.name}"
    if sys.stderr.isatty():  # in the place of what tells how far it is
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    sys.stdout.write(f"{words}: {case.why}\n" if case.why else f"{words}\n")
    sys.stdout.flush()


def _report(
    cases: Sequence[Case], ratchet: pass_list.Ratchet, options: argparse.Namespace
) -> None:
    if options.pass_list:
        for case in ratchet.lost:
            sys.stdout.write(f"lost: {case.name} is in {options.pass_list}\n")
        if ratchet.gained and not options.update:
            sys.stdout.write(
                f"{len(ratchet.gained)} passed that the pass list lacks; `--update` adds them\n"
            )
    count = {one: sum(case.verdict is one for case in cases) for one in Verdict}
    unjudged = count[Verdict.NO_JUDGE]
    skipped = f", {unjudged} without a judge" if unjudged else ""
    escaped = count[Verdict.ESCAPED]
    loud = f", {escaped} ESCAPED to the host's kernel" if escaped else ""
    passed, failed = count[Verdict.PASSED], count[Verdict.FAILED]
    sys.stdout.write(f"{passed} passed, {failed} failed{skipped}{loud}\n")


def _write_json(path: Path, cases: Sequence[Case]) -> None:
    facts = {
        "schema": SCHEMA,
        "cases": [
            {"name": one.name, "verdict": one.verdict.value, "why": one.why} for one in cases
        ],
    }
    replace_file(path, json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the verb takes."""
    parser.epilog = (
        "A program is an ELF file or a script that may be executed. It runs for real on the host,"
        " with your rights, in a copy of DIRECTORY; its standard input is empty. Programs that are"
        " GoogleTests are compared case by case. Options that name one thing may be repeated."
        " Exit codes: 0 nothing failed"
        " (with a pass list: nothing of it was lost), 1 otherwise, 2 wrong input. A system call of"
        " a program that reaches the host's kernel is a failure, whatever a pass list says."
    )
    add = parser.add_argument
    add("directory", type=Path, metavar="DIRECTORY", help="the programs and what they read")
    add("--pass-list", type=Path, metavar="FILE", help="the cases that must pass, one a line")
    add("--update", action="store_true", help="add the cases that pass to the pass list")
    add("--program", action="append", metavar="PATTERN",
        help="only programs whose path in DIRECTORY matches, as in a shell")  # fmt: skip
    add("--argument", action="append", default=[], metavar="WORD",
        help="an argument for every program, after those before it")  # fmt: skip
    add("--env", action="append", default=[], type=_variable, metavar="NAME=VALUE",
        help="set in the environment of every program, on both sides")  # fmt: skip
    add("--tool", action="append", default=[], metavar="PATH",
        help="a program of the host that they start, or a directory that they read, besides "
        f"what their `#!` name and {', '.join(Path(one).name for one in TOOLS)}")  # fmt: skip
    add("--config", type=Path, metavar="FILE", help="the enclave's Occlum.yaml")
    add("--memory-model", choices=("sgx1", "edmm"), default="edmm",
        help="without `--config`; edmm (default) has more room")  # fmt: skip
    add("--enclu", choices=("patched", "trap"), default="patched",
        help="how software SGX meets ENCLU")  # fmt: skip
    add("--compare", choices=("output", "status"), default="output",
        help="standard output and exit status (default), or the status alone")  # fmt: skip
    add("--ignore", action="append", default=[], type=_expression, metavar="REGEX",
        help="what may differ in the output, line by line for `^` and `$`")  # fmt: skip
    add(
        "--timeout",
        type=_amount,
        default=60.0,
        metavar="SECONDS",
        help="for a program on the host (default: 60)",
    )
    add("--patience", type=_amount, default=2.0, metavar="FACTOR",
        help="how many times as long the enclave may take (default: 2)")  # fmt: skip
    add("-j", "--jobs", type=positive_integer, default=os.cpu_count() or 1, metavar="N",
        help="how many programs run at once (default: one for each processor)")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write every case with its verdict")
    add("--outputs", type=Path, metavar="DIRECTORY",
        help="keep what programs that fail wrote, as PROGRAM/host.stdout and so on")  # fmt: skip
    add("-v", "--verbose", action="store_true", help="show the cases that pass, too")
    add("--cache", type=Path, default=_cache(), metavar="DIRECTORY", help=argparse.SUPPRESS)


def _cache() -> Path:
    """Where downloads and the enclaves of suites are kept.

    That is with the checkout's own, or among the user's caches if the tool is installed:
    what was installed is not to grow, and may be somebody else's.
    """
    chosen = os.environ.get("OCCLUM_BUILD_CACHE")
    if chosen:
        return Path(chosen).absolute()
    tool = Path(__file__).parents[2]
    if (tool / "occlum-build").is_file():
        return tool / ".occlum-build"
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "occlum-build"


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"`{text}` is no positive number")
    return amount


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"`{text}` is not NAME=VALUE")
    return name, value


def _expression(text: str) -> re.Pattern[bytes]:
    try:
        return re.compile(text.encode(), re.MULTILINE)
    except re.error as problem:
        raise argparse.ArgumentTypeError(f"`{text}` is no expression: {problem}") from problem
