"""Answers of `query`: what an expression says about a graph of targets."""

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final

from occlum_build.analysis.query_expression import (
    Call,
    Expression,
    Let,
    Operation,
    Pattern,
    Variable,
)
from occlum_build.analysis.target_graph import TargetGraph
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.label import Label
from occlum_build.loading.workspace import BUILD_FILE
from occlum_build.provider import SuiteInfo, TestInfo

SOURCE_FILE: Final = "source file"
_UNIVERSE: Final = ("//...:*",)
_NOTHING: Final[Mapping[str, tuple[Label, ...]]] = MappingProxyType({})


class Query:
    """Evaluates expressions about a workspace, whose universe is all of it."""

    def __init__(
        self,
        graph: TargetGraph,
        load: Callable[[Iterable[str]], tuple[Label, ...]],
        texts: Callable[[Label], Iterable[Label]],
        has_package: Callable[[Label], bool],
    ) -> None:
        """Ask about `graph`, which grows by what is named.

        `load` gives the labels of patterns and adds them to it; `texts` are the BUILD file of
        a label's package and all that this loads; `has_package` says if there is such a file.
        """
        self._graph = graph
        self._load = load
        self._texts = texts
        self._has_package = has_package
        self._functions: dict[str, Callable[..., Iterable[Label]]] = {
            "allpaths": self._all_paths,
            "allrdeps": lambda labels, depth=None: self._dependents(
                self._load(_UNIVERSE), labels, depth
            ),
            "attr": self._attribute,
            "buildfiles": self._build_files,
            "deps": self._graph.dependencies,
            "filter": lambda pattern, labels: self._matching(pattern, labels, str),
            "kind": lambda pattern, labels: self._matching(pattern, labels, self.kind),
            "labels": self._labels,
            "loadfiles": lambda labels: [
                one for one in self._build_files(labels) if one.name != BUILD_FILE
            ],
            "path": self._path,
            "rbuildfiles": self._loading,
            "rdeps": self._dependents,
            "siblings": self._siblings,
            "some": self._some,
            "somepath": self._path,
            "tests": self._tests,
        }

    def answer(
        self, asked: Expression, variables: Mapping[str, tuple[Label, ...]] = _NOTHING
    ) -> tuple[Label, ...]:
        """The labels that `asked` means: a path in its order, everything else sorted.

        Raises:
            DiagnosticError: something that it names does not exist, or is wrong.
        """
        match asked:
            case Pattern(texts):
                return self._load(texts)
            case Variable(name):
                if name not in variables:
                    raise _refused(f"no `let` gives `${name}` a value")
                return variables[name]
            case Let(name, value, body):
                return self.answer(body, {**variables, name: self.answer(value, variables)})
            case Operation(operator, left, right):
                return _joined(
                    operator, self.answer(left, variables), self.answer(right, variables)
                )
            case Call(function, arguments):
                values = (
                    one if isinstance(one, str | int) else self.answer(one, variables)
                    for one in arguments
                )
                return tuple(self._functions[function](*values))

    def kind(self, label: Label) -> str:
        """The name of a target's rule, or `source file`."""
        target = self._graph.targets.get(label)
        return target.rule_class.name if target is not None else SOURCE_FILE

    def _matching(
        self, pattern: str, labels: Iterable[Label], text: Callable[[Label], str]
    ) -> list[Label]:
        expression = _expression(pattern)
        return [one for one in labels if expression.search(text(one))]

    def _attribute(self, name: str, pattern: str, labels: Iterable[Label]) -> list[Label]:
        expression = _expression(pattern)
        found = []
        for label in labels:
            target = self._graph.targets.get(label)
            if target is None or name not in type(target.attrs).model_fields:
                continue
            if expression.search(_written(getattr(target.attrs, name))):
                found.append(label)
        return found

    def _labels(self, name: str, labels: Iterable[Label]) -> list[Label]:
        targets = (self._graph.targets[one] for one in labels if one in self._graph.targets)
        uses = (use for target in targets for use in target.uses)
        return sorted({use.label for use in uses if use.attribute == name})

    def _dependents(
        self, universe: Iterable[Label], labels: Iterable[Label], depth: int | None = None
    ) -> list[Label]:
        inside = set(self._graph.dependencies(universe))
        return [
            one
            for one in self._graph.dependents((one for one in labels if one in inside), depth)
            if one in inside
        ]

    def _build_files(self, labels: Iterable[Label]) -> list[Label]:
        """What the packages of these labels are written in.

        As Bazel says it, the BUILD files beside what they load are among it.
        """
        packages = {one.sibling(BUILD_FILE) for one in labels}
        texts = {text for one in packages for text in self._texts(one)}
        beside = {one.sibling(BUILD_FILE) for one in texts}
        return sorted(texts.union(filter(self._has_package, beside)))

    def _loading(self, *paths: str) -> list[Label]:
        """The BUILD files that one of these files of the workspace has to do with."""
        wanted = set(paths)
        files = [one for one in self._load(_UNIVERSE) if one.name == BUILD_FILE]
        return [one for one in files if any(_path(text) in wanted for text in self._texts(one))]

    def _siblings(self, labels: Iterable[Label]) -> tuple[Label, ...]:
        packages = sorted({one.sibling("*") for one in labels})
        return self._load(map(str, packages))

    def _tests(self, labels: Iterable[Label]) -> list[Label]:
        """The tests among these labels, and those that suites among them stand for."""
        found: set[Label] = set()
        waiting, seen = list(labels), set[Label]()
        while waiting:
            label = waiting.pop()
            target = self._graph.targets.get(label)
            if target is None or label in seen:
                continue
            seen.add(label)
            provides = target.rule_class.rule.provides
            if TestInfo in provides:
                found.add(label)
            if SuiteInfo in provides:
                waiting += (use.label for use in target.uses)
        return sorted(found)

    def _all_paths(self, starts: Iterable[Label], ends: Iterable[Label]) -> list[Label]:
        below = set(self._graph.dependencies(starts))
        above = self._graph.dependents(one for one in ends if one in below)
        return [one for one in above if one in below]

    def _path(self, starts: tuple[Label, ...], ends: tuple[Label, ...]) -> list[Label]:
        if not starts or not ends:
            raise _refused("a path needs a target on either side")
        for start in starts:
            below = set(self._graph.dependencies([start]))
            end = next((one for one in ends if one in below), None)
            if end is not None:
                return self._graph.path(start, end)
        return []

    def _some(self, labels: tuple[Label, ...], count: int = 1) -> tuple[Label, ...]:
        if not labels:
            raise _refused("`some` is asked of nothing")
        return labels[:count]


def _path(label: Label) -> str:
    """Where a file of the workspace lies in it; nothing for one of another repository."""
    return "" if label.repository else f"{label.package}/{label.name}".removeprefix("/")


def _joined(operator: str, left: tuple[Label, ...], right: tuple[Label, ...]) -> tuple[Label, ...]:
    if operator == "union":
        return tuple(sorted({*left, *right}))
    taken = set(right)
    return tuple(one for one in left if (one in taken) == (operator == "intersect"))


def _expression(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as problem:
        raise _refused(f"`{pattern}` is no regular expression: {problem}") from None


def _written(value: object) -> str:
    """A value as Bazel matches it: lists in brackets, truth as 1 or 0, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(_written(one) for one in value)}]"
    if isinstance(value, frozenset):
        return _written(sorted(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}={_written(one)}' for key, one in value.items())}}}"
    return str(value)


def _refused(message: str) -> DiagnosticError:
    return DiagnosticError(error("OB0126", message))
