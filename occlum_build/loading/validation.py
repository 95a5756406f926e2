"""Runs the checks that rules ask for on source files, such as that of an Occlum.yaml."""

import importlib
from collections.abc import Callable
from typing import Any

from occlum_build.diagnostic import Diagnostic, DiagnosticError, error

_OURS = "occlum_build."


def run_check(
    check: Callable[[str, str], tuple[object | None, list[Diagnostic]]] | str, text: str, file: str
) -> tuple[object | None, list[Diagnostic]]:
    """The model of a text, and what is wrong with it."""
    function = _function(check) if isinstance(check, str) else check
    model, problems = function(text, file)
    return model, list(problems)


def _function(name: str) -> Any:
    """`module:function` of a module that ships with the tool.

    Only rules name it, at run time: the engine depends on none of these modules.
    """
    module, _, function = name.partition(":")
    if not module.startswith(_OURS):
        message = f"`{name}` is no check: its module does not ship with the tool"
        raise DiagnosticError(error("OB0124", message))
    return getattr(importlib.import_module(module), function)
