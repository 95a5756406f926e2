"""YAML without surprises: every value keeps its place in the text.

Of a plain scalar only `true`, `false`, `null`, `~` and decimal numbers mean
something else than their text. What YAML 1.1 reads as a boolean (`yes`, `on`),
an octal (`0755`) or base 60 (`1:30`) stays a string. A key that is given twice,
a tag, a merge key, a second document and an alias that blows up are refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

import yaml

from occlum_build.diagnostic import Diagnostic, Span, error

MAX_TEXT_CHARACTERS: Final = 1 << 18
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000
_BAD_ESCAPE: Final = re.compile(r"\\U(?!0010|000[0-9a-fA-F])[0-9a-fA-F]{8}")
_DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]{0,3999})")  # Python reads 4,300 digits at most
_WORDS: Final[dict[str, bool | None]] = {
    "true": True,
    "false": False,
    "null": None,
    "~": None,
    "": None,
}
_MERGE_KEY: Final = "<<"

Value = str | int | bool | None
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts."""

    value: Value
    span: Span
    weight: int = 1
    is_refused: bool = False
    """Whether it has a tag: nobody knows what its author takes it for."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple["Node", ...]
    span: Span
    weight: int
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value."""

    key: str
    key_span: Span
    value: "Node"


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys in the order of the text, each once."""

    entries: dict[str, Entry]
    span: Span
    weight: int
    is_refused: bool = False


Node = Scalar | Sequence | Mapping


@dataclass(slots=True)
class _Builder:
    """Makes nodes from the events of one document, and collects what is refused."""

    file: str
    events: Iterator[Any]
    problems: list[Diagnostic] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    nodes: int = 0

    def document(self) -> Node:
        """The only document of the stream; an empty stream is an empty mapping."""
        next(self.events)
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return Mapping({}, Span(self.file), 1)
        if event.version or event.tags:
            self._stop(event, "directives are not supported", "leave the `%` line out")
        node = self._node(next(self.events), 0)
        next(self.events)
        event = next(self.events)
        if not isinstance(event, yaml.StreamEndEvent):
            self._stop(event, "a second document begins here", "one file holds one document")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self._stop(event, f"this is nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if event.tag is not None:
            self._refuse(event, f"the tag `{event.tag}` is not supported", "leave the tag out")
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if event.tag is not None:
            node = replace(node, is_refused=True)
        self._count(event, 1)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: Any) -> Node:
        node = self.anchors.get(event.anchor)
        if node is None:
            self._stop(event, f"the alias `*{event.anchor}` refers to nothing above it")
        self._count(event, node.weight)
        return node

    def _scalar(self, event: Any) -> Scalar:
        text: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._stop(event, "a surrogate is not a character")
        plain = event.style is None
        if plain and text in _WORDS:
            return Scalar(_WORDS[text], self._span(event))
        if plain and _DECIMAL.fullmatch(text):
            return Scalar(int(text), self._span(event))
        return Scalar(text, self._span(event))

    def _sequence(self, start: Any, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        weight = 1 + sum(item.weight for item in items)
        return Sequence(tuple(items), self._span(start), weight)

    def _mapping(self, start: Any, depth: int) -> Mapping:
        entries: dict[str, Entry] = {}
        weight = 1
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self._key(event)
            value = self._node(next(self.events), depth + 1)
            weight += value.weight
            first = entries.get(key)
            if first is None:
                entries[key] = Entry(key, self._span(event), value)
            else:
                self.problems.append(
                    error(
                        "OB0202",
                        f"key `{key}` is given twice",
                        self._span(event),
                        label="the second time",
                        notes=(f"the first is in line {first.key_span.line}",),
                    )
                )
        return Mapping(entries, self._span(start), weight)

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            self._stop(event, "a key must be a plain name")
        key: str = event.value
        if key == _MERGE_KEY and event.style is None:
            self._stop(event, "merge keys are not supported", "write the keys out")
        if event.anchor is not None:
            self._stop(event, "a key cannot have an anchor")
        return key

    def _count(self, event: Any, weight: int) -> None:
        self.nodes += weight
        if self.nodes > MAX_NODES:
            self._stop(event, f"there are more than {MAX_NODES} values up to here")

    def _span(self, event: Any) -> Span:
        return _span(self.file, event.start_mark, event.end_mark)

    def _refuse(self, event: Any, message: str, *helps: str) -> None:
        self.problems.append(error("OB0203", message, self._span(event), helps=helps))

    def _stop(self, event: Any, message: str, *helps: str) -> NoReturn:
        self._refuse(event, message, *helps)
        raise _StopReadingError


class _StopReadingError(Exception):
    """The rest of the text cannot be read; why is in the builder's problems."""


