"""How long tests take, so that the longest begin first: one that begins last ends alone.

Ninja starts what others wait for first, and what nothing waits for (a test) in the order in
which its file names it.
"""

from functools import cached_property
from pathlib import Path
from typing import Final

from occlum_build.action import Action

_FIELDS: Final = 5
"""Of a line of ninja's log: start, end, time stamp, output, hash of the command."""


class Schedule:
    """What ninja wrote down of earlier runs."""

    def __init__(self, log: Path) -> None:
        """Look into ninja's log, should somebody ask."""
        self._log = log

    def expected(self, action: Action) -> int:
        """How many milliseconds an action took last; of a new one, how many it may take."""
        known = self._past.get(action.outputs[0].path)
        return known if known is not None else action.timeout_seconds * 1000

    @cached_property
    def _past(self) -> dict[str, int]:
        """The milliseconds of each output that was ever made."""
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        found = {}
        for line in text.split("\n"):
            fields = line.split("\t")
            if len(fields) == _FIELDS and fields[0].isdecimal() and fields[1].isdecimal():
                found[fields[3]] = int(fields[1]) - int(fields[0])
        return found
