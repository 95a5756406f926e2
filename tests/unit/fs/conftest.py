"""What the tests of `occlum_build.fs` share: trees to pack, programs to judge them."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.fs.archive import write_archive
from occlum_build.fs.tree import Tree

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def judge() -> Run:
    """Runs an outside program that must succeed; the test is skipped where it is missing."""

    def run(*words: str | Path, status: int = 0) -> subprocess.CompletedProcess[bytes]:
        program = str(words[0])
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed")
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "LC_ALL": "C"}
        done = subprocess.run(words, capture_output=True, env=environment, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def command() -> Run:
    """Runs `python -m occlum_build.fs` as an action would."""

    def run(
        *words: str | Path,
        status: int = 0,
        limit: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        root = Path(__file__).resolve().parents[3]
        done = subprocess.run(
            [sys.executable, "-m", "occlum_build.fs", *words],
            capture_output=True,
            env={"PYTHONPATH": str(root), "PATH": os.environ["PATH"]},
            preexec_fn=limit,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode()
        return done

    return run


@pytest.fixture
def archive_of(tmp_path: Path) -> Callable[[Tree], bytes]:
    """The canonical tar of a tree, which is its identity."""

    def bytes_of(tree: Tree) -> bytes:
        buffer = io.BytesIO()
        write_archive(tree, buffer)
        path = tmp_path / "identity.tar"
        path.unlink(missing_ok=True)  # the tree may be read from it
        path.write_bytes(buffer.getvalue())
        return buffer.getvalue()

    return bytes_of


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A directory with one of everything that an unprivileged user can make."""
    root = tmp_path / "sample"
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_bytes(b"#!/bin/sh\necho hi\n")
    (root / "bin/tool").chmod(0o4755)
    (root / "bin/also").hardlink_to(root / "bin/tool")
    (root / "bin/sh").symlink_to("tool")
    (root / "etc").mkdir()
    (root / "etc/empty").touch()
    (root / "etc/secret").write_bytes(b"x" * 5000)
    (root / "etc/secret").chmod(0o600)
    (root / "etc/block").write_bytes(b"b" * 4096)
    (root / "etc/large").write_bytes(os.urandom(3_000_001))
    (root / "etc/absolute").symlink_to("/bin/tool")
    (root / "etc/dangling").symlink_to("n" * 4090)
    os.mkfifo(root / "etc/pipe", 0o640)
    (root / "tmp").mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "many").mkdir()
    for number in range(700):
        (root / "many" / f"{number:x}-{'n' * (number % 200)}").write_bytes(b"%d" % number * number)
    (root / os.fsdecode(b"caf\xc3\xa9 \xff")).write_bytes(b"bytes")
    (root / ("d" * 120)).mkdir()
    (root / ("d" * 120) / ("f" * 200)).write_bytes(b"long")
    return root
