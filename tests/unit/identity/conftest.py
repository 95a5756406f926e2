"""What the tests of `occlum_build.identity` share: a key, a bundle, and the verbs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundles import ROOT, make_bundle
from tests.support.keys import make_key

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory, "signing")


@pytest.fixture(scope="session")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory, "other")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    """A release bundle; a test that changes it copies it first."""
    return make_bundle(tmp_path_factory.mktemp("bundle"), key)


@pytest.fixture
def verb(tmp_path: Path) -> Run:
    """Runs a verb in a directory of no workspace, as a user would."""

    def run(
        *words: str | Path, status: int = 0, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "occlum_build.cli", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **env},
            input=stdin,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run