def parse(text: str, file: str) -> tuple[Node | None, list[Diagnostic]]:
    """The document of `text`, or None with at least one problem.

    A document may come with problems too: what could be read is returned.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        message = f"the file is longer than {MAX_TEXT_CHARACTERS} characters"
        return None, [error("OB0203", message, Span(file))]
    builder = _Builder(file, iter(()))
    try:
        builder.events = yaml.parse(text, Loader=yaml.SafeLoader)
        return builder.document(), builder.problems
    except _StopReadingError:
        pass
    except yaml.MarkedYAMLError as problem:
        builder.problems.append(_syntax_error(file, problem))
    except yaml.reader.ReaderError as problem:
        builder.problems.append(_character_error(file, text, problem.position))
    except (ValueError, OverflowError):
        # PyYAML asks Python for whatever character an escape names.
        builder.problems.append(_escape_error(file, text))
    return None, builder.problems


def plain(node: Node) -> Any:
    """The node as Python data: dict, tuple, str, int, bool, None."""
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return tuple(plain(item) for item in node.items)
        case Mapping():
            return {key: plain(entry.value) for key, entry in node.entries.items()}


@dataclass(frozen=True, slots=True)
class Place:
    """What lies at a path: its key, if it has one, and its value."""

    key_span: Span | None
    node: Node

    @property
    def span(self) -> Span:
        """Where a caret for the value belongs: on it, or on its key if it has many lines."""
        if isinstance(self.node, Scalar) and self.node.span.end_column:
            return self.node.span
        return self.key_span or self.node.span


def place(root: Node, path: Path) -> Place | None:
    """What lies at `path`; None where the text has nothing there."""
    found = Place(None, root)
    for step in path:
        node = found.node
        if isinstance(node, Mapping) and isinstance(step, str) and step in node.entries:
            entry = node.entries[step]
            found = Place(entry.key_span, entry.value)
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
            found = Place(None, node.items[step])
        else:
            return None
    return found


def _span(file: str, start: Any, end: Any) -> Span:
    """Columns are known to the end only for what lies in one line."""
    end_column = end.column + 1 if end.line == start.line else 0
    return Span(file, start.line + 1, start.column + 1, end_column)


def _syntax_error(file: str, problem: yaml.MarkedYAMLError) -> Diagnostic:
    mark = problem.problem_mark or problem.context_mark
    notes = []
    if problem.context and problem.context_mark:
        line = problem.context_mark.line + 1
        notes.append(f"{problem.context}, which begins in line {line}")
    span = Span(file) if mark is None else Span(file, mark.line + 1, mark.column + 1)
    helps = ["indent with spaces"] if "'\\t'" in str(problem.problem) else []
    message = f"this is not YAML: {problem.problem}"
    return error("OB0201", message, span, notes=notes, helps=helps)


def _escape_error(file: str, text: str) -> Diagnostic:
    escape = _BAD_ESCAPE.search(text)
    span = Span(file) if escape is None else _span_at(file, text, *escape.span())
    return error("OB0201", "an escape names a character that does not exist", span)


def _character_error(file: str, text: str, position: int) -> Diagnostic:
    message = f"the character U+{ord(text[position]):04X} is not allowed in YAML"
    return error("OB0201", message, _span_at(file, text, position, position + 1))


def _span_at(file: str, text: str, start: int, end: int) -> Span:
    line_start = text.rfind("\n", 0, start) + 1
    line = text.count("\n", 0, start) + 1
    return Span(file, line, start - line_start + 1, end - line_start + 1)
