"""What Starlark says in words: its errors and its call stacks, read back into places."""

import re
from collections.abc import Mapping
from typing import Final

from occlum_build.diagnostic import Diagnostic, Span, error, near
from occlum_build.loading.select import SELECT_FILE
from occlum_build.loading.source_map import SourceMap

_ARROW: Final = re.compile(r"^\s*--> (?P<file>.+):(?P<line>\d+):(?P<column>\d+)$", re.MULTILINE)
_FRAME: Final = re.compile(r"^  \* (?P<file>.+):(?P<line>\d+), in (?P<function>.+)$", re.MULTILINE)
_CARETS: Final = re.compile(r"^\s*\|\s(?P<indent>\s*)(?P<carets>\^+)", re.MULTILINE)
_MESSAGE: Final = re.compile(r"^error: (?P<message>.*?)(?=\n\s*-->|\Z)", re.MULTILINE | re.DOTALL)
_NO_VALUE: Final = re.compile(r"not supported on type `(?P<kind>\w+)`")
_EXTRA_NAMED: Final = re.compile(
    r"Found `(?P<names>[^`]+)` extra named parameter\(s\) "
    r"for call to (?P<file>.+)\.(?P<macro>\w+)$"
)
_MISSING: Final = re.compile(
    r"Missing (?:named-only |positional )?parameter `(?P<name>\w+)` "
    r"for call to `(?P<file>.+)\.(?P<macro>\w+)`$"
)
_NOT_FOUND: Final = re.compile(r"Variable `(?P<name>\w+)` not found")


def frames(stack: str) -> list[tuple[str, int]]:
    """The file and line of each frame of a call stack, outermost first."""
    return [(match["file"], int(match["line"])) for match in _FRAME.finditer(stack)]


def place(text: str) -> Span | None:
    """Where an error says that it is."""
    match = _ARROW.search(text)
    if match is None:
        return None
    line, column = int(match["line"]), int(match["column"])
    carets = _CARETS.search(text, match.end())
    end = column + len(carets["carets"]) if carets else 0
    return Span(match["file"], line, column, end)


def explained(
    text: str, source: SourceMap, known: tuple[str, ...], files: Mapping[str, SourceMap]
) -> Diagnostic:
    """A diagnostic of an error's text; `known` are the names that the file could mean.

    `files` are all that were read, by name.
    """
    match = _MESSAGE.search(text)
    message, *more = (match["message"] if match else text).strip().split("\n")
    span = place(text) or Span(source.file)
    calls = [one for one in reversed(frames(text)) if one != (span.file, span.line)]
    if span.file.startswith(("//", "@")) and calls:  # in the text that stands for a rule file
        function = "select" if span.file == SELECT_FILE else ""
        file, line = calls.pop(0)
        span = files[file].call(line, function).span if file in files else Span(file, line, 1)
    notes = (*more, *(f"called at {file}:{line}" for file, line in calls))
    missing = _NOT_FOUND.search(message)
    if missing:
        guess = near(missing["name"], known)
        helps = (
            (f"a name `{guess}` exists",) if guess else ("rules and macros come from `load(…)`",)
        )
        return error("OB0116", f"unknown name `{missing['name']}`", span, notes=notes, helps=helps)
    unfit = _unfit_call(message, span, files, notes)
    if unfit is not None:
        return unfit
    if message.startswith("Parse error: "):
        return _syntax_error(message, span, source)
    if message.startswith("fail: "):
        return error("OB0105", message.removeprefix("fail: "), span, notes=notes)
    kind = _NO_VALUE.search(message)
    if "serde::serialize" in message and kind:
        message = f"a value of type `{kind['kind']}` is nothing that an attribute can hold"
    message = message.removeprefix("TypeError: ").removeprefix("StarlarkError: ")
    message = message[:1].lower() + message[1:].rstrip(".")
    return error("OB0105", message, span, notes=notes)


def _unfit_call(
    message: str, span: Span, files: Mapping[str, SourceMap], notes: tuple[str, ...]
) -> Diagnostic | None:
    """A macro that was called with an argument that it does not have, or without one it needs."""
    found = _EXTRA_NAMED.match(message) or _MISSING.match(message)
    if found is None or span.file not in files:
        return None
    macro, file = found["macro"], found["file"]
    parameters = files[file].parameters(macro) if file in files else []
    kind = "function" if file == SELECT_FILE else "macro"
    site = files[span.file].call(span.line, macro)
    if found.re is _MISSING:
        text = f"{kind} `{macro}` needs the argument `{found['name']}`"
        return error("OB0111", text, site.span, notes=notes)
    names = [one.strip(" `") for one in found["names"].split(",")]
    wrong = names[0]
    guess = near(wrong, parameters)
    listed = ", ".join(f"`{one}`" for one in parameters)
    return error(
        "OB0110",
        f"{kind} `{macro}` has no argument `{wrong}`",
        site.keyword(wrong) or site.span,
        notes=notes,
        helps=(f"an argument `{guess}` exists" if guess else f"it has {listed}",),
    )


def _syntax_error(message: str, span: Span, source: SourceMap) -> Diagnostic:
    """Starlark's parser lists every token it could take; Python's says what is wrong."""
    text = message.removeprefix("Parse error: ").partition(", expected one of")[0]
    try:
        compile(source.text, source.file, "exec", dont_inherit=True)
    except SyntaxError as problem:
        column = problem.offset or 1
        end = problem.end_offset or 0
        is_one_line = problem.end_lineno == problem.lineno and end > column
        span = Span(source.file, problem.lineno or 1, column, end if is_one_line else 0)
        text = problem.msg
    except (ValueError, RecursionError, MemoryError):
        pass
    if "\0" in source.text:  # Python does not say where
        before = source.text.partition("\0")[0].split("\n")
        span = Span(source.file, len(before), len(before[-1]) + 1)
        text = "a NUL character is in no text"
    return error("OB0105", f"syntax error: {text[:1].lower() + text[1:]}", span)
