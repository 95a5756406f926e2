"""`commands.md`: the command line, the runner, and the programs that actions run."""

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from occlum_build.cli.arguments import FILE_VERBS, make_file_parser, make_parser
from occlum_build.config import __main__ as config
from occlum_build.fs import __main__ as fs
from occlum_build.reference.markdown import block, code, page, sentence, table
from occlum_build.sgx import __main__ as sgx

_Row = tuple[str, str]

_TITLES: Final = ("argument", "meaning")
_RUNNER: Final = "libos_src/crates/occlum-run/src/arguments.rs"
_HELP: Final = re.compile(r'const HELP: &str = "\\\n(.*?)";', re.DOTALL)

_INTRODUCTION: Final = """
- `occlum-build`: the build system. In a checkout it is the file at the top; a wheel installs it.
- [`occlum-run`](#occlum-run): loads the enclave of a bundle and runs it; each bundle holds one.
- [`python -m occlum_build.config`, `.fs`, `.sgx`](#programs-that-actions-run): what actions run.
  They need no workspace, so an auditor can use them on files from elsewhere.
"""

_VARIABLES: Final = (
    (
        "`OCCLUM_BUILD_CACHE`",
        "Holds downloads and unpacked tools. Default: `.occlum-build/` of the workspace.",
    ),
    (
        "`XDG_CONFIG_HOME`",
        "The development key is `occlum-build/development.pem` below it. Default: `~/.config`.",
    ),
    ("`NO_COLOR`", "If it is not empty, diagnostics have no colour."),
)

_PROGRAMS: Final = """
## Programs that actions run

Run them with the Python of an installed wheel, or with `.occlum-build/venv-*/bin/python` from
the top of a checkout. Diagnostics go to standard error. An output is written whole or not at all.
"""


_FILE_VERBS: Final = """
## Verbs that take files

They need no workspace, no key but where one signs, no SDK and no SGX, and run
nothing of what they read.
"""


def commands_page(root: Path) -> str:
    """The page."""
    parser = make_parser()
    verbs = [one for one in _commands(parser, "###") if one[0][4:] not in FILE_VERBS]
    common = _common_rows([one for _, _, one in verbs])
    sections = [
        "## occlum-build",
        block("occlum-build VERB [options] [PATTERN ...]"),
        block(parser.epilog or ""),
        "### Options of the verbs that take targets",
        table(_TITLES, common),
        *(_command(*one, known=common) for one in verbs),
        _FILE_VERBS.strip(),
        *(
            _command(heading, about, make_file_parser(heading[4:]))
            for heading, about, _ in _commands(parser, "###")
            if heading[4:] in FILE_VERBS
        ),
        "## Environment variables",
        "None of them reaches an output.",
        table(("variable", "meaning"), _VARIABLES),
        "## occlum-run",
        block(_runner_help(root)),
        _PROGRAMS.strip(),
    ]
    for program in (config, fs, sgx):
        name, _, about = (program.__doc__ or "").partition(": ")
        sections += [f"### {name.strip('`')}", sentence(about.strip())]
        sections += [_command(*one) for one in _commands(program.make_parser(), "####")]
    return page("Commands", _INTRODUCTION, sections)


def _runner_help(root: Path) -> str:
    """What `occlum-run --help` prints."""
    found = _HELP.search((root / _RUNNER).read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"`{_RUNNER}` has no help text")
    return found[1]


def _commands(
    parser: argparse.ArgumentParser, level: str
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """The subcommands of a parser: heading, what they do, their own parser."""
    for action in parser._actions:  # noqa: SLF001  # argparse shows them in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # nor names its type
            about = {one.dest: one.help or "" for one in action._choices_actions}  # noqa: SLF001
            for name, one in action.choices.items():
                yield f"{level} {name}", about[name], one


def _command(
    heading: str, about: str, parser: argparse.ArgumentParser, known: Sequence[_Row] = ()
) -> str:
    rows = [row for row in _rows(parser) if row not in known]
    return "\n\n".join([heading, sentence(about), *([table(_TITLES, rows)] if rows else [])])


def _common_rows(parsers: Sequence[argparse.ArgumentParser]) -> list[_Row]:
    """The options that all verbs with options share, in their order."""
    all_rows = [[row for row in _rows(one) if row[0].startswith("`-")] for one in parsers]
    sets = [set(rows) for rows in all_rows if rows]
    return [row for row in next(filter(None, all_rows)) if all(row in one for one in sets)]


def _rows(parser: argparse.ArgumentParser) -> list[_Row]:
    shown = (one for one in parser._actions if one.help != argparse.SUPPRESS)  # noqa: SLF001
    return [_row(one) for one in shown if one.dest != "help"]


def _row(action: argparse.Action) -> _Row:
    value = action.metavar or action.dest.upper()
    if action.choices is not None and not action.metavar:
        value = "|".join(map(str, action.choices))
    if not action.option_strings:
        words = f"{value} ..." if action.nargs in {"*", "+"} else str(value)
        words = f"[{words}]" if action.nargs in {"*", "?"} else words
    else:
        names = ", ".join(action.option_strings)
        words = names if action.nargs == 0 else f"{names} {value}"
    meaning = sentence(action.help) if action.help else ""
    if action.required and action.option_strings:
        meaning += " Required."
    return code(words), meaning.strip()
