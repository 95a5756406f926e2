"""Rule files: Python modules that are loaded by label, and that do no more than compute.

They see the public names of a few modules and no built-in function that does I/O, so that
none does any by accident. That is no wall: Python has none inside of an interpreter.
"""

import ast
import builtins
import importlib
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error
from occlum_build.label import BadLabelError, Label
from occlum_build.loading.source_map import SourceMap
from occlum_build.loading.sources import Sources
from occlum_build.loading.workspace import TOOL_REPOSITORY
from occlum_build.rule import Rule

_ALLOWED: Final = frozenset(
    {
        "collections",
        "collections.abc",
        "dataclasses",
        "enum",
        "functools",
        "itertools",
        "json",
        "occlum_build.api",
        "operator",
        "posixpath",
        "pydantic",
        "re",
        "textwrap",
        "types",
        "typing",
    }
)
_IMPURE: Final = {
    "posixpath": frozenset(
        {
            "abspath", "exists", "expanduser", "expandvars", "getatime", "getctime", "getmtime",
            "getsize", "isfile", "isdir", "islink", "isjunction", "isdevdrive", "ismount",
            "lexists", "realpath", "samefile", "sameopenfile", "samestat",
        }
    )
}  # fmt: skip
"""Public names that look at the machine."""
_REFUSED_BUILTINS: Final = frozenset(
    {"breakpoint", "compile", "eval", "exec", "exit", "globals", "help", "input", "open", "quit"}
)


