"""`audit --twice`: an action that looks at the machine is caught, whatever it looks at."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.workspace import Workspace

INTERRUPTED = 130
LEAKS = {
    "path": "pwd > $OUT",
    "user": "id -u > $OUT",
    "host name": "uname -n > $OUT",
    "processors": "nproc > $OUT",
    "clock": "date -u > $OUT",
}


def twice(workspace: Workspace, *words: str) -> tuple[int, str]:
    outcome = workspace.run("audit", "//app:t", "--twice", *words)
    return outcome.status, outcome.out + outcome.err


def varied(workspace: Workspace) -> dict[str, bool]:
    """What this machine lets vary."""
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo 1 > $OUT")')
    outcome = workspace.run("audit", "//app:t", "--twice", "--json")
    found = json.loads(outcome.out)
    return {one["name"]: one["varied"] for one in found["circumstances"]}


def test_an_action_that_depends_on_its_inputs_comes_out_the_same(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", srcs = ["a"], outs = ["o"], out_dirs = ["d"],'
        ' cmd = "mkdir -p out/default/bin/app/d; cp app/a out/default/bin/app/d/x;'
        ' cp app/a out/default/bin/app/o; env | grep EVIL >> out/default/bin/app/o || true")'
    )
    workspace.write("app/a", "text")

    status, said = twice(workspace)

    assert status == 0, said
    assert "MATCH: all are the same" in said


@pytest.mark.parametrize("circumstance", LEAKS)
def test_an_action_that_looks_at_the_machine_is_caught(
    workspace: Workspace, circumstance: str
) -> None:
    if not varied(workspace)[circumstance]:
        pytest.skip(f"this machine does not let the {circumstance} vary")
    workspace.build_file(f'shell(name = "t", outs = ["o"], cmd = "{LEAKS[circumstance]}")')

    status, said = twice(workspace)

    assert status == 1, said
    assert "app/o" in said
    assert "MISMATCH: it depends on more than its inputs" in said


def test_the_circumstances_that_can_vary_do(workspace: Workspace) -> None:
    found = varied(workspace)

    always = {"path", "umask", "time zone", "locale", "actions at once", "order of files",
              "times of files", "variables", "settings of cargo", "user", "clock"}  # fmt: skip
    assert {name for name in always if not found[name]} == set()
    assert "date" in found
    if shutil.which("unshare") is None:
        assert not found["host name"]


def test_findings_are_there_for_programs_too(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "pwd > $OUT")')

    outcome = workspace.run("audit", "//app:t", "--twice", "--json")

    found = json.loads(outcome.out)
    assert outcome.status == 1
    assert (found["schema"], found["verdict"]) == (1, "mismatch")
    assert [one["path"] for one in found["differences"]] == ["app/o"]


def test_a_target_that_does_not_build_has_no_verdict(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo broken >&2; false")')

    status, said = twice(workspace)

    assert status == 2
    assert "error[OB0812]" in said
    assert "broken" in said


@pytest.mark.parametrize(
    ("tell", "number"),
    [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGHUP), (os.killpg, signal.SIGQUIT)],
)
def test_an_audit_that_is_stopped_leaves_nothing_behind(
    workspace: Workspace, tmp_path: Path, tell: Callable[[int, int], None], number: int
) -> None:
    """A terminal tells all of the group, also the build that the audit has started."""
    begun, place = tmp_path / "begun", tmp_path / "audits"
    place.mkdir()
    workspace.build_file(
        f'shell(name = "t", outs = ["o"], network = True,'
        f' cmd = "echo $$ > {begun}; exec sleep 300")'
    )
    process = subprocess.Popen(
        workspace.command("audit", "//app:t", "--twice"),
        cwd=workspace.root,
        env=workspace.environment({"TMPDIR": str(place)}),
        stderr=subprocess.PIPE,
        process_group=0,
    )
    deadline = time.monotonic() + 60
    while not (begun.is_file() and begun.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)

    tell(process.pid, number)
    process.communicate(timeout=60)

    assert process.returncode == INTERRUPTED
    assert not list(place.iterdir())
    assert not Path(f"/proc/{begun.read_text().strip()}").exists()


def test_builds_can_be_kept_and_are_never_written_over(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo 1 > $OUT")')
    kept = workspace.root.parent / "kept"

    assert twice(workspace, "--keep", str(kept))[0] == 0
    assert (kept / "a/x/source/out/default/bin/app/o").read_text() == "1\n"
    status, said = twice(workspace, "--keep", str(kept))

    assert status == 2
    assert "error[OB0814]" in said


def test_the_workspace_that_is_audited_stays_as_it_is(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo 1 > $OUT")')

    twice(workspace)

    assert not (workspace.root / "out").exists()


def test_an_audit_needs_something_to_compare_with(workspace: Workspace) -> None:
    workspace.build_file("")

    outcome = workspace.run("audit", "bundle")

    assert outcome.status == 2
    assert "an audit needs something to compare with" in outcome.err
