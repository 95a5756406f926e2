"""Where the enclaves of suites are kept."""

from pathlib import Path

import pytest

from occlum_build.cli.arguments import make_file_parser
from occlum_build.conformance import verb


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("OCCLUM_BUILD_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(verb, "__file__", str(tmp_path / "tool/occlum_build/conformance/verb.py"))
    (tmp_path / "tool").mkdir()
    return tmp_path / "tool"


def kept() -> object:
    return make_file_parser("conformance").get_default("cache")


def test_a_checkout_keeps_them_itself(tool: Path) -> None:
    (tool / "occlum-build").touch()

    assert kept() == tool / ".occlum-build"


def test_what_was_installed_does_not_grow(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept() == tool.parent / "caches/occlum-build"

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tool.parent / "home"))
    assert kept() == tool.parent / "home/.cache/occlum-build"


def test_the_user_may_say_where(tool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCCLUM_BUILD_CACHE", str(tool.parent / "elsewhere"))

    assert kept() == tool.parent / "elsewhere"
