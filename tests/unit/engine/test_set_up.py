"""Set-up: complete or not there, and clear about what is missing."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from occlum_build.execution import environment as module
from occlum_build.execution.environment import SetUpError, environment
from tests.support.workspace import ROOT

INTERRUPTED = 130


def test_a_package_with_another_digest_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"nothing==1.0 --hash=sha256:{'0' * 64}\n")
    os.environ["PIP_NO_INDEX"], os.environ["PIP_FIND_LINKS"] = "1", str(wheels)
    try:
        with pytest.raises(SetUpError, match="pip ended with status 1"):
            environment(str(lock), str(tmp_path / "cache"))
    finally:
        del os.environ["PIP_NO_INDEX"], os.environ["PIP_FIND_LINKS"]

    assert [one.name for one in (tmp_path / "cache").iterdir()] == ["set-up.lock"]
    assert "nothing" in capsys.readouterr().err


def test_an_empty_lock_makes_an_environment_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# nothing\n")

    first = environment(str(lock), str(tmp_path / "cache"))
    assert "setting up" in capsys.readouterr().err
    second = environment(str(lock), str(tmp_path / "cache"))

    assert first == second
    assert capsys.readouterr().err == ""
    assert subprocess.run([first, "-I", "-c", ""], check=False).returncode == 0


def test_half_an_environment_of_an_interrupted_set_up_is_not_used(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# nothing\n")
    python = Path(environment(str(lock), str(tmp_path / "cache")))
    whole = python.parents[1]
    half = whole.rename(whole.with_name(f"{whole.name}.partial"))
    (half / "bin/python").unlink()

    again = environment(str(lock), str(tmp_path / "cache"))

    assert subprocess.run([again, "-I", "-c", ""], check=False).returncode == 0
    assert not half.exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM])
def test_any_signal_ends_set_up_with_all_that_it_started(tmp_path: Path, number: int) -> None:
    cache = tmp_path / "cache"
    process = _set_up(cache)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == INTERRUPTED
    assert said.endswith("\ninterrupted; the next start begins set-up anew\n")
    assert [one.name for one in cache.iterdir()] == ["set-up.lock"]
    assert _processes(cache) == []


def test_a_set_up_waits_for_what_a_killed_one_left_running(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    lock = tmp_path / "requirements.lock"
    lock.write_text("# nothing\n")
    process = _set_up(cache)
    process.kill()
    process.communicate()
    assert _processes(cache), "it writes on"

    python = environment(str(lock), str(cache))

    assert _processes(cache) == []
    assert subprocess.run([python, "-I", "-c", ""], check=False).returncode == 0


def _set_up(cache: Path) -> "subprocess.Popen[str]":
    """The launcher, which makes an environment."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", ROOT / "occlum-build", "version"],
        env={"PATH": os.environ["PATH"], "OCCLUM_BUILD_CACHE": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(cache.glob("*.partial/bin")):
        time.sleep(0.01)
    return process


def _processes(folder: Path) -> list[str]:
    """The command lines that speak of a directory."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(one.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [one for one in found if str(folder) in one]


def test_a_missing_venv_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    (tmp_path / "lock").touch()

    with pytest.raises(SetUpError) as raised:
        environment(str(tmp_path / "lock"), str(tmp_path / "cache"))

    assert "apt install python3." in raised.value.help


def test_missing_rust_is_named_with_its_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    assert "https://sh.rustup.rs" in module.missing_programs()[-1]


def test_the_launcher_is_read_by_every_python_3() -> None:
    """No syntax in it is newer than 3.6, so that an old Python can say that it is old."""
    text = (ROOT / "occlum-build").read_text()

    for newer in (":=", "match ", 'f"', "f'", "from __future__"):
        assert newer not in text
    compile(text, "occlum-build", "exec")


def test_an_old_python_is_told_what_to_install(tmp_path: Path) -> None:
    """A Python that claims to be old, on a PATH without another."""
    code = (
        "import sys; sys.version_info = (3, 9, 0); sys.argv = ['occlum-build', 'version'];"
        f"exec(compile(open({str(ROOT / 'occlum-build')!r}).read(),"
        f" {str(ROOT / 'occlum-build')!r}, 'exec'),"
        f" {{'__name__': '__main__', '__file__': {str(ROOT / 'occlum-build')!r}}})"
    )

    said = subprocess.run(
        [sys.executable, "-I", "-c", code],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert said.returncode == 2
    assert "error[OB0002]: occlum-build needs CPython 3.11 or newer" in said.stderr
    assert "apt install python3.11" in said.stderr
