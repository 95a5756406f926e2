"""What the tests of `occlum_build.identity` share: a key, a bundle, and the verbs."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.sgx.key import ensure_development_key
from tests.support.bundles import ROOT, make_bundle

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signing key; making one takes a second, so there is one for all tests."""
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    ensure_development_key(path)
    return path


@pytest.fixture(scope="session")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "other.pem"
    ensure_development_key(path)
    return path


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
