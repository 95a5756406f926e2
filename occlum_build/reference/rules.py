"""`rules.md`: the functions, macros and rules that a BUILD file may call."""

import ast
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from occlum_build.attribute import Attrs, Dep
from occlum_build.label import Label
from occlum_build.loading.rule_file import RuleFiles
from occlum_build.loading.sources import Sources
from occlum_build.loading.workspace import find_workspace
from occlum_build.provider import Provider
from occlum_build.reference.attribute_type import default_of, type_of
from occlum_build.reference.markdown import anchor, block, code, page, sentence, table
from occlum_build.rule import Rule

_FOLDER: Final = "rules"
_CALL_FOLDERS: Final = ("examples", "libos_src", "toolchain")
_COLUMNS: Final = ("attribute", "type", "default", "meaning")

_INTRODUCTION: Final = """
A `BUILD` file is Starlark. It loads what it calls:

```python
load("@occlum//rules:defs.bzl", "cc_binary", "enclave_app")
```

Each rule is one Python file of [`rules/`](../../rules), loaded by its label; a rule of yours is
loaded in the same way and can do the same ([Writing a rule](../guide/writing-a-rule.md)). An
attribute that is a label takes a file of the package (`"hello.c"`), a target (`":hello"`,
`"//pkg:name"`) or something that ships with the tool (`"@occlum//…"`). Every attribute may be a
`select()`.
"""

_FUNCTIONS: Final = (
    (
        '`load("//pkg:file.bzl", "name")`',
        "Names from a `.bzl` file or from a rule file (`.py`).",
    ),
    (
        '`glob(["**/*.c"], exclude = […], allow_empty = False)`',
        "Files of this package, sorted. To match nothing is an error without `allow_empty`.",
    ),
    (
        '`select({"key=value": …, "name": …, "default": …})`',
        "What holds in the configuration: by one of its values, by its name, or else.",
    ),
    (
        "`package(default_visibility = […], default_testonly = False)`",
        "Defaults of the targets of this package.",
    ),
    ("`package_name()`", "The package that is loaded, in macros too."),
    (
        '`exports_files(["file"], visibility = […])`',
        "Lets other packages name source files of this one.",
    ),
)
_DIALECT: Final = (
    "`def` is for `.bzl` files; a `BUILD` file calls. `struct`, `json` and `print` exist."
)


@dataclass(frozen=True)
class _RuleFile:
    """One rule with the file that declares it."""

    name: str
    about: str
    rule: Rule[Any]


def rules_page(root: Path) -> str:
    """The page."""
    found = sorted(_rules(root), key=lambda one: one.name)
    macros = list(_macros(root))
    names = [*(name for name, _ in macros), *(one.name for one in found)]
    calls = _calls(root)
    links = "\n".join(f"- [`{name}`]({anchor(name)})" for name in names)
    sections = [
        f"Macros and rules:\n\n{links}",
        "## Functions of Starlark files",
        table(("call", "meaning"), _FUNCTIONS),
        _DIALECT,
        _common(),
        *(_macro(name, function, calls) for name, function in macros),
        *(_rule(one, calls) for one in found),
        _providers(one.rule for one in found),
    ]
    return page("Rules", _INTRODUCTION, sections)


def _rules(root: Path) -> Iterator[_RuleFile]:
    """Every rule of the folder, loaded as BUILD files load it."""
    sources = Sources(find_workspace(root, root))
    rule_files = RuleFiles(sources)
    for path in sorted((root / _FOLDER).glob("*.py")):
        label = Label("", _FOLDER, path.name)
        text, _ = sources.text(label)
        about = ast.get_docstring(ast.parse(text)) or ""
        for name, rule in rule_files.rules(label).items():
            yield _RuleFile(name, about, rule)


