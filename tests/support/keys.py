"""Signing keys of tests: made once a run, as making one takes a second."""

from pathlib import Path

import pytest

from occlum_build.sgx.key import ensure_development_key


def make_key(factory: pytest.TempPathFactory, name: str) -> Path:
    path = factory.mktemp("keys") / f"{name}.pem"
    ensure_development_key(path)
    return path
