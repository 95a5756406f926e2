"""A command whose answer is known costs nothing, and is never wrong."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.workspace import ROOT, Workspace

REPLAY = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from occlum_build.cli.start import replay;"
    "answer = replay(sys.argv[1:]);"
    "print('asked', sorted(m for m in sys.modules if m.partition('.')[0] in"
    " {'argparse','networkx','pathlib','pydantic','starlark','subprocess','yaml'}))"
    " if answer is not None else print('worked')"
)


@pytest.fixture
def built(workspace: Workspace) -> Workspace:
    workspace.build_file(
        'shell(name = "t", srcs = glob(["*.txt"]), outs = ["o"], cmd = "cat $IN > $OUT")'
    )
    workspace.write("app/a.txt", "one\n")
    time.sleep(0.1)
    workspace.build("//...")
    workspace.build("//...")
    return workspace


def replay(workspace: Workspace) -> str:
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", REPLAY, str(ROOT), "build", "//..."],
        cwd=workspace.root,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_the_same_build_is_answered_from_memory(built: Workspace) -> None:
    assert replay(built) == "built 1 target\nasked []\n"


def _edit(workspace: Workspace) -> None:
    workspace.write("app/a.txt", "two\n")


def _add(workspace: Workspace) -> None:
    workspace.write("app/b.txt", "two\n")


def _edit_build_file(workspace: Workspace) -> None:
    with (workspace.root / "app/BUILD").open("a") as file:
        file.write("#\n")


def _edit_rule(workspace: Workspace) -> None:
    with (workspace.root / "tools/shell.py").open("a") as file:
        file.write("#\n")


def _new_package(workspace: Workspace) -> None:
    workspace.write("app/sub/BUILD", "")


def _delete_output(workspace: Workspace) -> None:
    workspace.output("app/o").unlink()


def _forge_output(workspace: Workspace) -> None:
    workspace.output("app/o").chmod(0o644)


def _edit_with_the_old_time_and_size(workspace: Workspace) -> None:
    path = workspace.root / "app/a.txt"
    status = path.stat()
    path.write_text("two\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        _edit,
        _add,
        _edit_build_file,
        _edit_rule,
        _new_package,
        _delete_output,
        _forge_output,
        _edit_with_the_old_time_and_size,
    ],
)
def test_any_change_is_noticed(built: Workspace, change: Callable[[Workspace], None]) -> None:
    change(built)

    assert replay(built) == "worked\n"


def test_a_broken_memory_is_no_memory(built: Workspace) -> None:
    for file in (built.root / ".occlum-build/fingerprints").iterdir():
        file.write_bytes(b"\x00broken")
    (built.root / ".occlum-build/digests.bin").write_bytes(b"broken")

    assert replay(built) == "worked\n"
    assert built.executed("//...") == []


def test_a_file_changed_while_the_build_ran_is_not_taken_for_built(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.build_file(
        'shell(name = "t", srcs = ["a.txt"], outs = ["o"],'
        f' cmd = "cat $IN > $OUT; echo changed > {tmp_path}/workspace/app/a.txt")'
    )
    workspace.write("app/a.txt", "one\n")
    workspace.run("build", "//...")

    assert replay(workspace) == "worked\n"
