"""Run a program and compare what it prints and how it ends with what a test says."""

import argparse
import difflib
import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from program import BUILD_FAILED, say, start


def main() -> int:
    """Run the command after `--`; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--status", type=int, default=0, help="the exit status it must have")
    parser.add_argument("--stdin", type=Path, help="what it reads; nothing if not given")
    parser.add_argument("--stdout", type=Path, help="what it must print; anything if not given")
    parser.add_argument(
        "--contained",
        action="store_true",
        help="the command is `occlum-run`, and no system call of the program may reach the host",
    )
    for option, help_text in (
        ("--host-file", "a file of the directory that the command gets as `--host-root`"),
        ("--host-result", "what a file there must be in the end"),
    ):
        names = ("NAME", "FILE")
        parser.add_argument(
            option, nargs=2, action="append", default=[], metavar=names, help=help_text
        )
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    with TemporaryDirectory() as directory:
        counted = Path(directory) / "counted.json"
        runner, *words = options.command
        if options.contained:
            words = ["--stats", str(counted), *words]
        host = Path(directory) / "host"
        if options.host_file or options.host_result:
            _put(options.host_file, host)
            words = ["--host-root", str(host), *words]
        done = subprocess.run(  # noqa: PLW1510  # its status is compared below
            [runner, *words],
            input=options.stdin.read_bytes() if options.stdin else b"",
            stdout=subprocess.PIPE,
        )
        problems = _escapes(counted) if options.contained else []
        for name, expected in options.host_result:
            problems += _changed(host / name, Path(expected))
    if done.returncode != options.status:
        problems.append(f"it ended with status {done.returncode}, not {options.status}")
    if options.stdout and done.stdout != options.stdout.read_bytes():
        problems.append("its standard output is not what it should be:")
        problems += _difference(options.stdout, done.stdout)
    elif problems:
        problems += ["its standard output was:", _text(done.stdout)]
    for problem in problems:
        say(problem)
    return BUILD_FAILED if problems else 0


def _put(files: list[list[str]], directory: Path) -> None:
    """Copy files into a new directory; not their permissions, which inputs of tests lack."""
    directory.mkdir()
    for name, source in files:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path(source).read_bytes())


def _changed(path: Path, expected: Path) -> list[str]:
    """How a file on the host is not what it should be."""
    if not path.is_file():
        return [f"there is no `{path.name}` on the host"]
    found = path.read_bytes()
    if found == expected.read_bytes():
        return []
    return [f"`{path.name}` on the host is not what it should be:", *_difference(expected, found)]


def _escapes(counted: Path) -> list[str]:
    """What a run counted that got out of the enclave; a run must have counted."""
    if not counted.exists():
        return ["the enclave ended before anything was counted"]
    counts = json.loads(counted.read_bytes())
    calls, exits = counts["host_syscalls_from_enclave"], counts["unclean_exits"]
    problems = []
    if calls:
        problems.append(f"{calls} system calls of the program reached the host's kernel")
    if exits:
        problems.append(f"{exits} exits of the enclave left something of it in registers")
    return problems


def _difference(expected: Path, found: bytes) -> list[str]:
    return list(
        difflib.unified_diff(
            _text(expected.read_bytes()).splitlines(),
            _text(found).splitlines(),
            "expected",
            "found",
            lineterm="",
        )
    )


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")


if __name__ == "__main__":
    start(main)
