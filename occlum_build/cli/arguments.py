"""The grammar of the command line."""

import argparse
import os
import re
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NoReturn

from occlum_build.analysis.query_expression import FUNCTIONS
from occlum_build.configuration import DEFAULT_NAME
from occlum_build.diagnostic import DiagnosticError, error, near
from occlum_build.option_value import positive_integer

VERBS: Final = {
    "build": "make targets, and show what they report",
    "test": "run tests, and count what passed and failed",
    "run": "make a target, then run it in this terminal",
    "clean": "delete what was made, and with `--expunge` what is kept to make it faster",
    "query": "show targets and what they need",
    "audit": "build again from the source, or twice, and compare",
    "conformance": "compare what programs do in an enclave with what they do on the host",
    "measure": "compute the MRENCLAVE of an enclave, whoever made it",
    "inspect": "show all that an enclave file says: signature, rights, memory",
    "diff": "show in what two enclaves differ: page, symbol, field, file",
    "sign": "sign an enclave: with a key in a file, on a device, or elsewhere",
    "verify": "check an enclave: measurement, signature, rights, and all that is in a bundle",
    "version": "show the version",
    "help": "show this text, or that of a verb",
}

FILE_VERBS: Final = {
    "audit": "occlum_build.audit.verb",
    "conformance": "occlum_build.conformance.verb",
    "diff": "occlum_build.identity.diff",
    "inspect": "occlum_build.identity.inspect",
    "measure": "occlum_build.identity.measure",
    "sign": "occlum_build.identity.sign",
    "verify": "occlum_build.identity.verify",
}
"""Verbs that take files and need no workspace, and the modules that have them."""

_USUAL_WIDTH: Final = 80
_MAX_RUNS: Final = 10_000
_KEY_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_EPILOG: Final = """\
target patterns:
  //pkg:name  one target         //pkg       the same as //pkg:pkg
  :name       in this directory  //pkg:all   every target of a package
  //pkg/...   every target of a package and those below it
  //pkg:*     the same as //pkg:all, and in a query its source files as well
  -PATTERN    leaves targets out again (after `--`)

options may be written as Bazel's are: `--keep_going` is `--keep-going`

exit codes: 0 done, 1 the build or a test failed, 2 wrong input, 70 a bug, 130 interrupted
"""


@dataclass(frozen=True)
class Arguments:
    """A command line, checked as far as that is possible without a workspace."""

    verb: str
    patterns: tuple[str, ...] = ()
    configuration: str = DEFAULT_NAME
    jobs: int | None = None
    keep_going: bool = False
    is_json: bool = False
    keys: dict[str, Path] = field(default_factory=dict)
    rest: tuple[str, ...] = ()
    """What stands after `--` in `run`: the program's own arguments."""
    debugging: tuple[str, ...] = ()
    """What `run` passes on to a program that can be debugged."""
    tags: tuple[str, ...] = ()
    accept: bool = False
    test_output: str = "errors"
    """Of which tests the log is shown: of none (`summary`), of those that fail, or of `all`."""
    test_filter: str = ""
    """Which cases of tests are run; all, if it is empty."""
    runs_per_test: int = 1
    is_one_configuration: bool = False
    """Whether `clean` is to delete the outputs of one configuration only."""
    expunge: bool = False
    output: str = "label"
    help_of: str = ""


_ANY_TEXT: Final = "--argument"
"""The one option of `FILE_VERBS` whose value may be empty: programs get it."""


class _Parser(argparse.ArgumentParser):
    """Reports in our form instead of exiting by itself."""

    def error(self, message: str) -> NoReturn:
        helps = [f"`{self.prog} --help` shows what there is"]
        if message.startswith("argument VERB: invalid choice: "):
            word = message.partition("invalid choice: ")[2].partition("'")[2].partition("'")[0]
            guess = near(word, VERBS)
            message = f"no verb `{word}`"
            helps = [f"a verb `{guess}` exists"] if guess else helps
        elif message.startswith("unrecognized arguments: "):
            word = message.partition(": ")[2].partition(" ")[0]
            guess = near(word, self._option_string_actions)
            is_option = word.startswith("-")
            message = f"no option `{word}`" if is_option else f"`{word}` is one argument too many"
            if word.startswith(("-//", "-@", "-:")):
                helps = [f"targets are taken away behind `--`: `-- {word}`"]
            else:
                helps = [f"an option `{guess}` exists"] if guess else helps
        raise DiagnosticError(error("OB0001", message.replace("'", "`"), helps=helps))


