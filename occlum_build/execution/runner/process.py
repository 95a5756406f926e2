"""Runs one command in a process group of its own, and ends all of it."""

import contextlib
import errno
import os
import select
import signal
from dataclasses import dataclass
from typing import Final, NoReturn

TIMED_OUT: Final = -1000
"""The status of a command that was ended because its time was over."""
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class Command:
    """A command and everything that it gets."""

    argv: list[str]
    env: dict[str, str]
    directory: str
    log: str
    stdout: str | None = None
    timeout_seconds: int = 0


class Interrupted(BaseException):  # like KeyboardInterrupt
    """The user or ninja wants the action to stop."""


def catch_signals() -> None:
    """From now on a request to stop raises `Interrupted`."""

    def stop(_number: int, _frame: object) -> NoReturn:
        raise Interrupted

    for number in _STOPPING:
        signal.signal(number, stop)


def run(command: Command) -> int:
    """Run it to its end; the exit status, negative for a signal, or `TIMED_OUT`.

    Standard input is empty, output goes to the log. Processes that it leaves behind
    in its group are killed.

    Raises:
        OSError: the program cannot be executed.
    """
    failed_read, failed_write = os.pipe()
    child = os.fork()
    if child == 0:
        _become(command, failed_write)
    os.close(failed_write)
    try:
        failure = os.read(failed_read, 16)
        if failure:
            number = int(failure)
            raise OSError(number, os.strerror(number), command.argv[0])
        if not _has_ended(child, command.timeout_seconds):
            return TIMED_OUT
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    finally:
        os.close(failed_read)
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


def _become(command: Command, failed: int) -> NoReturn:
    """In the child: turn into the command. Nothing of the parent's comes along."""
    try:
        os.setsid()
        os.umask(0o022)
        os.chdir(command.directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(command.log, flags, 0o644)
        output = os.open(command.stdout, flags | os.O_TRUNC, 0o644) if command.stdout else log
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(log, 2)
        for number in _STOPPING:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.closerange(3, failed)
        os.closerange(failed + 1, 1024)
        program = command.argv[0]
        if "/" in program:
            os.execve(program, command.argv, command.env)  # no shell, on purpose
        os.execvpe(program, command.argv, command.env)
    except OSError as problem:
        os.write(failed, str(problem.errno or 1).encode())
    except ValueError:  # a NUL in an argument, a `=` in the name of a variable
        os.write(failed, str(errno.EINVAL).encode())
    finally:
        os._exit(127)
