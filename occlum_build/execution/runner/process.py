"""Runs one command in a process group of its own, and ends all of it."""

import contextlib
import errno
import os
import select
import signal
from dataclasses import dataclass, field
from typing import Final, NoReturn

from occlum_build.execution.runner.walls import WallError, Walls, raise_walls

TIMED_OUT: Final = -1000
"""The status of a command that was ended because its time was over."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@dataclass
class Command:
    """A command and everything that it gets."""

    argv: list[str]
    env: dict[str, str]
    directory: str
    log: str
    stdout: str | None = None
    timeout_seconds: int = 0
    walls: Walls | None = None
    missing_walls: list[str] = field(default_factory=list)
    """What `run` could not keep from it, and why."""


class Interrupted(BaseException):  # like KeyboardInterrupt
    """The user or ninja wants the action to stop."""


def catch_signals() -> None:
    """From now on a request to stop raises `Interrupted`."""

    def stop(_number: int, _frame: object) -> NoReturn:
        raise Interrupted

    for number in _STOPPING:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)  # ninja runs with one kept from it


def run(command: Command) -> int:
    """Run it to its end; the exit status, negative for a signal, or `TIMED_OUT`.

    Standard input is empty, output goes to the log. Processes that it leaves behind
    in its group are killed. Without the walls that the machine does not permit it runs too.

    Raises:
        OSError: the program cannot be executed.
    """
    status = _attempt(command, hides_files=True)
    return status if status is not None else _attempt(command, hides_files=False) or 0


def _attempt(command: Command, *, hides_files: bool) -> int | None:
    """Run it; None if it did not start because the wall for files cannot be put up."""
    news_read, news_write = os.pipe()
    child = os.fork()
    if child == 0:
        _become(command, news_write, hides_files=hides_files)
    os.close(news_write)
    try:
        with open(news_read, "rb") as news:  # it ends when the program starts
            for line in news.read().decode().splitlines():
                kind, _, text = line.partition(" ")
                if kind == "failed":
                    raise OSError(int(text), os.strerror(int(text)), command.argv[0])
                if kind == "broken":
                    raise RuntimeError(text)
                command.missing_walls.append(text)
                if kind == "again":
                    return None
        if not _has_ended(child, command.timeout_seconds):
            return TIMED_OUT
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    finally:
        _kill_group(child)


def _has_ended(child: int, timeout_seconds: int) -> bool:
    """Wait for the child without taking its status; False if the time is over first."""
    process = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([process], [], [], timeout_seconds or None)
        return bool(ready)
    finally:
        os.close(process)


def _kill_group(child: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _become(command: Command, news: int, *, hides_files: bool) -> NoReturn:
    """In the child: turn into the command. Nothing of the parent's comes along."""

    def tell(kind: str, text: object) -> None:
        os.write(news, f"{kind} {text}\n".encode())

    try:
        os.setsid()
        os.umask(0o022)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(command.log, flags, 0o644)
        output = os.open(command.stdout, flags | os.O_TRUNC, 0o644) if command.stdout else log
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(log, 2)
        if command.walls is not None:
            for one in raise_walls(command.walls, hides_files=hides_files):
                tell("without", one)
        os.chdir(command.directory)
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.closerange(3, news)
        os.closerange(news + 1, 1024)
        program = command.argv[0]
        if "/" in program:
            os.execve(program, command.argv, command.env)  # no shell, on purpose
        os.execvpe(program, command.argv, command.env)
    except WallError as problem:
        tell("again", problem)
    except OSError as problem:
        tell("failed", problem.errno or 1)
    except ValueError:  # a NUL in an argument, a `=` in the name of a variable
        tell("failed", errno.EINVAL)
    except Exception as problem:  # noqa: BLE001  # nobody would hear of it otherwise
        tell("broken", f"{type(problem).__name__}: {problem}")
    finally:
        os._exit(127)
