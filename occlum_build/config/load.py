"""From the text of an Occlum.yaml to a checked model, or to all that is wrong with it."""

from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from occlum_build.config.checks import Problem, check
from occlum_build.config.explain import explain, path_in_text, span_of
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.strict_yaml import Mapping, Node, Path, parse, place, plain
from occlum_build.diagnostic import Diagnostic, Span, error

MAX_PROBLEMS: Final = 100
_MAX_TEXT_CHARACTERS: Final = 400


def load(text: str, filename: str) -> tuple[OcclumConfig | None, list[Diagnostic]]:
    """The model of a right file, or None and the problems in the order of the text.

    All problems are there, up to `MAX_PROBLEMS`. `filename` is only used to name
    the file in them; nothing is read.
    """
    root, found = parse(text, filename)
    config = None
    if isinstance(root, Mapping):
        config, problems = _validate(root, filename)
        found += problems
    elif root is not None and not root.is_refused:
        message = "an Occlum.yaml is a mapping of keys to values"
        found.append(error("OB0212", message, root.span))
    if not found:
        return config, []
    return None, _presentable(found, filename)


def _presentable(found: list[Diagnostic], filename: str) -> list[Diagnostic]:
    """In the order of the text, each once, and no more or longer than somebody would read."""
    ordered = sorted(set(found), key=_position)
    more = len(ordered) - MAX_PROBLEMS
    shown = [_shortened(one) for one in ordered[:MAX_PROBLEMS]]
    if more > 0:
        shown.append(error("OB0204", f"there are {more} more problems", Span(filename)))
    return shown


def _shortened(diagnostic: Diagnostic) -> Diagnostic:
    return replace(
        diagnostic,
        message=_cut(diagnostic.message),
        label_under_caret=_cut(diagnostic.label_under_caret),
        notes=tuple(map(_cut, diagnostic.notes)),
        helps=tuple(map(_cut, diagnostic.helps)),
    )


def _cut(text: str) -> str:
    if len(text) <= _MAX_TEXT_CHARACTERS:
        return text
    half = _MAX_TEXT_CHARACTERS // 2
    return f"{text[:half]} ... {text[-half:]}"


def _validate(root: Mapping, filename: str) -> tuple[OcclumConfig | None, list[Diagnostic]]:
    """Types and values first; what is right is then checked together."""
    data = plain(root)
    try:
        config = OcclumConfig.model_validate(data)
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
        found = list(explain(root, filename, errors))
        dropped = [_drop(data, path_in_text(root, one["loc"])) for one in errors]
        try:
            rest = OcclumConfig.model_validate(data)
        except ValidationError:
            return None, found
        problems = [one for one in check(rest) if not _touches(one, dropped)]
        return None, found + [_located(root, filename, one) for one in problems]
    return config, [_located(root, filename, one) for one in check(config)]


def _drop(data: Any, path: Path) -> Path:
    """Take the value at `path`, or the list around it, out of `data`; what was taken."""
    parent = data
    taken: Path = ()
    for depth, step in enumerate(path):
        inner = parent.get(step) if isinstance(parent, dict) else None
        if isinstance(inner, dict) and depth + 1 < len(path):
            parent = inner
            continue
        taken = path[: depth + 1]
        if isinstance(parent, dict):
            parent.pop(step, None)
        break
    return taken


def _touches(problem: Problem, dropped: list[Path]) -> bool:
    """Whether a problem is about something that was dropped, or lies in it, or around it."""
    return any(
        path[: len(taken)] == taken[: len(path)] for path in problem.paths for taken in dropped
    )


def _located(root: Node, filename: str, problem: Problem) -> Diagnostic:
    """Point at the first involved path that is in the text."""
    written = [path for path in problem.paths if place(root, path) is not None]
    path = (written or list(problem.paths))[0]
    span = span_of(root, filename, path)
    notes = problem.notes
    label = problem.label if path == problem.paths[0] else ""
    if problem.label and not label:
        notes = (f"`{problem.paths[0][-1]}`: {problem.label}", *notes)
    return error(
        problem.code, problem.message, span, label=label, notes=notes, helps=problem.helps
    )


def _position(diagnostic: Diagnostic) -> tuple[Span, str, str]:
    span = diagnostic.span or Span("")
    return span, diagnostic.code, diagnostic.message
