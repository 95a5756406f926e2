"""The first thing that runs: if nothing changed since the last time, also the last.

Standard library only, and little of it: this is what a build with nothing to do costs.
"""

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from occlum_build.execution.fingerprint import fingerprint_path, recall

_MARKER = "WORKSPACE.occlum"
_STATE = ".occlum-build"
_INTERRUPTED = 130
_VERBS = frozenset({"build", "run", "test"})
_RUN_RULES = frozenset({"build", "query", "run", "test"})
_KEPT_VARIABLES = "OCCLUM_BUILD_PYTHON_VARIABLES"
"""Holds the caller's `PYTHON…` variables while the engine starts without them."""
_ENGINE = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from occlum_build.cli.start import work; sys.exit(work(sys.argv[1:]))"
)

_STANDALONE = frozenset({"diff", "inspect", "measure", "verify"})
_MORE_THAN_STANDARD = ("--policy", "--provenance-key")
"""Options of theirs that need packages after all."""


def main() -> int:
    """The console script: answer from memory, or do the work."""
    words = sys.argv[1:]
    answered = replay(words)
    if answered is not None:
        return answered
    runs_rules = bool(words) and words[0] in _RUN_RULES
    if runs_rules and sys.flags.hash_randomization and _KEPT_VARIABLES not in os.environ:
        become_engine(sys.executable, os.path.abspath(f"{__file__}/../../.."), words)
    return work(words)


def become_engine(python: str, parent: str, words: Sequence[str]) -> NoReturn:
    """Replace this process by the engine, with nothing of the caller's in its interpreter.

    Rule files run in it, so that the order of a set of strings must not differ between two
    builds. Only a variable can fix it, so that `-I` will not do: the caller's are put aside.
    """
    aside = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    env = {name: value for name, value in os.environ.items() if name not in aside}
    env |= {"PYTHONHASHSEED": "0", _KEPT_VARIABLES: json.dumps(aside)}
    # Names of files are UTF-8, whatever the locale thinks of them.
    flags = ["-P", "-s", "-X", "utf8", *(["-B"] if sys.dont_write_bytecode else [])]
    os.execve(python, [python, *flags, "-c", _ENGINE, parent, *words], env)  # no shell


def is_standalone(words: Sequence[str]) -> bool:
    """Whether the standard library will do: no set-up, and one interpreter less to start."""
    if not words or words[0] not in _STANDALONE:
        return False
    options = {word.partition("=")[0] for word in words}
    return options.isdisjoint(_MORE_THAN_STANDARD)


def work(words: Sequence[str]) -> int:
    """Do the work. The user may want to stop while the modules of the tool still load."""
    aside = os.environ.pop(_KEPT_VARIABLES, None)
    if aside is not None:
        os.environ.pop("PYTHONHASHSEED", None)
        with suppress(TypeError, ValueError):
            os.environ.update(json.loads(aside))
    try:
        from occlum_build.cli.entry import main as entry

        return entry(words)
    except KeyboardInterrupt:
        return _INTERRUPTED


def replay(words: Sequence[str]) -> int | None:
    """Do what the same command did, if nothing it read or made has changed; else None."""
    _open_streams()
    if not words or words[0] not in _VERBS:
        return None
    try:
        return _replayed(words)
    except OSError:  # the tool itself finds words for what is wrong
        return None


def _replayed(words: Sequence[str]) -> int | None:
    directory = os.path.realpath(".")
    root = _workspace(directory)
    if root is None:
        return None
    answer = recall(fingerprint_path(f"{root}/{_STATE}", root, words, directory))
    if answer is None:
        return None
    sys.stdout.write(str(answer["text"]))
    sys.stdout.flush()
    argv, variables = answer.get("argv"), answer.get("env")
    if isinstance(argv, list) and isinstance(variables, dict):
        os.execvpe(argv[0], argv, {**os.environ, **variables})  # no shell
    return 0


def _open_streams() -> None:
    """Lead standard streams that the caller closed to nowhere.

    The next file that is opened would otherwise become one of them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
            os.set_inheritable(number, True)  # noqa: FBT003  # takes no keyword
            mode = "w" if number else "r"
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115  # stays
            setattr(sys, name, stream)


def _workspace(directory: str) -> str | None:
    while not os.path.isfile(f"{directory}/{_MARKER}"):
        parent = os.path.dirname(directory)
        if parent == directory:
            return None
        directory = parent
    return directory
