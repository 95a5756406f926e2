"""What the project built of itself, for the tests that look at it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def built(name: str) -> Path:
    """A product of `//libos_src`, which is there for tests that run as targets."""
    return product(f"libos_src/{name}")


def built_bundle(example: str) -> Path:
    """The bundle of an example, likewise."""
    return product(f"examples/{example}/enclave.bundle")


def product(name: str) -> Path:
    """What was built at this place below `out/default/bin`; the test is skipped without it."""
    path = ROOT / "out" / "default" / "bin" / name
    if not path.exists():
        pytest.skip(f"`{name}` is not built: run `./occlum-build test //tests:oracles`")
    return path
