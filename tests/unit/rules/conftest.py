"""What the tests of `rules/` share: BUILD files that are loaded and analysed for real."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from occlum_build.action import Action
from occlum_build.analysis.analysis import Analysis, analyze
from occlum_build.diagnostic import Diagnostic
from occlum_build.execution.signing_keys import KeyRing
from occlum_build.label import Label
from occlum_build.loading.loader import Loader
from occlum_build.loading.workspace import find_workspace

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Analyzed:
    """The targets of package `//app`, and what is wrong with them."""

    analysis: Analysis
    problems: tuple[Diagnostic, ...]

    def actions(self, name: str) -> dict[str, Action]:
        """The actions of a target, by mnemonic."""
        return {one.mnemonic: one for one in self.analysis.targets[_label(name)].actions}

    def provider(self, name: str, title: str) -> object:
        """What a target promises, by the name of the provider's class."""
        providers = self.analysis.targets[_label(name)].providers
        return {kind.__name__: value for kind, value in providers.items()}[title]

    @property
    def messages(self) -> list[str]:
        """What is wrong, in words."""
        return [one.message for one in self.problems]


Analyze = Callable[..., Analyzed]


def _label(name: str) -> Label:
    return Label("", "app", name)


@pytest.fixture
def analyzed(tmp_path: Path) -> Analyze:
    """Analyses a BUILD file in package `app` of a workspace of its own, beside `files`."""

    def run(build: str, files: Mapping[str, str] | None = None) -> Analyzed:
        (tmp_path / "app").mkdir()
        (tmp_path / "WORKSPACE.occlum").touch()
        load = 'load("@occlum//rules:defs.bzl", ' + ", ".join(f'"{one}"' for one in RULES) + ")\n"
        (tmp_path / "app/BUILD").write_text(load + build, encoding="utf-8")
        for name, content in (files or {}).items():
            path = tmp_path / "app" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        workspace = find_workspace(tmp_path, ROOT)
        loader = Loader(workspace, workspace.configuration("default"))
        package = loader.package(_label("BUILD"))
        names = package.calls if package is not None else ()
        analysis = analyze([_label(name) for name in names], loader, KeyRing({}).find)
        return Analyzed(analysis, tuple(loader.problems))

    return run


RULES = (
    "alias",
    "cargo_test",
    "cc_binary",
    "deb_archive",
    "deb_lock",
    "deb_rootfs",
    "enclave_app",
    "enclave_test",
    "filegroup",
    "genrule",
    "golden_measurement_test",
    "go_binary",
    "python_script",
    "rootfs",
    "rust_binary",
    "test_suite",
)
