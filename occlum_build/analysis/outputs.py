"""Outputs: each path is made by exactly one action, and none lies inside another."""

from collections.abc import Sequence

from occlum_build.action import Action
from occlum_build.artifact import Artifact
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error
from occlum_build.loading.package import Target


class Outputs:
    """Which action makes which path, over all targets of a run."""

    def __init__(self) -> None:
        """Know of no output yet."""
        self._makers: dict[str, tuple[Target, Action]] = {}
        self._folders: dict[str, str] = {}

    def maker(self, artifact: Artifact) -> Action | None:
        """The action that makes `artifact`; None for sources."""
        found = self._makers.get(artifact.path)
        return found[1] if found is not None else None

    def add(self, target: Target, actions: Sequence[Action], declared: Sequence[Artifact]) -> None:
        """Take in what the rule of `target` declared.

        Raises:
            DiagnosticError: with each conflict; the target is then not added.
        """
        problems = [found for action in actions for found in self._conflicts(target, action)]
        problems += _conflicts_inside(target, actions)
        if _has_cycle(actions):
            message = f"rule `{target.rule_class.name}` makes actions that need each other"
            problems.append(error("OB0301", message, target.span, label=f"in `{target.label}`"))
        made = {output.path for action in actions for output in action.outputs}
        problems += [
            error(
                "OB0332",
                f"rule `{target.rule_class.name}` declares `{one.name}`, and no action makes it",
                target.span,
                label=f"in `{target.label}`",
            )
            for one in declared
            if one.path not in made
        ]
        problems += [
            error(
                "OB0332",
                f"rule `{target.rule_class.name}` makes `{output.path}`, which it did not declare",
                target.span,
                label=f"in `{target.label}`",
                helps=("an action makes what `declare_file` and `declare_directory` return",),
            )
            for action in actions
            for output in action.outputs
            if output not in declared
        ]
        if problems:
            raise DiagnosticError(problems)
        for action in actions:
            for output in action.outputs:
                self._makers[output.path] = (target, action)
                for folder in _folders_of(output.path):
                    self._folders.setdefault(folder, output.path)

    def _conflicts(self, target: Target, action: Action) -> list[Diagnostic]:
        problems = []
        for output in action.outputs:
            others = [output.path, *_folders_of(output.path)]
            other = next((one for one in others if one in self._makers), None)
            if other is None and output.path in self._folders:
                other = self._folders[output.path]
            if other is None:
                continue
            owner = self._makers[other][0]
            is_same = other == output.path
            what = f"both make `{output.path}`" if is_same else "make paths inside each other"
            notes = [f"`{owner.label}` is at {owner.span}"]
            if not is_same:
                notes.insert(0, f"`{output.path}` and `{other}`")
            problems.append(
                error(
                    "OB0305" if is_same else "OB0306",
                    f"`{target.label}` and `{owner.label}` {what}",
                    target.span,
                    notes=notes,
                    helps=("give one of the outputs another name",),
                )
            )
        return problems


def _conflicts_inside(target: Target, actions: Sequence[Action]) -> list[Diagnostic]:
    """Outputs that two actions of one target make: its rule is wrong."""
    seen: set[str] = set()
    problems = []
    for output in (output for action in actions for output in action.outputs):
        if output.path in seen or any(one in seen for one in _folders_of(output.path)):
            rule = target.rule_class.name
            message = f"rule `{rule}` has two actions that make `{output.path}`"
            problems.append(error("OB0305", message, target.span, label=f"in `{target.label}`"))
        seen.add(output.path)
    return problems


def _has_cycle(actions: Sequence[Action]) -> bool:
    """Whether an action needs what can only be made after it; between targets none does."""
    missing = {output for action in actions for output in action.outputs}
    waiting = list(actions)
    while waiting:
        stuck = [action for action in waiting if not missing.isdisjoint(action.inputs)]
        if len(stuck) == len(waiting):
            return True
        missing = {output for action in stuck for output in action.outputs}
        waiting = stuck
    return False


def _folders_of(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
