"""How each program of this folder starts, fails and waits.

They run as actions: arguments in, files out, one line of what went wrong on standard
error, and an exit status that says whose fault it is. They need the standard library only.
"""

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn, TypeVar
from uuid import uuid4

BUILD_FAILED: Final = 1
WRONG_INPUT: Final = 2
OUR_BUG: Final = 70

_PAUSES_SECONDS: Final = (1.0, 4.0)
_Result = TypeVar("_Result")


class ProgramError(Exception):
    """Something that the user can understand, and often mend.

    `help_text` says what to do next, where that is known. `status` is the exit status.
    """

    def __init__(self, message: str, help_text: str = "", *, status: int = BUILD_FAILED) -> None:
        super().__init__(message)
        self.help_text = help_text
        self.status = status


def start(main: Callable[[], int]) -> NoReturn:
    """Run `main` and leave with its status; a `ProgramError` becomes one readable message."""
    try:
        status = main()
    except ProgramError as error:
        say(f"error: {error}")
        if error.help_text:
            say(f"  = help: {error.help_text}")
        status = error.status
    except OSError as error:
        say(f"error: {error}")
        status = BUILD_FAILED
    except Exception:  # noqa: BLE001  # whatever it is, it is ours
        say(traceback.format_exc())
        say("this is a bug in occlum-build: please report it")
        status = OUR_BUG
    sys.exit(status)


def say(text: str) -> None:
    """Write one line where the user, or the log of the action, sees it."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def persist(attempt: Callable[[], _Result]) -> _Result:
    """What `attempt` returns, tried thrice: a network may hiccup.

    The last failure is raised as it is. An attempt must leave nothing behind that
    would harm the next one.
    """
    for pause in _PAUSES_SECONDS:
        try:
            return attempt()
        except ProgramError as error:
            say(f"warning: {error}; trying again")
            time.sleep(pause)
    return attempt()


def capture(argv: Sequence[str | Path], *, env: dict[str, str], cwd: Path, name: str) -> str:
    """The standard output of a command that must succeed; messages call it `name`.

    Raises:
        ProgramError: it does not exist or failed; its last lines are in the message.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(  # noqa: PLW1510  # the status is looked at below
            words, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise ProgramError(f"there is no program `{words[0]}`") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-12:])
        raise ProgramError(f"`{name}` failed\n{tail}")
    return done.stdout


@contextmanager
def replacing(output: Path) -> Iterator[Path]:
    """A new name beside `output` to write to; `output` appears when the block ends well.

    Whoever reads `output` sees all of it or nothing. After a failure nothing is left.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.{uuid4().hex}")
    try:
        yield partial
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def network_environment() -> dict[str, str]:
    """The caller's environment, for a program that talks to a registry.

    Mirrors, proxies and certificates are the machine's business. What is fetched with
    them is checked by digest, so none of it can reach an output.
    """
    return {**os.environ, "LC_ALL": "C.UTF-8"}
