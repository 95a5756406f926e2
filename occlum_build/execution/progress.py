"""Progress: one live line on a terminal, plain lines in a log."""

import os
import time
from dataclasses import dataclass
from typing import Final, TextIO

_MIN_SECONDS: Final = 0.1


@dataclass
class _Running:
    title: str
    started: float


class Progress:
    """Shows how far a build is. It shows nothing for actions that had nothing to do."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`; live if that is a terminal."""
        self._stream = stream
        self._is_live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._running: dict[str, _Running] = {}
        self._width = 0
        self._drawn = 0.0
        self.finished = 0
        self.total = 0

    def message(self, text: str) -> None:
        """Show a line that stays."""
        self.clear()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def phase(self, text: str) -> None:
        """Show what happens before the first action; a log does not need it."""
        if self._is_live:
            self._draw(text)

    def started(self, name: str, title: str) -> None:
        """An action began."""
        self._running[name] = _Running(title, time.monotonic())
        self.refresh()

    def ended(self, name: str, *, did_run: bool) -> None:
        """An action is over."""
        running = self._running.pop(name, None)
        self.finished += 1
        if running is None:
            return
        if did_run and not self._is_live:
            seconds = time.monotonic() - running.started
            self.message(f"[{self._count()}] {running.title} ({seconds:.1f} s)")
        else:
            self.refresh()

    def refresh(self) -> None:
        """Draw the live line again, not too often."""
        now = time.monotonic()
        if not self._is_live or not self._running or now - self._drawn < _MIN_SECONDS:
            return
        oldest = min(self._running.values(), key=lambda one: one.started)
        seconds = int(now - oldest.started)
        others = len(self._running) - 1
        more = f", and {others} more" if others else ""
        self._draw(f"[{self._count()}] {oldest.title} ({seconds} s){more}")

    def clear(self) -> None:
        """Remove the live line."""
        if self._width:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._width = 0

    def _count(self) -> str:
        return f"{self.finished}/{max(self.total, self.finished)}"

    def _draw(self, text: str) -> None:
        self._drawn = time.monotonic()
        columns = _columns(self._stream)
        shown = text if len(text) < columns else f"{text[: columns - 2]}…"
        self._stream.write(f"\r\x1b[K{shown}")
        self._stream.flush()
        self._width = len(shown)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
