"""Failures of actions, as diagnostics: which target, what it said, how to look closer."""

import shlex
import sys
from pathlib import Path
from typing import Final

from occlum_build.analysis.analysis import Analysis
from occlum_build.diagnostic import Diagnostic, error
from occlum_build.execution.ninja_process import NinjaResult
from occlum_build.execution.plan import Plan, Step

_LAST_LINES: Final = 20
_RUNNER: Final = Path(__file__).with_name("runner")


def failures(analysis: Analysis, plan: Plan, result: NinjaResult) -> list[Diagnostic]:
    """One diagnostic for each action that failed; one if ninja itself did."""
    if result.status == 0:
        return []
    if result.is_disk_full:
        return [
            error(
                "OB0403",
                "no space is left on the device",
                notes=(f"while building in `{plan.layout.root / plan.layout.directory}`",),
                helps=("`occlum-build clean` deletes all outputs; nothing is half-written",),
            )
        ]
    found = [
        _failure(analysis, plan, plan.step_of(record), message)
        for record, message in sorted(result.failures.items())
    ]
    if found:
        return found
    notes = tuple(result.output.strip().split("\n")) or (f"its status is {result.status}",)
    helps = ("`occlum-build clean` deletes all outputs",)
    return [error("OB0409", "ninja failed for a reason of its own", notes=notes, helps=helps)]


def _failure(analysis: Analysis, plan: Plan, step: Step, message: str) -> Diagnostic:
    action = step.action
    target = analysis.targets.get(action.owner)
    log = plan.layout.action_file(action, "log")
    said, is_cut = _last_lines(plan.layout.root / log)
    spec = plan.layout.action_file(action, "json")
    again = [sys.executable, "-I", "-S", str(_RUNNER), str(plan.layout.root / spec), "--keep"]
    notes = []
    if said:
        title = f"its last {_LAST_LINES} lines" if is_cut else "it said"
        notes.append("\n".join([f"{title}:", *said]))
        notes.append(f"all of it is in `{log}`")
    else:
        notes.append("it said nothing")
    span = target.target.call.span if target is not None else None
    notes += target.target.call.notes(span) if target is not None and span is not None else ()
    return error(
        "OB0401",
        f"`{action.mnemonic}` of `{action.owner}` failed: {message}",
        span,
        label="declared here",
        notes=notes,
        helps=(f"run it alone, and keep its directory, with\n{shlex.join(again)}",),
    )


def _last_lines(log: Path) -> tuple[list[str], bool]:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").rstrip().split("\n")
    except OSError:
        return [], False
    lines = [line.rpartition("\r")[2] if "\r" in line.rstrip("\r") else line for line in lines]
    if lines == [""]:
        return [], False
    return lines[-_LAST_LINES:], len(lines) > _LAST_LINES
