"""What is wrong, where, why, and what to do next: the one shape of every message.

This module imports nothing of the engine, so that the programs that actions run
(`occlum_build.sgx`, `.fs`, `.config`) speak with the same voice as the engine.

Wording: lower case, no full stop, names in backticks; a help is a statement,
never a question. Codes: OB01xx loading, OB02xx configuration, OB03xx analysis,
OB04xx execution, OB05xx measuring and signing, OB06xx file systems, OB07xx conformance,
OB08xx evidence and audits.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Final, Self

_TAB_COLUMNS: Final = 4
_CONTEXT_CHARACTERS: Final = 200
"""How much of a very long line is shown before a place, and half of what is from it on."""
_BOLD_RED: Final = "\x1b[1;31m"
_BOLD_YELLOW: Final = "\x1b[1;33m"
_BOLD_BLUE: Final = "\x1b[1;34m"
_BOLD: Final = "\x1b[1m"
_RESET: Final = "\x1b[0m"

_Paint = Callable[[str, str], str]


class Severity(StrEnum):
    """How bad a diagnostic is. An error fails the verb; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of one line of a text file.

    `line` and `column` count from 1, in characters. `end_column` is the first
    column after the stretch; 0 means that only the start is known. A file that
    is wrong as a whole has line 0.
    """

    file: str
    line: int = 0
    column: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        """`file:line:column`, without the parts that are unknown."""
        if not self.line:
            return self.file
        return (
            f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"
        )


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem, with everything that its reader needs to repair it.

    `label_under_caret` is the short text beside the carets; `notes` say what is
    so, `helps` what to do. It holds no source text: `render` is given that.
    """

    code: str
    severity: Severity
    message: str
    span: Span | None = None
    label_under_caret: str = ""
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()

    def at(self, span: Span | None) -> Self:
        """The same problem, placed at `span` unless it has a place of its own."""
        return self if self.span is not None else replace(self, span=span)

    def noting(self, notes: Iterable[str]) -> Self:
        """The same problem with further notes, as far as it has not told them yet."""
        new = tuple(one for one in notes if one not in self.notes)
        return replace(self, notes=(*self.notes, *new)) if new else self

    def as_json(self) -> dict[str, object]:
        """The same facts for programs; keys are stable."""
        span = self.span
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "span": None
            if span is None
            else {
                "file": span.file,
                "line": span.line,
                "column": span.column,
                "end_column": span.end_column,
            },
            "label": self.label_under_caret,
            "notes": list(self.notes),
            "helps": list(self.helps),
        }


def error(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    label: str = "",
    notes: Iterable[str] = (),
    helps: Iterable[str] = (),
) -> Diagnostic:
    """A diagnostic that fails the verb."""
    return Diagnostic(code, Severity.ERROR, message, span, label, tuple(notes), tuple(helps))


def warning(
    code: str,
    message: str,
    span: Span | None = None,
    *,
    label: str = "",
    notes: Iterable[str] = (),
    helps: Iterable[str] = (),
) -> Diagnostic:
    """A diagnostic that is shown and does not fail the verb."""
    return Diagnostic(code, Severity.WARNING, message, span, label, tuple(notes), tuple(helps))


class DiagnosticError(Exception):
    """Raised where work cannot go on; carries every problem found so far."""

    def __init__(self, diagnostics: Diagnostic | Sequence[Diagnostic]) -> None:
        """Take one diagnostic or several; at least one."""
        found = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        super().__init__("; ".join(f"{one.code}: {one.message}" for one in found))
        self.diagnostics: tuple[Diagnostic, ...] = found


