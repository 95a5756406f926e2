"""Runs each rule once, in order, and keeps what it returned."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from occlum_build.action import Action, SigningKey
from occlum_build.analysis.outputs import Outputs
from occlum_build.analysis.target_graph import TargetGraph
from occlum_build.attribute import Dep, LabelUse, Source, Validated
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error, near
from occlum_build.label import Label
from occlum_build.loading.loader import Loader
from occlum_build.loading.package import Target
from occlum_build.loading.rule_file import failure_span
from occlum_build.provider import DefaultInfo, Provider, need
from occlum_build.rule import Dependency, RuleContext

KeyRing = Callable[[str], SigningKey | None]


@dataclass(frozen=True)
class AnalyzedTarget:
    """A target, what it promises, and the actions that keep the promise."""

    target: Target
    providers: Mapping[type[Provider], Provider]
    actions: tuple[Action, ...]

    def default_files(self) -> DefaultInfo:
        """What is built when the target is asked for."""
        found = self.providers.get(DefaultInfo)
        return found if isinstance(found, DefaultInfo) else DefaultInfo()


@dataclass
class Analysis:
    """The whole graph of one run: targets, providers, and one action for each output."""

    loader: Loader
    graph: TargetGraph
    targets: dict[Label, AnalyzedTarget] = field(default_factory=dict)
    outputs: Outputs = field(default_factory=Outputs)


def analyze(roots: Iterable[Label], loader: Loader, key_ring: KeyRing) -> Analysis:
    """Analyse `roots` and all that they need.

    Problems go to the loader; a target that needs a wrong one is left out in silence.
    """
    graph = TargetGraph(loader)
    graph.add(roots)
    analysis = Analysis(loader, graph)
    for target in graph.in_order():
        if target.label in graph.broken:
            continue
        try:
            analyzed = _analyzed(target, analysis, key_ring)
        except DiagnosticError as problem:
            notes = target.call.notes
            loader.report(
                DiagnosticError(
                    [one.noting(notes(one.span or target.span)) for one in problem.diagnostics]
                )
            )
            continue
        if analyzed is not None:
            analysis.targets[target.label] = analyzed
    return analysis


def _analyzed(target: Target, analysis: Analysis, key_ring: KeyRing) -> AnalyzedTarget | None:
    dependencies = _dependencies(target, analysis)
    if dependencies is None:
        return None
    problems = [
        found
        for use in target.uses
        for found in _wrong_kind(target, use, dependencies[use.label], analysis)
    ]
    if problems:
        raise DiagnosticError(problems)
    loader = analysis.loader
    context: RuleContext[Any] = RuleContext(
        label=target.label,
        attrs=target.attrs,
        configuration=loader.configuration,
        span=target.span,
        output_prefix=loader.workspace.output_prefix(target.label, loader.configuration),
        dependencies=dependencies,
        models=_models(target, analysis),
        attribute_spans=target.call.value,
        key_spans=target.call.key,
        key_ring=key_ring,
    )
    rule = target.rule_class.rule
    try:
        returned = list(rule.analyze(context) or ())
        need("analyze", returned, Provider)
    except (DiagnosticError, KeyboardInterrupt):
        raise
    except BaseException as problem:  # `SystemExit` too: the rule fails, not the build
        raise DiagnosticError(_rule_failed(target, problem, loader)) from problem
    if context.problems:
        raise DiagnosticError(context.problems)
    providers = {type(one): one for one in returned}
    missing = [one.__name__ for one in rule.provides if one not in providers]
    if missing:
        message = f"rule `{target.rule_class.name}` promises {_list(missing)} and returns none"
        raise DiagnosticError(error("OB0333", message, target.span))
    analysis.outputs.add(target, context.actions, tuple(context.declared.values()))
    return AnalyzedTarget(target, MappingProxyType(providers), tuple(context.actions))


def _dependencies(target: Target, analysis: Analysis) -> dict[Label, Dependency] | None:
    """What the rule may know of each label; None if one of them is wrong itself."""
    found: dict[Label, Dependency] = {}
    for use in analysis.graph.uses(target):
        label = use.use.label
        if use.is_source:
            files = DefaultInfo((analysis.loader.workspace.source(label),))
            found[label] = Dependency(label, MappingProxyType({DefaultInfo: files}))
        elif label in analysis.targets:
            found[label] = Dependency(label, analysis.targets[label].providers)
        else:
            return None
    return found


def _models(target: Target, analysis: Analysis) -> dict[Label, object]:
    models: dict[Label, object] = {}
    for use in target.uses:
        marker = use.marked(Validated)
        if marker is not None:
            models[use.label] = analysis.loader.model(use.label, marker, target.span)
    return models


def _wrong_kind(
    target: Target, use: LabelUse, dependency: Dependency, analysis: Analysis
) -> Iterable[Diagnostic]:
    """What a label's markers demand and the label does not have."""
    span = target.value_span(use.location)
    demand = use.marked(Dep)
    missing = [
        one.__name__
        for one in (demand.providers if demand is not None else ())
        if one not in dependency.providers
    ]
    if missing:
        other = analysis.targets.get(use.label)
        kind = f"a `{other.target.rule_class.name}`" if other is not None else "a source file"
        yield error(
            "OB0303",
            f"`{use.label}` has no {_list(missing)}",
            span,
            label=f"attribute `{use.attribute}` needs it",
            notes=(f"`{use.label}` is {kind}",),
        )
    source = use.marked(Source)
    if source is None or not source.suffixes:
        return
    files = dependency.providers.get(DefaultInfo)
    names = [one.path for one in files.files] if isinstance(files, DefaultInfo) else []
    wrong = [one for one in names if not one.endswith(source.suffixes)]
    if wrong:
        yield error(
            "OB0304",
            f"`{use.label}` is no file that attribute `{use.attribute}` can take",
            span,
            label=f"it is `{wrong[0]}`",
            notes=(f"it takes {_list(list(source.suffixes))}",),
        )


def _rule_failed(target: Target, problem: BaseException, loader: Loader) -> Diagnostic:
    """A rule's own error: where in the rule file, and for which target."""
    rule_class = target.rule_class
    text, file = loader.sources.text(rule_class.file)
    attributes = list(rule_class.rule.attrs.model_fields)
    guess = near(getattr(problem, "name", None) or "", attributes)
    return error(
        "OB0334",
        f"rule `{rule_class.name}` fails: {type(problem).__name__}: {problem}",
        failure_span(problem, file, text),
        notes=(f"while it analyses `{target.label}` ({target.span})",),
        helps=(f"an attribute `{guess}` exists",) if guess else (),
    )


def _list(names: list[str]) -> str:
    return ", ".join(f"`{one}`" for one in names)