def _macros(root: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """The functions that `.bzl` files of the folder declare: Starlark is Python to a parser."""
    for path in sorted((root / _FOLDER).glob("*.bzl")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                yield node.name, node


def _calls(root: Path) -> dict[str, tuple[str, str]]:
    """The shortest call of each name in the project's own files, and where it is.

    What no BUILD file calls, a macro does.
    """
    builds = [path for one in _CALL_FOLDERS for path in sorted((root / one).rglob("BUILD"))]
    found: dict[str, tuple[str, str]] = {}
    for paths in (sorted((root / _FOLDER).glob("*.bzl")), builds):
        shortest: dict[str, tuple[str, str]] = {}
        for path in paths:
            for name, excerpt in _calls_in(path):
                if name not in shortest or len(excerpt) < len(shortest[name][1]):
                    shortest[name] = (path.relative_to(root).as_posix(), excerpt)
        found |= shortest
    return found


def _calls_in(path: Path) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Call(func=ast.Name(id=name)) as call):
                excerpt = ast.get_source_segment(text, call, padded=True) or ""
                yield name, textwrap.dedent(excerpt)
            case _:
                pass


def _example(name: str, calls: dict[str, tuple[str, str]]) -> list[str]:
    if name not in calls:
        return []
    path, excerpt = calls[name]
    return [f"As in [`{path}`](../../{path}):", block(excerpt, "python")]


def _common() -> str:
    rows = _rows(Attrs.model_fields)
    return "\n\n".join(["## Attributes of every rule", table(_COLUMNS, rows)])


def _rule(one: _RuleFile, calls: dict[str, tuple[str, str]]) -> str:
    fields = {
        name: field
        for name, field in one.rule.attrs.model_fields.items()
        if name not in Attrs.model_fields
    }
    promises = ", ".join(f"[`{kind.__name__}`](#providers)" for kind in one.rule.provides)
    parts = [
        f"## {one.name}",
        sentence(one.about.removeprefix(f"`{one.name}`: ")),
        table(_COLUMNS, _rows(fields)),
        f"Provides {promises}.",
        *_example(one.name, calls),
    ]
    return "\n\n".join(parts)


def _rows(fields: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in fields.items():
        yield code(name), type_of(field), default_of(field), field.description or ""


def _macro(name: str, function: ast.FunctionDef, calls: dict[str, tuple[str, str]]) -> str:
    about, _, arguments = (ast.get_docstring(function) or "").partition("\n\nArgs:\n")
    given = function.args
    missing = len(given.args) - len(given.defaults)
    defaults = ["required"] * missing + [code(_default(one)) for one in given.defaults]
    meanings = _meanings(arguments)
    rows = (
        (code(one.arg), default, meanings[one.arg])
        for one, default in zip(given.args, defaults, strict=True)
    )
    parts = [
        f"## {name}",
        "A macro. " + about,
        table(("argument", "default", "meaning"), rows),
        *_example(name, calls),
    ]
    return "\n\n".join(parts)


def _default(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return json.dumps(node.value)
    return ast.unparse(node)


def _meanings(arguments: str) -> dict[str, str]:
    """The lines `name: text` of a docstring's `Args:`."""
    pairs = (line.strip().partition(": ") for line in arguments.splitlines() if line.strip())
    return {name: sentence(text) for name, _, text in pairs}


def _providers(rules: Iterable[Rule[Any]]) -> str:
    """Every provider that a rule promises or wants."""
    kinds: dict[str, type[Provider]] = {}
    for rule in rules:
        wanted = (
            kind
            for field in rule.attrs.model_fields.values()
            for kind in _wanted(field.annotation, tuple(field.metadata))
        )
        kinds |= {kind.__name__: kind for kind in (*rule.provides, *wanted)}
    rows = []
    for name in sorted(kinds):
        kind = kinds[name]
        fields = ", ".join(code(one.name) for one in dataclasses.fields(kind))  # type: ignore[arg-type]
        about = (inspect.getdoc(kind) or "").split("\n\n")[0]
        rows.append((code(name), fields, about))
    text = (
        "What a target promises to those that depend on it. A rule of yours that returns one of"
        " these fits in where the built-in rule does; import them with"
        " `from occlum.rules.providers import …`, those of the engine from `occlum_build.api`."
    )
    return "\n\n".join(["## Providers", text, table(("provider", "fields", "meaning"), rows)])


def _wanted(annotation: Any, metadata: tuple[object, ...]) -> Iterator[type[Provider]]:
    """The providers that the labels in an annotation must have."""
    for one in metadata:
        if isinstance(one, Dep):
            yield from one.providers
    for part in (*getattr(annotation, "__metadata__", ()),):
        if isinstance(part, Dep):
            yield from part.providers
    for inner in getattr(annotation, "__args__", ()):
        yield from _wanted(inner, ())
