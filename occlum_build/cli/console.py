"""What a command shows: results on standard output, everything else on standard error."""

import os
import sys
from collections.abc import Callable, Iterable

from occlum_build.diagnostic import Diagnostic, Severity, render, render_json


class Console:
    """Prints, and remembers what was printed as the result."""

    def __init__(self, *, is_json: bool = False) -> None:
        """Print for people, or diagnostics as JSON."""
        self._is_json = is_json
        self._colour = wants_colour()
        self._results: list[str] = []

    @property
    def result_text(self) -> str:
        """All results so far, without colour."""
        return "".join(self._results)

    def result(self, text: str) -> None:
        """Print a line of the result."""
        self._results.append(f"{text}\n")
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def diagnostics(
        self, found: Iterable[Diagnostic], text_of: Callable[[str], str | None]
    ) -> None:
        """Print diagnostics, with excerpts of the files they point at."""
        shown = list(found)
        sys.stdout.flush()
        for one in shown:
            if self._is_json:
                sys.stderr.write(render_json(one))
                continue
            text = text_of(one.span.file) if one.span is not None else None
            sys.stderr.write(render(one, text, colour=self._colour) + "\n")
        errors = sum(one.severity is Severity.ERROR for one in shown)
        if errors > 1 and not self._is_json:
            sys.stderr.write(f"{errors} errors\n")
        sys.stderr.flush()


def wants_colour() -> bool:
    """Whether standard error is a terminal that takes colour; https://no-color.org."""
    return (
        sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )
