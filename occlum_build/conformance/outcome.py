"""How a program ended, and whether two endings say the same."""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SIGNAL_STATUS: Final = 128
_MAX_OUTPUT_BYTES: Final = 64 << 20
_GRACE_SECONDS: Final = 5.0
# What still forks after so many looks does so faster than it can be ended.
_LOOKS: Final = 100

# GoogleTest, "Text output": the last words about each case.
_CASE: Final = re.compile(
    rb"^\[ +(OK|FAILED|SKIPPED) +\] (\S+?)(?:, where .*)?(?: \(\d+ ms\))?$", re.MULTILINE
)
_DURATION: Final = re.compile(rb" \(\d+ ms(?: total)?\)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run of one program ended.

    `status` is as a shell tells it: 128 + n after signal n. `escapes` is for runs in an enclave:
    how many system calls of it reached the host's kernel; None where nobody counted to the end.
    `seconds` is how long it was given.
    """

    status: int
    stdout: bytes
    stderr: bytes
    seconds: float
    timed_out: bool = False
    escapes: int | None = None

    @property
    def cases(self) -> dict[str, str]:
        """The verdict of each case, if the program is a GoogleTest."""
        return {name.decode(): verdict.decode() for verdict, name in _CASE.findall(self.stdout)}


class Runs:
    """Runs programs, from several threads; all that run can be ended at once.

    Each has a session of its own, which no key of the user's terminal reaches.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._leaders: set[int] = set()
        self._is_over = False

    def run(
        self, argv: Sequence[str], *, directory: Path, env: Mapping[str, str], seconds: float
    ) -> Outcome:
        """Run a program to its end, or for `seconds`; all that it started ends with it.

        Raises:
            InterruptedError: `end` was called before it began.
        """
        process = self._started(argv, directory, env)
        with process:
            timed_out = False
            try:
                stdout, stderr = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                timed_out = True
                _kill_session(process.pid)
                try:
                    stdout, stderr = process.communicate(timeout=_GRACE_SECONDS)
                except subprocess.TimeoutExpired:
                    stdout = stderr = b""
            finally:
                _kill_session(process.pid)
                with self._lock:
                    self._leaders.discard(process.pid)
            status = process.wait()
        return Outcome(
            status=status if status >= 0 else _SIGNAL_STATUS - status,
            stdout=stdout[:_MAX_OUTPUT_BYTES],
            stderr=stderr[:_MAX_OUTPUT_BYTES],
            seconds=seconds,
            timed_out=timed_out,
        )

    def end(self) -> None:
        """Kill what runs, and let nothing else begin."""
        with self._lock:
            self._is_over = True
            for leader in self._leaders:
                _kill_session(leader)

    def _started(
        self, argv: Sequence[str], directory: Path, env: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._is_over:
                raise InterruptedError
            process = subprocess.Popen(
                argv,
                cwd=directory,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._leaders.add(process.pid)
            return process


def comparable(output: bytes, ignored: Sequence[re.Pattern[bytes]]) -> bytes:
    """Output without what may differ between two runs: durations, and what `ignored` matches."""
    text = _DURATION.sub(b"", output)
    for pattern in ignored:
        text = pattern.sub(b"", text)
    return text


def _kill_session(leader: int) -> None:
    """End what a program left running, whatever process group it made for itself.

    What is about to fork may do so before it ends, so that this looks again until nothing is left.
    """
    for _ in range(_LOOKS):
        members = [pid for pid in _processes() if _session_of(pid) == leader]
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _session_of(pid: int) -> int | None:
    """The session of a process that has not ended yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, _parent, _group, session, *_ = stat.rpartition(b")")[2].split()
    return None if state in {b"Z", b"X"} else int(session)
