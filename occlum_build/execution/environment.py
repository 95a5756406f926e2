"""Python environments: a virtual environment with exactly the packages of a lock file.

Standard library only: the launcher calls this when nothing is installed yet. An
environment is made beside its place and renamed when it is complete, so that half of
one is never taken for ready.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

INSTALL_RUSTUP = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"


class SetUpError(Exception):
    """Set-up cannot go on; `help` is what the user can do.

    `is_of_machine` says that nothing is wrong with what was asked for: the same may work later.
    """

    def __init__(self, message: str, help_text: str, *, is_of_machine: bool = False) -> None:
        """Say what is wrong, and what to do."""
        super().__init__(message)
        self.message = message
        self.help = help_text
        self.is_of_machine = is_of_machine


def environment(lock: str, cache: str) -> str:
    """The Python of an environment with exactly the packages of a lock file.

    It is made below `cache` if it is not there yet, and named by the lock's content.

    Raises:
        SetUpError: something is missing or a download failed; nothing is left behind.
    """
    with open(lock, "rb") as file:  # noqa: PTH123  # every start comes here
        digest = hashlib.sha256(file.read())
    digest.update(sys.version.encode())
    folder = f"{cache}/venv-{digest.hexdigest()[:16]}"
    python = f"{folder}/bin/python"
    if not os.path.exists(python):  # noqa: PTH110
        _set_up(Path(folder), Path(lock))
    return python


def _set_up(place: Path, lock: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with (place.parent / "set-up.lock").open("w") as guard, _any_signal_interrupts():
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say("waiting for another set-up")
                fcntl.flock(guard, fcntl.LOCK_EX)
            if not (place / "bin" / "python").exists():
                _make(place, lock, guard.fileno())
    except OSError as problem:
        raise SetUpError(
            f"set-up cannot write: {problem.strerror}: {problem.filename}",
            _help_for(problem),
            is_of_machine=True,
        ) from None


@contextmanager
def _any_signal_interrupts() -> Iterator[None]:
    """Let a closed terminal, `kill` and the quit key stop set-up as Ctrl-C does."""
    kept = {
        number: signal.signal(number, signal.default_int_handler)
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)
        if signal.getsignal(number) is signal.SIG_DFL
    }
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _help_for(problem: OSError) -> str:
    """What may help if the cache cannot be written."""
    if problem.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "free some space, or let OCCLUM_BUILD_CACHE name a directory on another disk"
    if problem.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return "let OCCLUM_BUILD_CACHE name a directory that you can write to"
    return "let OCCLUM_BUILD_CACHE name another directory"


def missing_programs() -> list[str]:
    """What builds of the LibOS will need and is not here yet, with how to get it."""
    folders = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), str(Path.home() / ".cargo" / "bin")]
    )
    if shutil.which("rustup", path=folders) and shutil.which("cargo", path=folders):
        return []
    return [
        "rustup and cargo are missing, and building the LibOS needs them; install them with",
        f"  {INSTALL_RUSTUP}",
    ]


def _make(place: Path, lock: Path, guard: int) -> None:
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if find_spec("venv") is None or find_spec("ensurepip") is None:
        raise SetUpError(
            f"this Python {version} has no `venv`",
            f"install it with `apt install python{version}-venv`",
        )
    if (os.uname().sysname, os.uname().machine) != ("Linux", "x86_64"):
        machine = f"{os.uname().sysname} on {os.uname().machine}"
        raise SetUpError(f"this is {machine}", "occlum-build runs on Linux on x86_64")
    names = _packages(lock)
    _say(f"setting up {len(names)} Python packages of `{lock.name}` in {place.parent} (once)")
    for line in missing_programs():
        _say(line)
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _say("set-up: making a virtual environment")
        _run([sys.executable, "-I", "-m", "venv", str(partial)], guard, lambda _line: None)
        _install(partial, lock, len(names), guard)
        if place.exists():
            shutil.rmtree(place)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _say("set-up: done")


def _install(partial: Path, lock: Path, count: int, guard: int) -> None:
    seen: list[str] = []

    def show(line: str) -> None:
        words = line.split()
        if words[:1] == ["Collecting"]:
            seen.append(words[1])
            _say(f"set-up: [{len(seen)}/{count}] {words[1]}", is_passing=True)
        elif line.startswith("Installing collected packages"):
            _say("set-up: installing", is_passing=True)

    python = str(partial / "bin" / "python")
    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--no-input"]
    options += ["--disable-pip-version-check", "--no-warn-script-location"]
    _run([python, "-I", "-m", "pip", "install", *options, "-r", str(lock)], guard, show)


def _run(argv: Sequence[str], guard: int, show: Callable[[str], None]) -> None:
    """Run a command and pass on its lines; all of them are shown if it fails.

    It holds the lock, too: should this process be killed, the next set-up waits for its end.
    """
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PIP_NO_COLOR": "1"}
    said: list[str] = []
    with subprocess.Popen(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=(guard,),
        process_group=0,
    ) as process:
        try:
            for line in process.stdout or ():
                said.append(line)
                show(line)
        except KeyboardInterrupt:
            # With all that it started: `venv` runs another Python, which would write on.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        sys.stderr.write("\n" + "".join(said))
        what = "pip" if "pip" in argv else "venv"
        raise SetUpError(
            f"set-up failed: {what} ended with status {process.returncode}",
            "see its lines above; the network, a proxy or a full disk are usual causes",
            is_of_machine=True,
        )


def _packages(lock: Path) -> list[str]:
    lines = lock.read_text(encoding="utf-8").split("\n")
    return [line.partition("==")[0] for line in lines if "==" in line and line[0].isalnum()]


def _say(text: str, *, is_passing: bool = False) -> None:
    """A line on standard error; on a terminal one that passes is overwritten by the next."""
    is_live = sys.stderr.isatty()
    start = "\r\x1b[K" if is_live else ""
    end = "" if is_live and is_passing else "\n"
    sys.stderr.write(f"{start}{text}{end}")
    sys.stderr.flush()