class RuleFiles:
    """The rule files of one run; each is executed once, so its classes have one identity."""

    def __init__(self, sources: Sources) -> None:
        """Read rule files through `sources`."""
        self._sources = sources
        self._modules: dict[Label, types.ModuleType] = {}
        self._loading: list[Label] = []
        self._imports: dict[Label, dict[Label, None]] = {}

    def rules(self, label: Label) -> Mapping[str, Rule[Any]]:
        """The rules that the file declares, by name.

        Raises:
            DiagnosticError: the file does not exist, imports what it may not, or fails.
        """
        module = self._module(label)
        return {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, Rule) and not name.startswith("_")
        }

    def imports(self, label: Label) -> Iterable[Label]:
        """The rule files that the file imports itself."""
        return self._imports.get(label, ())

    def _module(self, label: Label, span: Span | None = None) -> types.ModuleType:
        if label in self._modules:
            return self._modules[label]
        if label in self._loading:
            chain = " -> ".join(str(one) for one in (*self._loading, label))
            raise DiagnosticError(
                error("OB0107", "rule files import each other in a cycle", span, notes=(chain,))
            )
        text, file = self._sources.code(label, span)
        tree = _parsed(file, text)
        problems = _refused_imports(label, tree, SourceMap(file, text))
        if problems:
            raise DiagnosticError(problems)
        self._loading.append(label)
        try:
            self._modules[label] = self._executed(label, file, text, tree)
        finally:
            self._loading.pop()
        return self._modules[label]

    def _executed(self, label: Label, file: str, text: str, tree: ast.Module) -> types.ModuleType:
        module = types.ModuleType(str(label))
        module.__file__ = file
        module.__dict__["__builtins__"] = self._builtins(label)
        sys.modules[str(label)] = module  # dataclasses and pydantic look the module up
        try:
            exec(compile(tree, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # this is the loader
        except (DiagnosticError, KeyboardInterrupt):
            raise
        except BaseException as problem:  # `SystemExit` too: the file fails, not the build
            raise DiagnosticError(_failure(problem, file, text)) from problem
        return module

    def _builtins(self, importer: Label) -> dict[str, Any]:
        def import_module(
            name: str,
            _globals: Mapping[str, Any] | None = None,
            _locals: Mapping[str, Any] | None = None,
            names: Sequence[str] | None = (),
            level: int = 0,
        ) -> types.ModuleType:
            target = _imported_label(importer, name, level)
            if target is not None:
                imported = self._sources.workspace.canonical(target)
                self._imports.setdefault(importer, {})[imported] = None
                return self._module(imported)
            if name not in _ALLOWED:
                raise ImportError(f"a rule file cannot import `{name}`")
            return _public(name if names else name.partition(".")[0])

        allowed = {
            name: value for name, value in vars(builtins).items() if name not in _REFUSED_BUILTINS
        }
        return {**allowed, "__import__": import_module, "print": _print}


@cache
def _public(name: str) -> types.ModuleType:
    """A module with nothing but the public names of the module `name`, found when they are used.

    What a module imports for itself (`json.codecs`) is not among them.
    """
    real = importlib.import_module(name)
    below = {one.removeprefix(f"{name}.") for one in _ALLOWED if one.startswith(f"{name}.")}
    public = getattr(real, "__all__", vars(real)) if name in _ALLOWED else ()
    names = {one for one in public if not one.startswith("_")} - _IMPURE.get(name, frozenset())

    def find(wanted: str) -> Any:
        if wanted in below:
            return _public(f"{name}.{wanted}")
        value = getattr(real, wanted, None) if wanted in names else None
        if wanted not in names or isinstance(value, types.ModuleType):
            raise AttributeError(f"a rule file has no `{wanted}` of `{name}`")
        return value

    shown = types.ModuleType(name, real.__doc__)
    shown.__dict__.update(__all__=sorted(names), __getattr__=find)
    return shown


def _print(*values: object) -> None:
    """`print` in a rule file: for its author's eyes, never among a command's results."""
    sys.stderr.write(" ".join(map(str, values)) + "\n")


def _imported_label(importer: Label, name: str, level: int) -> Label | None:
    """The rule file that an import statement names; None for a module of Python's own."""
    parts = [part for part in name.split(".") if part]
    if level:
        folders = importer.package.split("/") if importer.package else []
        if level - 1 > len(folders):
            raise ImportError("an import cannot leave the workspace")
        folders = [*folders[: len(folders) - (level - 1)], *parts[:-1]]
        return Label(importer.repository, "/".join(folders), f"{parts[-1]}.py") if parts else None
    if len(parts) > 1 and parts[0] == TOOL_REPOSITORY:
        return Label(TOOL_REPOSITORY, "/".join(parts[1:-1]), f"{parts[-1]}.py")
    return None


def _parsed(file: str, text: str) -> ast.Module:
    try:
        return ast.parse(text, file)
    except SyntaxError as problem:
        span = Span(file, problem.lineno or 1, problem.offset or 1)
        raise DiagnosticError(error("OB0109", f"this is no Python: {problem.msg}", span)) from None
    except (MemoryError, RecursionError):
        message = "this rule file is nested too deeply"
        raise DiagnosticError(error("OB0109", message, Span(file))) from None


def _refused_imports(label: Label, tree: ast.Module, source: SourceMap) -> list[Diagnostic]:
    problems = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [(one.name, 0) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            named = [(node.module or "", node.level)]
        elif isinstance(node, ast.Name) and node.id in _REFUSED_BUILTINS:
            problems.append(
                error(
                    "OB0108",
                    f"a rule file cannot use `{node.id}`",
                    source.span(node),
                    notes=("a rule computes providers and actions; only actions do I/O",),
                )
            )
            continue
        else:
            continue
        for name, level in named:
            try:
                is_rule_file = _imported_label(label, name, level) is not None
            except (ImportError, BadLabelError):
                is_rule_file = False
            if not is_rule_file and name not in _ALLOWED:
                problems.append(
                    error(
                        "OB0108",
                        f"a rule file cannot import `{name or '.'}`",
                        source.span(node),
                        notes=(
                            f"it may import {', '.join(f'`{one}`' for one in sorted(_ALLOWED))}",
                        ),
                        helps=("import another rule file as `from .name import …`",),
                    )
                )
    return problems


def failure_span(problem: BaseException, file: str, text: str) -> Span:
    """The last line of a rule file that took part in an exception."""
    line = 0
    trace = problem.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    lines = text.split("\n")
    content = lines[line - 1] if 0 < line <= len(lines) else ""
    column = len(content) - len(content.lstrip()) + 1
    return Span(file, line, column, len(content) + 1) if line else Span(file)


def _failure(problem: BaseException, file: str, text: str) -> Diagnostic:
    message = f"the rule file fails: {type(problem).__name__}: {problem}"
    return error("OB0109", message, failure_span(problem, file, text))
