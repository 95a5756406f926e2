"""Runs ninja, and listens to the action runners that it starts."""

import fcntl
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from occlum_build.execution.progress import Progress
from occlum_build.execution.spec import EVENTS_VARIABLE

_LOCALE: Final = "C"
"""In which Python takes the names of files for UTF-8; actions have a locale of their own."""
_STATUS: Final = "%s %f %t@"
_STATUS_LINE: Final = re.compile(r"^(?P<started>\d+) (?P<finished>\d+) (?P<total>\d+)@")
_TICK_SECONDS: Final = 0.25
_MTIME: Final = 2
"""Which field of a line of ninja's log is a time stamp: start, end, mtime, output, command."""


@dataclass
class NinjaResult:
    """How a run of ninja ended."""

    status: int
    failures: dict[str, str] = field(default_factory=dict)
    """The message of each action that failed, by its record file."""
    executed: set[str] = field(default_factory=set)
    """The record files of the actions that ran; the others were up to date."""
    is_disk_full: bool = False
    is_interrupted: bool = False
    output: str = ""
    """What ninja itself said, should it fail for a reason of its own."""


@dataclass(frozen=True)
class NinjaCommand:
    """What to run."""

    root: Path
    ninja_file: str
    guard: Path
    """A file that stays locked until the last action of a run has ended."""
    jobs: int | None = None
    keep_going: bool = False


def ninja_program() -> str:
    """The ninja that the lock file pins."""
    beside = Path(sys.executable).with_name("ninja")
    return str(beside) if beside.exists() else "ninja"


def run_ninja(command: NinjaCommand, titles: Mapping[str, str], progress: Progress) -> NinjaResult:
    """Build all that the file knows; `titles` name actions, by record file, for people."""
    return _Listener(command, titles, progress).run()


class _Listener:
    """One run: two pipes, one from ninja and one from the runners."""

    def __init__(
        self, command: NinjaCommand, titles: Mapping[str, str], progress: Progress
    ) -> None:
        self.command = command
        self.titles = titles
        self.progress = progress
        self.result = NinjaResult(status=0)
        self.is_open = False

    def run(self) -> NinjaResult:
        self._forget_future()
        # Ninja would die of SIGQUIT and leave its actions: it starts with the signal blocked.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGQUIT])
        try:
            return self._run(mask)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _run(self, mask: set[int | signal.Signals]) -> NinjaResult:
        """Start it, and listen with the signals blocked that `mask` has."""
        events_read, events_write = os.pipe()
        own = {EVENTS_VARIABLE: str(events_write), "NINJA_STATUS": _STATUS, "LC_ALL": _LOCALE}
        guard = self._guard()
        with subprocess.Popen(
            self._argv(),
            cwd=self.command.root,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(events_write, guard),
        ) as process:
            os.close(events_write)
            os.close(guard)
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                self._listen(process, events_read)
            except KeyboardInterrupt:
                self._stop(process)
            finally:
                os.close(events_read)
                self.progress.clear()
            self.result.status = process.wait()
        return self.result

    def _forget_future(self) -> None:
        """Take from ninja what it knows if the clock was set back: it would miss changes."""
        log = (self.command.root / self.command.ninja_file).parent / ".ninja" / ".ninja_log"
        try:
            text = log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        times = [
            line.split("\t")[_MTIME] for line in text.split("\n") if line.count("\t") > _MTIME
        ]
        if any(int(one) > time.time_ns() for one in times if one.isdecimal()):
            log.unlink()

    def _guard(self) -> int:
        """A lock that ninja and its actions hold: a killed driver leaves them behind."""
        guard = os.open(self.command.guard, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.progress.message("waiting for the actions of a build that was killed")
            fcntl.flock(guard, fcntl.LOCK_EX)
        return guard

    def _argv(self) -> Sequence[str]:
        command = self.command
        argv = [ninja_program(), "-f", command.ninja_file]
        argv += ["-j", str(command.jobs)] if command.jobs else []
        argv += ["-k", "0"] if command.keep_going else []
        return argv

    def _listen(self, process: subprocess.Popen[bytes], events: int) -> None:
        assert process.stdout is not None  # noqa: S101  # it was asked for
        buffers: dict[int, bytes] = {}
        handlers = {events: self._event, process.stdout.fileno(): self._ninja_line}
        with selectors.DefaultSelector() as selector:
            for descriptor in handlers:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(_TICK_SECONDS):
                    chunk = os.read(key.fd, 1 << 16)
                    if not chunk:
                        selector.unregister(key.fd)
                        continue
                    *lines, rest = (buffers.get(key.fd, b"") + chunk).split(b"\n")
                    buffers[key.fd] = rest
                    for line in lines:
                        handlers[key.fd](line.decode("utf-8", "replace"))
                self.progress.refresh()

    def _stop(self, process: subprocess.Popen[bytes]) -> None:
        """Let ninja end its actions; it gets the signal too if it came from a terminal."""
        self.result.is_interrupted = True
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            process.communicate()
        finally:
            signal.signal(signal.SIGINT, previous)

    def _event(self, line: str) -> None:
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            return
        if event["event"] == "open":
            self._warn(event["walls"])
            return
        name = event["id"]
        kind = event["event"]
        if kind == "start":
            self.progress.started(name, self.titles.get(name, name))
            return
        if kind == "done":
            self.result.executed.add(name)
        elif kind in {"failed", "full"}:
            self.result.failures[name] = str(event["message"])
            self.result.is_disk_full |= kind == "full"
        self.progress.ended(name, did_run=kind == "done")

    def _warn(self, walls: Sequence[str]) -> None:
        """Say once, of a run, what of this machine its actions can reach undeclared."""
        if not self.is_open:
            self.is_open = True
            why = "; ".join(walls)
            self.progress.message(f"warning: this machine permits no wall around actions ({why})")

    def _ninja_line(self, line: str) -> None:
        match = _STATUS_LINE.match(line)
        if match:
            self.progress.total = int(match["total"])
        elif line.startswith("ninja: ") and "no work to do" not in line:
            self.result.output += f"{line}\n"
