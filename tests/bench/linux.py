"""The LibOS against Linux: the same programs and files, by turns, in one run.

Run `.occlum-build/venv-*/bin/python tests/bench/linux.py` from the checkout. It builds
`//tests/bench:linux_enclave`, unpacks its root file system for Linux, runs everything on both
sides, and prints the table of `docs/figures.md`: the best of the turns, and the ratio, which is
below 1 where the enclave is better.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BUILT: Final = ROOT / "out/default/bin/tests/bench"
BUNDLE: Final = BUILT / "linux_enclave.bundle"
SMALL_BUNDLE: Final = ROOT / "out/default/bin/examples/hello_c/enclave.bundle"
TARGETS: Final = ("//tests/bench:linux_enclave", "//examples/hello_c:enclave")
ENVIRONMENT: Final = {"PATH": "/usr/bin", "LC_ALL": "C"}

COMMANDS: Final = {
    "calls": "/bench/calls",
    "channels": "/bench/channels",
    "processes": "/bench/processes /bench/processes /usr/bin/true",
    "script": "/bench/stopwatch bash-script-of-thirty-commands 3 /usr/bin/bash /bench/thirty.bash",
    "python": "/bench/stopwatch python3-start-and-end 5 /usr/bin/python3 -I -c pass",
    "loop": "/usr/bin/python3 -I /bench/loop.py",
    "gcc": "/bench/stopwatch gcc-of-one-file 3 /usr/bin/gcc -O2 -c /bench/one_file.c -o /tmp/o",
}

_FIGURE: Final = re.compile(r"(?P<name>.+), (?P<unit>ns|us|ms|MB/s): (?P<value>[\d.]+)")

Figures = dict[tuple[str, str], float]


def main() -> int:
    """Measure all that is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="how often each side runs")
    parser.add_argument("programs", nargs="*", metavar="program", help=", ".join(COMMANDS))
    options = parser.parse_args()
    subprocess.run([ROOT / "occlum-build", "build", *TARGETS], check=True)
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        with tarfile.open(BUILT / "linux_enclave_rootfs.tar") as tar:
            tar.extractall(root, filter="tar")
        (root / "tmp").mkdir(exist_ok=True)
        commands = [COMMANDS[name].split() for name in options.programs or COMMANDS]
        _print_table(commands, root, options.turns)
    if not options.programs:
        _print_enclaves(options.turns)
    return 0


def _print_table(commands: list[list[str]], root: Path, turns: int) -> None:
    host = ["unshare", "--map-root-user", f"--root={root}"]
    enclave = [str(BUNDLE / "bin/occlum-run"), str(BUNDLE), "--"]
    print("| what | | host | enclave | ratio |\n|---|---|---:|---:|---:|")
    for command in commands:
        outside: Figures = {}
        inside: Figures = {}
        for _ in range(turns):
            _take(outside, host + command)
            _take(inside, enclave + command)
        for (name, unit), native in outside.items():
            ours = inside[name, unit]
            ratio = native / ours if unit == "MB/s" else ours / native
            print(f"| {name} | {unit} | {native:.4g} | {ours:.4g} | {ratio:.2f} |", flush=True)


def _take(figures: Figures, command: list[str]) -> None:
    """Run a program, and keep each of its figures that is better than what is there."""
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    for line in _FIGURE.finditer(done.stdout + done.stderr):
        key = line["name"], line["unit"]
        better = max if key[1] == "MB/s" else min
        figures[key] = better(figures.get(key, float(line["value"])), float(line["value"]))


def _print_enclaves(turns: int) -> None:
    """Print what a process costs where each has an enclave: create, measure, start, run, end."""
    command = [SMALL_BUNDLE / "bin/occlum-run", SMALL_BUNDLE]
    best = float("inf")
    for _ in range(turns * 5):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        best = min(best, time.perf_counter() - begin)
    spawn: Figures = {}
    _take(
        spawn, [str(BUNDLE / "bin/occlum-run"), str(BUNDLE), "--", *COMMANDS["processes"].split()]
    )
    times = best * 1e6 / spawn["spawn, static", "us"]
    whole = f"{best * 1e3:.1f} ms"
    print(f"\nAn enclave for one process takes {whole}: {times:.0f} spawns in one enclave.")


if __name__ == "__main__":
    sys.exit(main())
