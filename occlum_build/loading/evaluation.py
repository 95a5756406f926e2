"""Evaluates BUILD and .bzl files: Starlark runs, and calls of rules are recorded."""

import inspect
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import starlark

from occlum_build.attribute import check_visibility
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, near
from occlum_build.label import BadLabelError, Label
from occlum_build.loading.glob import BadGlobError, PackageFiles
from occlum_build.loading.package import Package, RuleClass, TargetCall
from occlum_build.loading.rule_file import RuleFiles
from occlum_build.loading.select import SELECT_FILE, SELECT_TEXT, select
from occlum_build.loading.source_map import SourceMap
from occlum_build.loading.sources import Sources
from occlum_build.loading.starlark_text import explained, frames, place

_MAX_TICKS: Final = 20_000  # of about a thousand instructions: some seconds
_MAX_DEPTH: Final = 200
_MAX_LOADS: Final = 50
"""Of files that load each other in a chain, each of which takes some of Python's stack."""
_TOO_LONG: Final = "integer string conversion"
"""What Python says of the last value of a file if that is a number of thousands of digits."""
_PANIC: Final = "PanicException"  # what PyO3 makes of a panic in Rust, and names nowhere
_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BUILTINS: Final = ("glob", "select", "package", "package_name", "exports_files", "load", "fail")


@dataclass
class _Module:
    """A loaded file: what Starlark can import, and under which names."""

    frozen: starlark.FrozenModule
    exports: tuple[str, ...]


@dataclass
class _Scope:
    """The package that is being evaluated."""

    package: Package
    problems: list[Diagnostic] = field(default_factory=list)
    files: PackageFiles | None = None


