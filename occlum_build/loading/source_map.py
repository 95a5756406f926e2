"""Where things stand in a BUILD or .bzl file: Starlark tells a line, this tells the column.

Starlark's grammar is close to a part of Python's, so Python's parser gives the
positions. Where it cannot read a file that Starlark can, positions are coarser and
nothing else changes.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from occlum_build.diagnostic import Span

Location = Sequence[str | int]


@dataclass(frozen=True)
class CallSite:
    """One call in a file, with the place of each of its arguments."""

    source: "SourceMap"
    line: int
    call: ast.Call | None

    @property
    def span(self) -> Span:
        """The called name."""
        if self.call is None:
            return Span(self.source.file, self.line, 1)
        return self.source.span(self.call.func)

    def keyword(self, name: str) -> Span | None:
        """The name of a keyword argument, for an argument that should not be there."""
        found = self._keyword(name)
        if found is None:
            return None
        start = self.source.span(found)
        return Span(start.file, start.line, start.column, start.column + len(name))

    def value(self, location: Location, text: object = None) -> Span | None:
        """The value at `location`; `text` helps to find it where a list is computed."""
        if not location:
            return self.span
        found = self._keyword(str(location[0]))
        if found is None:
            return None
        node, left = _descend(found.value, location[1:])
        if left and text is not None:
            node = next(
                (
                    one
                    for one in ast.walk(found.value)
                    if isinstance(one, ast.Constant) and one.value == text
                ),
                node,
            )
        return self.source.span(node)

    def key(self, location: Location) -> Span | None:
        """The key of a dictionary that leads to the value at `location`."""
        found = self._keyword(str(location[0])) if len(location) > 1 else None
        if found is None:
            return None
        node, left = _descend(found.value, location[1:-1])
        if left or not isinstance(node, ast.Dict):
            return None
        key = _key(node, location[-1])
        return None if key is None else self.source.span(key)

    def parameter(self, location: Location) -> Location | None:
        """Where the macro around this call was given the value at `location`, if it was."""
        found = self._keyword(str(location[0])) if location else None
        if found is None:
            return None
        node, left = _descend(found.value, location[1:])
        return (node.id, *left) if isinstance(node, ast.Name) else None

    def _keyword(self, name: str) -> ast.keyword | None:
        keywords = self.call.keywords if self.call is not None else ()
        return next((one for one in keywords if one.arg == name), None)


class SourceMap:
    """Positions in one file."""

    def __init__(self, file: str, text: str) -> None:
        """Map the file named `file` in messages."""
        self.file = file
        self.text = text

    @cached_property
    def lines(self) -> list[str]:
        """The lines, without their ends."""
        return self.text.split("\n")

    @cached_property
    def _calls(self) -> list[ast.Call]:
        return [one for one in ast.walk(self.tree) if isinstance(one, ast.Call)]

    @cached_property
    def _calls_by_line(self) -> dict[int, list[ast.Call]]:
        found: dict[int, list[ast.Call]] = {}
        for one in self._calls:
            found.setdefault(one.lineno, []).append(one)
        return found

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; empty where Python cannot read the file."""
        return self._parsed[0]

    @property
    def is_too_deep(self) -> bool:
        """Whether the text is nested so deeply that Starlark's parser would crash."""
        return self._parsed[1]

    @cached_property
    def _parsed(self) -> tuple[ast.Module, bool]:
        empty = ast.Module(body=[], type_ignores=[])
        try:
            return ast.parse(self.text), False
        except SyntaxError as problem:
            return empty, str(problem.msg).startswith("too many nested")
        except (RecursionError, MemoryError):
            return empty, True
        except ValueError:
            return empty, False

    def span(self, node: ast.AST) -> Span:
        """The node's place, up to the end of its first line."""
        line = getattr(node, "lineno", 0)
        column = self._column(line, getattr(node, "col_offset", 0))
        if getattr(node, "end_lineno", line) != line:
            return Span(self.file, line, column, len(self.lines[line - 1]) + 1)
        return Span(
            self.file, line, column, self._column(line, getattr(node, "end_col_offset", 0))
        )

    def call(self, line: int, function: str, name: object = None) -> CallSite:
        """The call of `function` that starts on `line`; `name` decides between several."""
        here = self._calls_by_line.get(line, [])
        found = [one for one in here if ast.unparse(one.func).rpartition(".")[2] == function]
        found = found or here
        for one in found:
            site = CallSite(self, line, one)
            keyword = site._keyword("name")  # noqa: SLF001  # the same module
            if keyword and isinstance(keyword.value, ast.Constant) and keyword.value.value == name:
                return site
        return CallSite(self, line, found[0] if found else None)

    def parameters(self, function: str) -> list[str]:
        """The names that arguments of a function of this file may have."""
        for statement in self.tree.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == function:
                found = statement.args
                return [one.arg for one in (*found.args, *found.kwonlyargs)]
        return []

    def exports(self) -> Iterator[str]:
        """The names that other files can load from this one."""
        for statement in self.tree.body:
            if isinstance(statement, ast.FunctionDef):
                yield statement.name
            elif isinstance(statement, ast.Assign):
                for target in statement.targets:
                    yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                yield from _loaded(statement.value)

    def load_span(self, module: str, symbol: str | None = None) -> Span | None:
        """The text of a `load`'s module, or of a symbol in it."""
        for call in self._calls:
            if not (isinstance(call.func, ast.Name) and call.func.id == "load" and call.args):
                continue
            first = call.args[0]
            if not (isinstance(first, ast.Constant) and first.value == module):
                continue
            if symbol is None:
                return self.span(first)
            values = [*call.args[1:], *(keyword.value for keyword in call.keywords)]
            for value in values:
                if isinstance(value, ast.Constant) and value.value == symbol:
                    return self.span(value)
        return None

    def _column(self, line: int, offset_bytes: int) -> int:
        if not 0 < line <= len(self.lines):
            return 1
        encoded = self.lines[line - 1].encode("utf-8")[:offset_bytes]
        return len(encoded.decode("utf-8", errors="ignore")) + 1


def _descend(node: ast.expr, location: Location) -> tuple[ast.expr, Location]:
    """The node at `location`, as deep as the text shows it, and the steps that it does not."""
    for index, step in enumerate(location):
        further: ast.expr | None = None
        if isinstance(node, ast.List | ast.Tuple) and isinstance(step, int):
            further = node.elts[step] if step < len(node.elts) else None
        elif isinstance(node, ast.Dict):
            key = _key(node, step)
            further = None if key is None else node.values[node.keys.index(key)]
        if further is None:
            return node, location[index:]
        node = further
    return node, ()


def _key(node: ast.Dict, step: object) -> ast.expr | None:
    return next(
        (key for key in node.keys if isinstance(key, ast.Constant) and key.value == step), None
    )


def _loaded(call: ast.Call) -> Iterator[str]:
    if isinstance(call.func, ast.Name) and call.func.id == "load":
        for argument in call.args[1:]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
        yield from (keyword.arg for keyword in call.keywords if keyword.arg)