def parse_arguments(words: Sequence[str]) -> Arguments:
    """The command line that `words` are.

    Raises:
        DiagnosticError: they are none.
        SystemExit: help was asked for, and printed.
    """
    before, rest = list(words), list[str]()
    if "--" in before:
        cut = before.index("--")
        before, rest = before[:cut], before[cut + 1 :]
    # The value of this option stands behind `=` or nowhere: the next word is a target.
    before = ["--trace=" if word == "--trace" else word for word in before]
    parser = make_parser()
    known = _verb_parser(parser, before[0] if before else None)._option_string_actions  # noqa: SLF001
    before = [_dashed(word, known) for word in before]
    parsed, unknown = parser.parse_known_args(before)
    if parsed.verb is None and rest:
        parser.error("there is no verb before `--`")
    if unknown:
        _verb_parser(parser, parsed.verb).error(f"unrecognized arguments: {' '.join(unknown)}")
    patterns = list(getattr(parsed, "patterns", ()))
    configuration = getattr(parsed, "configuration", None)
    if parsed.verb in {"build", "test", "query"}:
        patterns, rest = [*patterns, *rest], []
    return Arguments(
        verb=parsed.verb or "help",
        patterns=tuple(patterns),
        configuration=DEFAULT_NAME if configuration is None else configuration,
        is_one_configuration=configuration is not None,
        expunge=getattr(parsed, "expunge", False),
        jobs=getattr(parsed, "jobs", None),
        keep_going=getattr(parsed, "keep_going", False),
        is_json=getattr(parsed, "message_format", "text") == "json",
        keys=_keys(getattr(parsed, "key", [])),
        rest=tuple(rest),
        debugging=tuple(getattr(parsed, "debugging", None) or ()),
        tags=tuple(getattr(parsed, "tag", ())),
        accept=getattr(parsed, "accept", False),
        test_output=getattr(parsed, "test_output", "errors"),
        test_filter=getattr(parsed, "test_filter", ""),
        runs_per_test=getattr(parsed, "runs_per_test", 1),
        output=getattr(parsed, "output", "label"),
        help_of=getattr(parsed, "help_of", "") or "",
    )


def _dashed(word: str, known: Container[str]) -> str:
    """The option that Bazel's users mean: theirs have `_` where ours have `-`."""
    name, equals, value = word.partition("=")
    dashed = name.replace("_", "-")
    return f"{dashed}{equals}{value}" if word.startswith("--") and dashed in known else word


def wants_json(words: Sequence[str]) -> bool:
    """Whether diagnostics are wanted as JSON, asked before it is known what else is right."""
    options = " ".join(words[: words.index("--")] if "--" in words else words)
    options = options.replace("--message_format", "--message-format")
    return "--message-format=json" in options or "--message-format json" in options


def make_parser() -> argparse.ArgumentParser:
    """The parser, for help texts and completions too."""
    parser = _Parser(
        prog="occlum-build",
        description="Build signed SGX enclaves that anyone can rebuild bit for bit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_const", const="version", dest="verb")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=_Parser)
    for verb, text in VERBS.items():
        one = verbs.add_parser(
            verb, help=text, description=f"{text[0].upper()}{text[1:]}.", allow_abbrev=False
        )
        _ADDERS.get(verb, lambda _one: None)(one)
    return parser


def make_file_parser(verb: str) -> argparse.ArgumentParser:
    """The parser of one of `FILE_VERBS`."""
    parser = _Parser(
        prog=f"occlum-build {verb}",
        description=f"{VERBS[verb][0].upper()}{VERBS[verb][1:]}.",
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    module = import_module(FILE_VERBS[verb])
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
    return parser


def parse_file_arguments(verb: str, words: Sequence[str]) -> argparse.Namespace:
    """The command line of one of `FILE_VERBS`.

    Raises:
        DiagnosticError: it is none; an empty name, as of a variable that is not set, would
            mean the current directory.
        SystemExit: help was asked for, and printed.
    """
    for before, word in pairwise(["", *words]):
        option, equals, value = word.partition("=")
        is_empty = not word or (option.startswith("--") and equals and not value)
        if is_empty and _ANY_TEXT not in {before, option}:
            last = option or before
            named = f"`{last}`" if last.startswith("-") else f"an argument of `{verb}`"
            helps = ("a variable that is not set is a usual cause",)
            raise DiagnosticError(error("OB0001", f"{named} is empty", helps=helps))
    return make_file_parser(verb).parse_args(words)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """As wide as the terminal; left alone, argparse would load compressors to find that out."""
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    with suppress(OSError):
        width = width or os.get_terminal_size().columns
    return argparse.HelpFormatter(prog, width=(width or _USUAL_WIDTH) - 2)


def _verb_parser(parser: argparse.ArgumentParser, verb: str | None) -> argparse.ArgumentParser:
    """The parser of a verb, which knows its options."""
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way
        if isinstance(action, argparse._SubParsersAction) and verb in action.choices:  # noqa: SLF001
            found: argparse.ArgumentParser = action.choices[verb]
            return found
    return parser


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="targets, as `//pkg:name`")
    _common_options(parser)


def _common_options(parser: argparse.ArgumentParser) -> None:
    _configuration_option(parser)
    parser.add_argument(
        "-j", "--jobs", type=positive_integer, metavar="N", help="how many actions run at once"
    )
    parser.add_argument(
        "-k",
        "--keep-going",
        action="store_true",
        help="go on with what does not need a wrong target or an action that failed",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="the PEM file of a signing key that targets name",
    )
    _message_option(parser)


