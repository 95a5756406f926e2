"""What the tests of `toolchain/` share: its programs, run as actions run them."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLCHAIN = Path(__file__).resolve().parents[3] / "toolchain"


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    status: int
    stdout: str
    stderr: str


Program = Callable[..., Ended]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Runs a program of `toolchain/` in an empty directory, without the caller's environment."""

    def run(name: str, *words: str | Path, env: dict[str, str] | None = None) -> Ended:
        done = subprocess.run(
            [sys.executable, "-E", "-s", "-S", "-B", TOOLCHAIN / name, *words],
            capture_output=True,
            check=False,
            text=True,
            cwd=tmp_path,
            env=env or {},
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[bytes], str]:
    """Puts a file into the store `store`, as an earlier fetch would have; gives its digest."""

    def put(content: bytes) -> str:
        digest = hashlib.sha256(content).hexdigest()
        (tmp_path / "store/sha256").mkdir(parents=True, exist_ok=True)
        (tmp_path / "store/sha256" / digest).write_bytes(content)
        return digest

    return put


def pin(path: Path, name: str, version: str, sha256: str) -> Path:
    """A lock file with one entry."""
    path.write_text(
        f'[[package]]\nname = "{name}"\nversion = "{version}"\nsha256 = "{sha256}"\n',
        encoding="utf-8",
    )
    return path
