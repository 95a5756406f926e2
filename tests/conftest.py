"""What all tests share: golden files, and how much patience hypothesis has."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Other work runs beside the tests: how long one example takes says nothing about the code. A run
# tries the same examples as the last; `--hypothesis-profile=search` looks for others.
_PATIENT = settings(deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", _PATIENT)
settings.register_profile("occlum-build", _PATIENT, derandomize=True, database=None)
settings.load_profile("occlum-build")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option that lets a run change the tests' own files."""
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write what is into the golden files instead of comparing",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compares a text with a file that a person has read and agreed to."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden"):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path.name} is missing: run once with --update-golden"
        assert text == path.read_text(encoding="utf-8")

    return compare