class Evaluator:
    """Evaluates the files of one run; each `.bzl` and rule file once."""

    def __init__(self, sources: Sources) -> None:
        """Read files through `sources`."""
        self._sources = sources
        self._rule_files = RuleFiles(sources)
        self._modules: dict[Label, _Module] = {}
        self._loading: list[Label] = []
        self._loaded_by: dict[Label, dict[Label, None]] = {}
        self._rules: dict[tuple[str, str], RuleClass] = {}
        self._maps: dict[str, SourceMap] = {}
        self._scope: _Scope | None = None
        self._select = starlark.parse(SELECT_FILE, SELECT_TEXT, _dialect(is_build=False))
        self._stashed: DiagnosticError | None = None
        extensions = (
            starlark.LibraryExtension.StructType,
            starlark.LibraryExtension.CallStack,
            starlark.LibraryExtension.Json,
            starlark.LibraryExtension.Print,
        )
        self._globals = starlark.Globals.extended_by(list(extensions))

    def package(self, label: Label) -> tuple[Package, list[Diagnostic]]:
        """The package of the BUILD file `label`, and what is wrong in it.

        A package with problems holds the targets that were declared before them.
        """
        scope = _Scope(Package(label))
        outer, self._scope = self._scope, scope
        try:
            text, file = self._sources.code(label)
            self._run(label, file, text)
        except DiagnosticError as problem:
            scope.problems += problem.diagnostics
            scope.package.is_whole = False
        finally:
            self._scope = outer
        return scope.package, scope.problems

    def texts(self, label: Label) -> list[Label]:
        """The file `label`, which was evaluated, and all that it loads, by way of others too.

        What a rule file imports decides what a target means, as what it says itself does.
        """
        found = {label: None}
        waiting = [label]
        while waiting:
            text = waiting.pop()
            below = [*self._loaded_by.get(text, ()), *self._rule_files.imports(text)]
            new = [one for one in below if one not in found]
            found.update(dict.fromkeys(new))
            waiting += new
        return sorted(found)

    def _run(self, label: Label, file: str, text: str) -> starlark.Module:
        """Evaluate one file."""
        source = self._maps[file] = SourceMap(file, text)
        if source.is_too_deep:
            raise DiagnosticError(error("OB0105", "this file is nested too deeply", Span(file)))
        module = starlark.Module()
        for name, function in (
            ("glob", self._glob),
            ("_select", select),
            ("package_name", self._package_name),
            ("package", self._package),
            ("exports_files", self._exports_files),
        ):
            module.add_callable(name, self._guarded(function))
        starlark.eval(module, self._select, self._globals)
        known: list[str] = [*_BUILTINS]
        ticks = iter(range(_MAX_TICKS))
        options = starlark.EvalOptions(
            check_cancelled=lambda: next(ticks, None) is None, max_callstack_size=_MAX_DEPTH
        )
        try:
            tree = starlark.parse(file, text, _dialect(is_build=label.name == "BUILD"))
            modules = self._loads(label, tree, source)
            known += (name for one in tree.loads() for name in one.symbols)
            known += _exports(source)
            loader = starlark.FileLoader(lambda name: modules[name])
            starlark.eval_with(options, module, tree, self._globals, loader)
        except starlark.StarlarkError as problem:
            raise self._translated(str(problem), source, tuple(known)) from None
        except BaseException as problem:
            if type(problem).__name__ != _PANIC and _TOO_LONG not in str(problem):
                raise
            raise _panicked(problem, file) from None
        return module

    def _translated(self, text: str, source: SourceMap, known: tuple[str, ...]) -> DiagnosticError:
        """Starlark's error, or the one of ours that made it fail, at the place it names."""
        stashed, self._stashed = self._stashed, None
        if stashed is not None:
            span = place(text)
            return DiagnosticError([one.at(span) for one in stashed.diagnostics])
        if "Evaluation cancelled" in text:
            problem = error(
                "OB0123",
                "this file computes for too long",
                place(text) or Span(source.file),
                notes=("a BUILD file describes targets; work belongs into actions",),
            )
            return DiagnosticError(problem)
        return DiagnosticError(explained(text, source, known, self._maps))

    def _loads(
        self, importer: Label, tree: starlark.AstModule, source: SourceMap
    ) -> Mapping[str, starlark.FrozenModule]:
        """The modules that a file loads, with all of its bad `load`s reported at once."""
        modules: dict[str, starlark.FrozenModule] = {}
        problems: list[Diagnostic] = []
        for one in tree.loads():
            span = source.load_span(one.module_id)
            try:
                module = self._module(importer, one.module_id, span)
            except DiagnosticError as problem:
                problems += [found for found in problem.diagnostics if found not in problems]
                continue
            modules[one.module_id] = module.frozen
            for symbol in one.symbols.values():
                if module.exports and symbol not in module.exports:
                    guess = near(symbol, module.exports)
                    at = source.load_span(one.module_id, symbol) or span
                    helps = (f"it has `{guess}`",) if guess else ()
                    message = f"`{one.module_id}` has no `{symbol}`"
                    problems.append(error("OB0106", message, at, helps=helps))
        if problems:
            raise DiagnosticError(problems)
        return modules

    def _module(self, importer: Label, text: str, span: Span | None) -> _Module:
        try:
            label = Label.parse(text, package=importer.package, repository=importer.repository)
        except BadLabelError as problem:
            raise DiagnosticError(error("OB0113", str(problem), span)) from None
        label = self._sources.workspace.canonical(label)
        self._loaded_by.setdefault(importer, {})[label] = None
        if label in self._modules:
            return self._modules[label]
        if label in self._loading:
            chain = " -> ".join(str(one) for one in (*self._loading, label))
            raise DiagnosticError(
                error("OB0107", "files load each other in a cycle", span, notes=(chain,))
            )
        if len(self._loading) >= _MAX_LOADS:
            message = f"files load each other in a chain of more than {_MAX_LOADS}"
            raise DiagnosticError(error("OB0105", message, span))
        self._loading.append(label)
        try:
            self._modules[label] = self._loaded(label, span)
        finally:
            self._loading.pop()
        return self._modules[label]

    def _loaded(self, label: Label, span: Span | None) -> _Module:
        content, file = self._sources.code(label, span)
        if label.name.endswith(".py"):
            return self._rule_module(label)
        if not label.name.endswith(".bzl"):
            message = f"`{label}` is neither a `.bzl` file nor a rule file (`.py`)"
            raise DiagnosticError(error("OB0106", message, span))
        outer, self._scope = self._scope, None
        try:
            frozen = self._run(label, file, content).freeze()
        finally:
            self._scope = outer
        return _Module(frozen, _exports(self._maps[file]))

    def _rule_module(self, label: Label) -> _Module:
        """Starlark functions for the rules of a rule file: they tell where they are called."""
        rules = self._rule_files.rules(label)
        module = starlark.Module()
        module.add_callable("_record", self._guarded(self._record))
        lines = []
        for name, rule in rules.items():
            self._rules[str(label), name] = RuleClass(name, label, rule)
            lines += [
                f"def {name}(**attributes):",
                "    unsaid = [one for one in attributes if attributes[one] == None]",
                "    stack = str(call_stack(strip_frames = 1))",
                f'    _record("{label}", "{name}", stack, attributes, unsaid)',
            ]
        tree = starlark.parse(str(label), "\n".join(lines) + "\n", _dialect(is_build=False))
        starlark.eval(module, tree, self._globals)
        return _Module(module.freeze(), tuple(rules))

    def _guarded(self, function: Any) -> Any:
        """Keep our own exceptions: Starlark turns them into text."""
        shape = inspect.signature(function)

        def call(*arguments: Any, **keywords: Any) -> Any:
            try:
                try:
                    shape.bind(*arguments, **keywords)
                except TypeError as problem:
                    name = function.__name__.strip("_")
                    message = f"`{name}`: {problem}".replace("'", "`")
                    raise DiagnosticError(error("OB0105", message)) from None
                return function(*arguments, **keywords)
            except DiagnosticError as problem:
                self._stashed = problem
                raise

        return call

    def _current(self, function: str) -> _Scope:
        if self._scope is None:
            message = f"`{function}` works only while a BUILD file is evaluated"
            helps = ("call it inside a macro",)
            raise DiagnosticError(error("OB0105", message, helps=helps))
        return self._scope

    def _record(
        self, file: str, name: str, stack: str, attributes: dict[str, Any], unsaid: list[str]
    ) -> None:
        """A rule is called: remember it. Hardly more than its name is checked yet.

        `unsaid` are the attributes that are `None` in Starlark: a number that JSON cannot
        hold arrives as `None`, too, and would be taken for one that was not said.
        """
        scope = self._current(name)
        package = scope.package
        places = frames(stack)
        target = attributes.get("name")
        at_file, line = places[-1] if places else (str(package.label), 0)
        site = self._maps[at_file].call(line, name, target)
        callers = tuple(self._maps[one].call(number, "") for one, number in reversed(places[:-1]))
        if not isinstance(target, str):
            message = f"a `{name}` has no name"
            given = site.value(("name",)) if "name" in attributes else None
            if given is not None:
                message = f"the name of a `{name}` is no string"
            problem = error("OB0111", message, given or site.span, helps=('say `name = "…"`',))
            scope.problems.append(problem)
            return
        try:
            label = Label.parse(
                f":{target}", package=package.label.package, repository=package.label.repository
            )
        except BadLabelError as problem:
            span = site.value(("name",)) or site.span
            scope.problems.append(error("OB0113", str(problem), span))
            return
        call = TargetCall(label, self._rules[file, name], attributes, site, callers)
        lost = [one for one, value in attributes.items() if value is None and one not in unsaid]
        if lost:
            scope.problems += [_no_number(call, one) for one in lost]
            return
        if target in package.calls:
            first = package.calls[target].span
            scope.problems.append(
                error(
                    "OB0115",
                    f"two targets are named `{label}`",
                    site.value(("name",)) or site.span,
                    notes=(f"the first is at {first}",),
                )
            )
            return
        package.calls[target] = call

    def _glob(
        self, include: list[str], exclude: Sequence[str] = (), *, allow_empty: bool = False
    ) -> list[str]:
        scope = self._current("glob")
        _need_strings("glob", include)
        _need_strings("glob", exclude)
        _need_truth("glob", "allow_empty", allow_empty)
        if scope.files is None:
            label = scope.package.label
            scope.files = PackageFiles(
                self._sources.workspace.package_directory(label),
                is_root=not label.package,
                note=self._sources.note_directory,
            )
        try:
            found = scope.files.glob(include, exclude)
            empty = [one for one in include if not scope.files.glob([one])]
        except BadGlobError as problem:
            raise DiagnosticError(error("OB0117", f"bad glob: {problem}")) from None
        except OSError as problem:
            name = os.path.relpath(str(problem.filename), self._sources.workspace.root)
            message = f"a directory cannot be listed: {problem.strerror}"
            raise DiagnosticError(error("OB0117", message, notes=(name,))) from None
        for one in found:
            if not _is_text(one):
                raise DiagnosticError(
                    error(
                        "OB0117",
                        f"the name of the file `{one}` is no UTF-8",
                        helps=("give it another name, or leave it out with `exclude`",),
                    )
                )
        if not allow_empty and (empty or not found):
            listed = ", ".join(f"`{one}`" for one in empty or include)
            raise DiagnosticError(
                error(
                    "OB0114",
                    f"this glob matches nothing: {listed}",
                    notes=("a glob sees the files of its own package only",),
                    helps=("say `allow_empty = True` if that is meant",),
                )
            )
        return found

    def _package_name(self) -> str:
        return self._current("package_name").package.label.package

    def _package(
        self, *, default_visibility: list[str] | None = None, default_testonly: bool = False
    ) -> None:
        package = self._current("package").package
        _need_truth("package", "default_testonly", default_testonly)
        if default_visibility is not None:
            _need_strings("package", default_visibility)
            _need_grants("package", default_visibility)
            package.default_visibility = tuple(default_visibility)
        package.default_testonly = default_testonly

    def _exports_files(self, srcs: list[str], visibility: list[str] | None = None) -> None:
        package = self._current("exports_files").package
        _need_strings("exports_files", srcs)
        _need_strings("exports_files", visibility or [])
        _need_grants("exports_files", visibility or [])
        problems = [found for one in srcs if (found := self._not_a_file(one, package)) is not None]
        if problems:
            raise DiagnosticError(problems)
        for one in srcs:
            package.exported[one] = tuple(visibility or ("//visibility:public",))

    def _not_a_file(self, name: str, package: Package) -> Diagnostic | None:
        """What is wrong with the name of a source file that is exported."""
        try:
            label = Label.parse(
                f":{name}", package=package.label.package, repository=package.label.repository
            )
        except BadLabelError as problem:
            return error("OB0113", str(problem))
        return None if self._sources.is_file(label) else self._sources.missing(label, None)


