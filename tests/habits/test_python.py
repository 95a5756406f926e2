"""The Python habits that CONTRIBUTING.md promises, held by the tools that know them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("occlum_build", "rules", "toolchain", "tests", "examples", "occlum-build")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def _assert_clean(result: subprocess.CompletedProcess[str]) -> None:
    if result.returncode != 0:
        pytest.fail(f"{result.stdout}\n{result.stderr}")


def test_every_file_is_formatted() -> None:
    _assert_clean(_run("ruff", "format", "--no-cache", "--check", *SOURCES))


def test_no_lint_rule_is_broken() -> None:
    _assert_clean(_run("ruff", "check", "--no-cache", *SOURCES))


# The engine as its configuration says, the programs of actions each by itself, as they run, and
# what imports the engine.
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["toolchain"],
        ["--explicit-package-bases", "rules", "tests"],
    ],
    ids=["engine", "toolchain", "rules_and_tests"],
)
def test_every_type_is_right(words: list[str], tmp_path: Path) -> None:
    _assert_clean(_run("mypy", "--cache-dir", str(tmp_path / "mypy"), *words))


def test_every_import_points_the_one_way() -> None:
    # Its module does nothing when it is run: a check of its exit status alone would always pass.
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    result = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    _assert_clean(result)
    assert " kept, 0 broken" in result.stdout
