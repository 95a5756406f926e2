"""The loader: labels in, checked targets and source files out."""

import os
from collections.abc import Iterable
from typing import Any

from occlum_build.attribute import Validated
from occlum_build.configuration import Configuration
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Severity, Span, error, near
from occlum_build.label import Label
from occlum_build.loading.attributes import checked_target
from occlum_build.loading.evaluation import Evaluator
from occlum_build.loading.package import Package, Target
from occlum_build.loading.sources import Sources
from occlum_build.loading.validation import run_check
from occlum_build.loading.workspace import BUILD_FILE, Workspace


class Loader:
    """Everything that text says, loaded when it is asked for, each thing once.

    Problems are collected in `problems`; what could be loaded in spite of them is
    returned, so that one run shows them all. `None` means "wrong, and already said".
    """

    def __init__(self, workspace: Workspace, configuration: Configuration) -> None:
        """Load in `workspace`, for `configuration`."""
        self.workspace = workspace
        self.configuration = configuration
        self.sources = Sources(workspace)
        self.problems: list[Diagnostic] = []
        self._reported: set[Diagnostic] = set()
        self._evaluator = Evaluator(self.sources)
        self._packages: dict[Label, Package | None] = {}
        self._targets: dict[Label, Target | None] = {}
        self._files: set[Label] = set()
        self._models: dict[tuple[Label, str], object | None] = {}

    def report(self, problem: Diagnostic | DiagnosticError) -> None:
        """Remember a problem; the same one is remembered once."""
        found = problem.diagnostics if isinstance(problem, DiagnosticError) else (problem,)
        self.problems += [one for one in dict.fromkeys(found) if one not in self._reported]
        self._reported.update(found)

    def has_errors(self) -> bool:
        """Whether anything is wrong so far."""
        return any(one.severity is Severity.ERROR for one in self.problems)

    def package(self, label: Label, span: Span | None = None) -> Package | None:
        """The package that `label` lies in."""
        build_file = label.sibling(BUILD_FILE)
        if build_file not in self._packages:
            self._packages[build_file] = None
            if self.sources.has_package(build_file):
                package, problems = self._evaluator.package(build_file)
                self._packages[build_file] = package
                for problem in problems:
                    self.report(problem)
            else:
                self.report(self._no_package(label, span))
        return self._packages[build_file]

    def files(self, package: Package) -> list[Label]:
        """The source files that a package speaks of: its own text is one of them."""
        targets = (self.target(package.label.sibling(name)) for name in package.calls)
        used = [use.label for one in targets if one is not None for use in one.uses]
        named = {package.label, *map(package.label.sibling, package.exported), *used}
        return sorted(
            one
            for one in named
            if one.sibling(BUILD_FILE) == package.label and one.name not in package.calls
        )

    def texts(self, label: Label) -> list[Label]:
        """The BUILD file that `label` lies in, and all that it loads."""
        self.package(label)
        return self._evaluator.texts(label.sibling(BUILD_FILE))

    def target(self, label: Label) -> Target | None:
        """The target `label`, with its attributes checked."""
        if label not in self._targets:
            package = self.package(label)
            call = package.calls.get(label.name) if package is not None else None
            self._targets[label] = None
            if package is not None and call is not None:
                defaults: dict[str, Any] = {"visibility": list(package.default_visibility)}
                if package.default_testonly:
                    defaults["testonly"] = True
                try:
                    self._targets[label] = checked_target(
                        call, self.configuration, self.workspace, defaults
                    )
                except DiagnosticError as problem:
                    self.report(problem)
        return self._targets[label]

    def find(
        self, label: Label, span: Span | None = None, notes: Iterable[str] = ()
    ) -> Target | Label | None:
        """What `label` names: a target, or a source file (its label); None is reported.

        Whoever names it does so at `span`, of which `notes` say more.
        """
        known = len(self.problems)
        found = self._find(label, span)
        new = self.problems[known:]
        del self.problems[known:]
        self._reported.difference_update(new)
        for one in new:
            self.report(one.noting(notes) if one.span == span else one)
        return found

    def _find(self, label: Label, span: Span | None) -> Target | Label | None:
        if label in self._files:
            return label
        try:
            package = self.package(label, span)
            if package is None:
                return None
            if label.name in package.calls:
                return self.target(label)
            if self.sources.is_file(label):
                self.sources.check_inside(label, span)
                self._files.add(label)
                return label
        except DiagnosticError as problem:
            self.report(DiagnosticError([one.at(span) for one in problem.diagnostics]))
            return None
        if package.is_whole:
            self.report(self._no_target(label, package, span))
        return None

    def model(self, label: Label, marker: Validated, span: Span | None) -> object | None:
        """What the marker's check makes of the source file `label`."""
        key = (label, str(marker.check))
        if key not in self._models:
            self._models[key] = None
            try:
                text, file = self.sources.text(label, span)
                self._models[key], problems = run_check(marker.check, text, file)
            except DiagnosticError as problem:
                self.report(problem)
            else:
                for found in problems:
                    self.report(found)
        return self._models[key]

    def _no_package(self, label: Label, span: Span | None) -> Diagnostic:
        directory = self.workspace.package_directory(label)
        parent = directory.parent
        siblings = (
            [one.name for one in parent.iterdir() if (one / BUILD_FILE).is_file()]
            if parent.is_dir()
            else []
        )
        guess = near(directory.name, siblings)
        at = f"@{label.repository}" if label.repository else ""
        helps: tuple[str, ...] = ()
        if guess and guess != directory.name:
            folder = label.package.rpartition("/")[0]
            helps = (f"a package `{at}//{folder}{'/' if folder else ''}{guess}` exists",)
        elif os.path.lexists(directory / BUILD_FILE):
            helps = (f"`{BUILD_FILE}` is there, and is no file that can be read",)
        elif directory.is_dir():
            helps = (f"the directory has no file `{BUILD_FILE}`",)
        return error("OB0104", f"no package `{at}//{label.package}`", span, helps=helps)

    def _no_target(self, label: Label, package: Package, span: Span | None) -> Diagnostic:
        missing = self.sources.missing(label, span)
        if missing.notes:
            return missing
        guess = near(label.name, package.calls)
        helps = missing.helps
        if guess:
            helps = (f"a target `{label.sibling(guess)}` exists",)
        if "." in label.name.rpartition("/")[2]:
            message = f"no target or file `{label}`"
        else:
            message = f"no target `{label}`"
        return error("OB0103", message, span, helps=helps)
