"""What the project built of itself, for the tests that look at it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def built(name: str) -> Path:
    """A product of `//libos_src`, which is there for tests that run as targets."""
    return _product(f"libos_src/{name}")


def built_bundle(example: str) -> Path:
    """The bundle of an example, likewise."""
    return _product(f"examples/{example}/enclave.bundle")


def _product(name: str) -> Path:
    path = ROOT / "out" / "default" / "bin" / name
    if not path.exists():
        pytest.skip(f"`{name}` is not built: run `./occlum-build test //tests:oracles`")
    return path