def render(diagnostic: Diagnostic, source_text: str | None = None, *, colour: bool = False) -> str:
    """The diagnostic as rustc would print it, ending in a newline.

    `source_text` is the whole text of the span's file; without it, or when the
    span lies outside it, the excerpt is left out.
    """
    paint = _painter(colour=colour)
    shade = _BOLD_RED if diagnostic.severity is Severity.ERROR else _BOLD_YELLOW
    head = paint(f"{diagnostic.severity}[{diagnostic.code}]", shade)
    lines = [head + paint(f": {_visible(diagnostic.message)}", _BOLD)]
    span = diagnostic.span
    margin = " " * len(str(span.line)) if span is not None and span.line else " "
    bar = paint("|", _BOLD_BLUE)
    if span is not None:
        lines.append(f"{margin}{paint('-->', _BOLD_BLUE)} {_visible(str(span))}")
        excerpt = _excerpt(span, source_text)
        if excerpt is not None:
            text, indent, width = excerpt
            label = f" {_visible(diagnostic.label_under_caret)}".rstrip()
            carets = paint("^" * width + label, shade)
            number = paint(str(span.line), _BOLD_BLUE)
            lines += [
                f"{margin} {bar}",
                f"{number} {bar} {text}".rstrip(),
                f"{margin} {bar} {' ' * indent}{carets}",
            ]
            if diagnostic.notes or diagnostic.helps:
                lines.append(f"{margin} {bar}")
        elif diagnostic.label_under_caret:
            lines += _remark(margin, "note", diagnostic.label_under_caret, paint)
    for note in diagnostic.notes:
        lines += _remark(margin, "note", note, paint)
    for help_text in diagnostic.helps:
        lines += _remark(margin, "help", help_text, paint)
    return "\n".join(lines) + "\n"


def render_json(diagnostic: Diagnostic) -> str:
    """The diagnostic as one line of JSON, ending in a newline."""
    return json.dumps(diagnostic.as_json(), sort_keys=True, ensure_ascii=False) + "\n"


def near(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` most likely meant; None if none is near."""
    import difflib

    found = difflib.get_close_matches(word, sorted(set(candidates)), n=1, cutoff=0.6)
    return found[0] if found else None


def _painter(*, colour: bool) -> _Paint:
    def paint(text: str, shade: str) -> str:
        return f"{shade}{text}{_RESET}" if colour else text

    return paint


def _remark(margin: str, kind: str, text: str, paint: _Paint) -> list[str]:
    first, *rest = _visible(text, keep_newlines=True).split("\n")
    indent = margin + " " * len(f" = {kind}: ")
    return [
        f"{margin} {paint('=', _BOLD_BLUE)} {paint(f'{kind}:', _BOLD)} {first}",
        *(f"{indent}{line}".rstrip() for line in rest),
    ]


def _excerpt(span: Span, source_text: str | None) -> tuple[str, int, int] | None:
    """The line with its tabs expanded, the caret's indent and its width."""
    if source_text is None or not span.line or not span.column:
        return None
    lines = _lines(source_text)
    if span.line > len(lines):
        return None
    line = lines[span.line - 1].rstrip("\r")
    start = min(span.column - 1, len(line))
    end = min(max(span.end_column - 1, start + 1), len(line))
    first, last = max(0, start - _CONTEXT_CHARACTERS), start + 2 * _CONTEXT_CHARACTERS
    before, behind = "…" * (first > 0), "…" * (last < len(line))
    indent = _columns(before + line[first:start])
    width = _columns(line[start : min(end, last)])
    return _expanded(before + line[first:last] + behind), indent, max(1, width)


@lru_cache(maxsize=1)
def _lines(text: str) -> list[str]:
    """The lines of a text: a file with many problems is split once."""
    return text.split("\n")


def _expanded(text: str) -> str:
    return _visible(text.replace("\t", " " * _TAB_COLUMNS))


def _columns(text: str) -> int:
    """How many terminal columns `text` takes."""
    return sum(
        0
        if unicodedata.combining(char)
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in _expanded(text)
    )


def _visible(text: str, *, keep_newlines: bool = False) -> str:
    """`text` with control characters made harmless: a file cannot drive the terminal."""
    return "".join(
        char
        if char.isprintable() or (keep_newlines and char == "\n")
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )
