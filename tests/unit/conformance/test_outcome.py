"""Running a program to its end."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from occlum_build.conformance.outcome import Outcome, Runs

ENV = {"PATH": "/usr/bin:/bin", "WORD": "spoken"}


def shell(directory: Path, script: str, seconds: float = 30.0) -> Outcome:
    return Runs().run(["/bin/sh", "-c", script], directory=directory, env=ENV, seconds=seconds)


def test_a_program_sees_its_directory_and_the_given_environment_alone(tmp_path: Path) -> None:
    ended = shell(tmp_path, "pwd; echo $WORD $HOME; cat; echo err >&2; exit 7")

    assert (ended.status, ended.timed_out) == (7, False)
    assert ended.stdout == f"{tmp_path}\nspoken\n".encode()
    assert ended.stderr == b"err\n"


def test_a_signal_is_a_status_above_128(tmp_path: Path) -> None:
    assert shell(tmp_path, "kill -SEGV $$").status == 128 + 11


def test_a_program_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    begun = time.monotonic()

    ended = shell(tmp_path, "sleep 600 & echo $! > child; wait", seconds=0.5)

    assert ended.timed_out
    assert time.monotonic() - begun < 30
    child = int((tmp_path / "child").read_text())
    assert _is_gone(child)


def test_what_a_program_leaves_running_ends_with_it(tmp_path: Path) -> None:
    ended = shell(tmp_path, "sleep 600 >/dev/null 2>&1 & echo $! > child")

    assert not ended.timed_out
    assert _is_gone(int((tmp_path / "child").read_text()))


def test_what_a_program_leaves_in_a_group_of_its_own_ends_with_it(tmp_path: Path) -> None:
    leave = "import os, time; os.setpgid(0, 0); print(os.getpid(), flush=True); time.sleep(600)"

    ended = shell(
        tmp_path,
        f'{sys.executable} -c "{leave}" >child 2>/dev/null & '
        "until test -s child; do sleep 0.05; done",
    )

    assert not ended.timed_out
    assert _is_gone(int((tmp_path / "child").read_text()))


def test_all_that_runs_is_ended_at_once_and_nothing_else_begins(tmp_path: Path) -> None:
    runs = Runs()
    script = ["/bin/sh", "-c", "sleep 600 & echo $! > child; wait"]
    ended: list[Outcome] = []

    def run() -> None:
        ended.append(runs.run(script, directory=tmp_path, env=ENV, seconds=600))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    child = _number(tmp_path / "child")
    runs.end()
    thread.join(30)

    assert [one.status for one in ended] == [128 + 9]
    assert _is_gone(child)
    with pytest.raises(InterruptedError):
        runs.run(script, directory=tmp_path, env=ENV, seconds=600)


def _number(path: Path) -> int:
    """What a program writes into this file, sooner or later."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()).endswith("\n"):
            return int(text)
        time.sleep(0.01)
    pytest.fail(f"{path} is not written")


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        os.sched_yield()
    return False
