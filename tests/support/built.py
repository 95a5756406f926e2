"""What the project built of itself, for the tests that look at it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def built(name: str) -> Path:
    """A product of `//libos_src`, which is there for tests that run as targets."""
    path = ROOT / "out" / "default" / "bin" / "libos_src" / name
    if not path.exists():
        pytest.skip(f"`{name}` is not built: run `./occlum-build test //tests:oracles`")
    return path
