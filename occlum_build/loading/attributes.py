"""Attributes of a call, checked by its rule's model; what is wrong points at the text."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from occlum_build.attribute import label_uses
from occlum_build.configuration import Configuration
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, near
from occlum_build.loading.package import Target, TargetCall
from occlum_build.loading.select import (
    NoMatchError,
    known_conditions,
    resolve,
    unknown_conditions,
)
from occlum_build.loading.workspace import Workspace


def checked_target(
    call: TargetCall,
    configuration: Configuration,
    workspace: Workspace,
    defaults: Mapping[str, Any],
) -> Target:
    """The target that `call` describes in `configuration`.

    `defaults` are what the package says for attributes that the call leaves out.

    Raises:
        DiagnosticError: with everything that is wrong in the call.
    """
    values = dict(defaults)
    problems: list[Diagnostic] = []
    for name, value in call.attributes.items():
        if not call.label.repository:  # another repository has configurations of its own in mind
            problems += _misspelt(call, name, workspace)
        try:
            resolved = resolve(value, configuration)
        except NoMatchError as problem:
            problems.append(_no_match(call, name, configuration, problem))
            continue
        problems += [_odd_key(call, name, one) for one in _odd_keys(resolved)]
        if resolved is not None:  # `None` means "not said", as it does in Bazel's macros
            values[name] = resolved
    if problems:
        raise DiagnosticError(problems)
    model = call.rule_class.rule.attrs
    context = {
        "package": call.label.package,
        "repository": call.label.repository,
        "canonical": workspace.canonical,
    }
    try:
        attrs = model.model_validate_json(json.dumps(values), context=context)
    except ValidationError as problem:
        found = problem.errors()
        meant = {_meant(call, str(one["loc"][0])) for one in found if _is_unknown(one)}
        raise DiagnosticError(
            [
                _explained(call, one)
                for one in found
                if not (one["type"] == "missing" and one["loc"][0] in meant)
            ]
        ) from None
    return Target(call.label, call.rule_class, attrs, label_uses(attrs), call)


def _misspelt(call: TargetCall, name: str, workspace: Workspace) -> list[Diagnostic]:
    """What is wrong with the conditions of an attribute: a typo would take the default."""
    configurations = workspace.file.configurations
    known = known_conditions(configurations)
    problems = []
    for one in unknown_conditions(call.attributes[name], configurations):
        guess = near(one, known)
        listed = ", ".join(f"`{each}`" for each in known)
        problems.append(
            error(
                "OB0128",
                f"no configuration of `WORKSPACE.occlum` satisfies `{one}`",
                call.value((name, 0), one) or call.site.span,
                label=f"attribute `{name}` of `{call.label}`",
                notes=(f"some configuration satisfies each of {listed}",),
                helps=(f"a condition `{guess}` exists",) if guess else (),
            )
        )
    return problems


def _no_match(
    call: TargetCall, name: str, configuration: Configuration, problem: NoMatchError
) -> Diagnostic:
    conditions = ", ".join(f"`{one}`" for one in problem.conditions) or "none"
    return error(
        "OB0118",
        f"nothing in this `select()` holds in configuration `{configuration.name}`",
        call.value((name,)) or call.site.span,
        label=f"attribute `{name}` of `{call.label}`",
        notes=(f"its conditions are {conditions}",),
        helps=("add a choice for `default`",),
    )


def _odd_keys(value: object) -> Iterator[object]:
    """Keys of dictionaries that are no strings: JSON would turn them into some."""
    if isinstance(value, dict):
        yield from (one for one in value if not isinstance(one, str))
        for member in value.values():
            yield from _odd_keys(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _odd_keys(member)


def _odd_key(call: TargetCall, name: str, key: object) -> Diagnostic:
    span = call.key((name, key)) if isinstance(key, int) else None
    return error(
        "OB0112",
        f"attribute `{name}` of `{call.label}` is wrong: a key is a string, not {_shown(key)}",
        span or call.value((name,)) or call.site.span,
    )


def _is_unknown(problem: Mapping[str, Any]) -> bool:
    return problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1


def _meant(call: TargetCall, attribute: str) -> str | None:
    """The attribute that a misspelled one was meant to be: it is then not missing too."""
    return near(attribute, call.rule_class.rule.attrs.model_fields)


def _explained(call: TargetCall, problem: Mapping[str, Any]) -> Diagnostic:
    location = tuple(problem["loc"])
    attribute = str(location[0]) if location else ""
    known = list(call.rule_class.rule.attrs.model_fields)
    rule = call.rule_class.name
    if _is_unknown(problem):
        guess = _meant(call, attribute)
        listed = ", ".join(f"`{one}`" for one in known)
        span = call.site.keyword(attribute) or call.site.span
        return error(
            "OB0110",
            f"rule `{rule}` has no attribute `{attribute}`",
            span,
            label=f"in target `{call.label}`",
            notes=call.notes(span),
            helps=(f"an attribute `{guess}` exists" if guess else f"it has {listed}",),
        )
    if problem["type"] == "missing" and len(location) == 1:
        description = call.rule_class.rule.attrs.model_fields[attribute].description
        return error(
            "OB0111",
            f"target `{call.label}` lacks the attribute `{attribute}`",
            call.site.span,
            label=f"rule `{rule}` needs it",
            notes=(
                *call.notes(call.site.span),
                *((f"`{attribute}`: {description}",) if description else ()),
            ),
        )
    span = _span(call, location, problem["input"])
    return error(
        "OB0112",
        f"attribute `{_place(location)}` of `{call.label}` is wrong: {_wording(problem)}",
        span,
        notes=call.notes(span),
    )


def _place(location: tuple[Any, ...]) -> str:
    head, *rest = location or ("",)
    return str(head) + "".join(f"[{one}]" for one in rest)


def _span(call: TargetCall, location: tuple[Any, ...], value: object) -> Span:
    text = value if isinstance(value, str) else None
    return call.value(location, text) or call.site.span


def _wording(problem: Mapping[str, Any]) -> str:
    """What pydantic found, in our words."""
    kind = str(problem["type"])
    found = _shown(problem["input"])
    needed = {
        "string_type": "a string",
        "int_type": "an integer",
        "bool_type": "`True` or `False`",
        "tuple_type": "a list",
        "list_type": "a list",
        "dict_type": "a dictionary",
        "float_type": "a number",
        "model_type": "a dictionary",
    }.get(kind)
    if needed:
        return f"{needed} is needed, not {found}"
    if kind in {"literal_error", "enum"}:
        return f"{problem['ctx'].get('expected')} is needed, not {found}"
    message = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
    limit = 60
    return f"`{text}`" if len(text) <= limit else f"`{text[:limit]}…`"