def _need_grants(function: str, grants: Iterable[str]) -> None:
    try:
        check_visibility(grants)
    except ValueError as problem:
        raise DiagnosticError(error("OB0105", f"`{function}`: {problem}")) from None


def _need_strings(function: str, values: object) -> None:
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        message = f"`{function}` takes a list of strings, not `{values!r}`"
        raise DiagnosticError(error("OB0105", message))


def _need_truth(function: str, name: str, value: object) -> None:
    if not isinstance(value, bool):
        message = f"`{name}` of `{function}` is `True` or `False`, not `{value!r}`"
        raise DiagnosticError(error("OB0105", message))


def _no_number(call: TargetCall, attribute: str) -> Diagnostic:
    message = f"attribute `{attribute}` of `{call.label}` is wrong: it is no finite number"
    return error("OB0112", message, call.value((attribute,)) or call.site.span)


def _exports(source: SourceMap) -> tuple[str, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        names = source.exports()
        return tuple(one for one in names if _IDENTIFIER.fullmatch(one) and one[0] != "_")


def _dialect(*, is_build: bool) -> starlark.Dialect:
    dialect = starlark.Dialect.standard()
    dialect.enable_def = not is_build  # macros live in .bzl files, as buildifier expects
    dialect.enable_lambda = not is_build
    dialect.enable_load = True
    dialect.enable_f_strings = True
    dialect.enable_keyword_only_arguments = True
    dialect.enable_load_reexport = True
    dialect.enable_top_level_stmt = False
    return dialect


def _panicked(problem: BaseException, file: str) -> DiagnosticError:
    """Starlark's interpreter gave up: a list, for instance, that no memory would hold."""
    return DiagnosticError(
        error(
            "OB0105",
            "this file cannot be evaluated",
            Span(file),
            notes=(f"the Starlark interpreter ended with: {problem}",),
            helps=("a value that is too large is the usual reason",),
        )
    )


def _is_text(name: str) -> bool:
    """Whether a file's name is UTF-8, as all names in a BUILD file are."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