def _configuration_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--configuration",
        default=DEFAULT_NAME,
        metavar="NAME",
        help="a configuration of WORKSPACE.occlum",
    )


def _message_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--message-format",
        choices=("text", "json"),
        default="text",
        help="diagnostics for people, or one JSON object a line on standard error",
    )


def _clean_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-c",
        "--configuration",
        metavar="NAME",
        help="only the outputs of this configuration of WORKSPACE.occlum",
    )
    parser.add_argument(
        "--expunge",
        action="store_true",
        help="also what is kept between builds: work of cargo, Python packages, unpacked tools;"
        " downloads stay, which are known by their digest",
    )
    _message_option(parser)


def _test_options(parser: argparse.ArgumentParser) -> None:
    _build_options(parser)
    parser.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="only tests with this tag"
    )
    parser.add_argument(
        "--accept",
        action="store_true",
        help="first write what is so over the files that say what these tests expect",
    )
    parser.add_argument(
        "--test-output",
        choices=("summary", "errors", "all"),
        default="errors",
        help="whose logs are shown: nobody's, the last lines of those that fail, or all of all",
    )
    parser.add_argument(
        "--test-filter",
        type=_filter,
        default="",
        metavar="EXPRESSION",
        help="only these cases: what `-k` of pytest understands, or a part of cargo's names;"
        " tests that have no cases to choose from run whole",
    )
    parser.add_argument(
        "--runs-per-test",
        type=_number_of_runs,
        default=1,
        metavar="N",
        help="run each test so often, whatever is remembered, and keep the log of each run;"
        " the test finds in TEST_RUN_NUMBER which run it is",
    )


def _number_of_runs(text: str) -> int:
    """How often; each run is an action with files of its own."""
    if positive_integer(text) > _MAX_RUNS:
        raise argparse.ArgumentTypeError(f"`{text}` is more than {_MAX_RUNS}")
    return int(text)


def _filter(text: str) -> str:
    """An expression; in a command `%{` begins a name for a place of this machine."""
    if "%{" in text:
        raise argparse.ArgumentTypeError("`%{` is in no case's name")
    return text


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patterns", nargs=1, metavar="TARGET", help="the target to run")
    _common_options(parser)
    parser.add_argument(
        "--trace",
        action=_PassOn,
        nargs="?",
        metavar="FILE",
        help="write the program's system calls to FILE or standard error; FILE after `=`",
    )
    parser.add_argument(
        "--gdb",
        action=_PassOn,
        nargs=0,
        help="run it in software SGX under gdb, which knows the symbols of LibOS and program",
    )
    parser.add_argument(
        "--perf-map",
        action=_PassOn,
        nargs=0,
        help="write /tmp/perf-PID.map at the end: names for what `perf record` saw in the enclave",
    )
    parser.add_argument(
        "--symbolize",
        action=_PassOn,
        nargs=0,
        help="name the functions in crash reports; standard error passes through a pipe for it",
    )
    parser.usage = "occlum-build run [options] TARGET [-- ARGUMENT ...]"


def _query_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "patterns",
        nargs="*",
        metavar="QUERY",
        help="a pattern, or an expression in Bazel's language: `+`, `-`, `^`, `let`, `set(…)`, "
        + ", ".join(f"`{name}(…)`" for name in FUNCTIONS),
    )
    parser.add_argument(
        "--output",
        choices=("label", "kind", "json"),
        default="label",
        help="labels, labels with the rules of their targets, or facts as JSON",
    )
    _configuration_option(parser)
    _message_option(parser)


def _help_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "help_of", nargs="?", choices=VERBS, metavar="VERB", help="the verb to explain"
    )


_ADDERS: Final[dict[str, Any]] = {
    "build": _build_options,
    "test": _test_options,
    "run": _run_options,
    "query": _query_options,
    "help": _help_options,
    "clean": _clean_options,
}


class _PassOn(argparse.Action):
    """Keeps an option as it was given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        del parser
        kept = getattr(namespace, "debugging", None) or []
        word = f"{option_string}={values}" if values else str(option_string)
        namespace.debugging = [*kept, word]


def _keys(words: Sequence[str]) -> dict[str, Path]:
    keys: dict[str, Path] = {}
    for word in words:
        name, equals, file = word.partition("=")
        if not _KEY_NAME.fullmatch(name) or not equals or not file:
            helps = ("write `--key NAME=FILE`; a name has letters, digits, `.`, `_` and `-`",)
            raise DiagnosticError(error("OB0001", f"`{word}` names no key file", helps=helps))
        keys[name] = Path(file).absolute()
        if not keys[name].exists():
            message = f"`--key {name}` names a file that does not exist"
            raise DiagnosticError(error("OB0001", message, notes=(str(keys[name]),)))
    return keys
