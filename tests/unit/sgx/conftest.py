"""What the tests of `occlum_build.sgx` share: keys, and the program as an action runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.sgx.key import ensure_development_key
from tests.support.sgx_samples import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A signing key; making one takes a second, so there is one for all tests."""
    path = tmp_path_factory.mktemp("keys") / "signing.pem"
    ensure_development_key(path)
    return path


@pytest.fixture
def command() -> Run:
    """Runs `python -m occlum_build.sgx` as an action would."""

    def run(
        *words: str | Path, status: int = 0, limit: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "occlum_build.sgx", *words],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
            preexec_fn=limit,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    return run
