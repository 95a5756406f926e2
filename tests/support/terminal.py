"""A person at a terminal: a program on a real pseudo-terminal of the host."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PATIENCE_SECONDS = 60
CONTROL_C = "\x03"
CONTROL_Z = "\x1a"
ERASE = "\x7f"


class Person:
    """Types, and reads what comes back. The program is killed when the person leaves."""

    def __init__(self, program: Path, arguments: Sequence[str], rows: int, columns: int) -> None:
        """Start the program on a terminal of this size."""
        self._seen = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execv(program, [str(program), *arguments])
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def __enter__(self) -> Self:
        """Stay for a while."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def settings(self) -> list[Any]:
        """The terminal's settings, as `tcgetattr` gives them."""
        return termios.tcgetattr(self._terminal)

    def expect(self, text: str) -> str:
        """Read until this text has come; gives all up to its end."""
        end = time.monotonic() + PATIENCE_SECONDS
        while text not in self._seen:
            left = max(0.0, end - time.monotonic())
            if not select.select([self._terminal], [], [], left)[0]:
                raise AssertionError(f"{text!r} did not come, but {self._seen!r}")
            try:
                self._seen += os.read(self._terminal, 4096).decode()
            except OSError:
                raise AssertionError(f"it ended before {text!r}: {self._seen!r}") from None
        end_of_text = self._seen.index(text) + len(text)
        read, self._seen = self._seen[:end_of_text], self._seen[end_of_text:]
        return read

    def type(self, text: str) -> None:
        """Type, once what came before has settled: a person is slower than a program."""
        time.sleep(0.3)
        os.write(self._terminal, text.encode())

    def status(self) -> int:
        """Wait for the end; the exit status, or the negated number of the signal."""
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
