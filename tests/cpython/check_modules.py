"""Run modules of CPython's own tests in an enclave, and compare with the list of those that pass.

The command after `--` starts the enclave; the modules follow a second `--`, none means all that
there are. The list is a ratchet: a module of it that does not pass is a failure, one that passes
and is not in it is told, and `--accept` adds it.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

PYTHON: Final = ("/usr/bin/python3", "-m", "test")
SHOWN_LINES: Final = 40


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a module; `why` is empty if it passed or has nothing to test here."""

    module: str
    is_skipped: bool = False
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether it ran, and well."""
        return not self.why and not self.is_skipped


def main() -> int:
    """Run them; 0 if nothing of the list was lost."""
    options = _options()
    enclave, modules = _split(options.command)
    head, known = _read(options.stdout)
    with ThreadPoolExecutor(options.jobs) as pool:
        chosen = modules or _all_modules(enclave)
        results = list(pool.map(lambda one: _run(enclave, one, options.limit), chosen))
    failed = [one for one in results if one.why]
    lost = [one for one in failed if one.module in known]
    gained = {one.module for one in results if one.passed} - known
    for one in failed:
        if one in lost or not modules:
            _say(f"{'lost' if one in lost else 'failed'}: {one.module}: {one.why}")
    passed = sum(one.passed for one in results)
    skipped = sum(one.is_skipped for one in results)
    _say(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    unlisted = [one.module for one in results if one.is_skipped and one.module in known]
    for module in unlisted:
        _say(f"lost: {module}: it skips all of itself")
    if gained and options.accept:
        lines = (*head, *sorted(known | gained))
        options.stdout.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    elif gained:
        _say(f"not in the list, `--accept` adds them: {' '.join(sorted(gained))}")
    return 1 if lost or unlisted or (modules and failed) else 0


def _run(enclave: Sequence[str], module: str, seconds: float) -> Result:
    """Run one module in an enclave of its own."""
    with TemporaryDirectory() as directory:
        counted = Path(directory) / "counted.json"
        runner, *words = enclave
        argv = [runner, "--stats", str(counted), *words, "--", *PYTHON, module]
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.output or b"").decode("utf-8", "backslashreplace")
            return Result(module, why=f"no end in {seconds:.0f} s\n{_last(said)}")
        escaped = json.loads(counted.read_bytes())["host_syscalls_from_enclave"]
    said = done.stdout.decode("utf-8", "backslashreplace")
    if escaped:
        return Result(module, why=f"{escaped} of its system calls reached the host")
    if done.returncode:
        return Result(module, why=f"status {done.returncode}\n{_last(said)}")
    return Result(module, is_skipped="\n1 test skipped:" in said)


def _all_modules(enclave: Sequence[str]) -> list[str]:
    """What CPython's own runner would run."""
    argv = [*enclave, "--", *PYTHON, "--list-tests"]
    listed = subprocess.run(argv, stdout=subprocess.PIPE, check=True, text=True)
    return listed.stdout.split()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--stdout", type=Path, required=True, help="the list of modules that pass")
    add("--accept", action="store_true", help="add what passes to the list")
    add("--limit", type=float, default=900.0, help="seconds for a module")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="how many run at once")
    add("--status", type=int, default=0, help="as `enclave_test` says it; only 0 can be")
    add("--contained", action="store_true", help="as `enclave_test` says it; always so")
    add("command", nargs="+")
    return parser.parse_args()


def _split(command: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command that starts the enclave, and the modules."""
    at = command.index("--") if "--" in command else len(command)
    return list(command[:at]), list(command[at + 1 :])


def _read(path: Path) -> tuple[list[str], set[str]]:
    """The lines for people at the beginning of the list, and its modules."""
    lines = path.read_text(encoding="utf-8").split("\n")
    head = [line for line in lines if line.startswith("#")]
    return head, {line for line in lines if line and not line.startswith("#")}


def _last(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines()[-SHOWN_LINES:])


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
