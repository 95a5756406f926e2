"""How long it takes to make processes, in an enclave and on the host, and to make an enclave.

Build `//tests/bench:processes_enclave` first, then run it from the checkout:

    .occlum-build/venv-*/bin/python tests/bench/processes.py

Every figure is a ratio of two times of this one run: other work on the machine changes both.
"""

import argparse
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "out" / "default" / "bin" / "tests" / "bench"
BUNDLE = BUILT / "processes_enclave.bundle"
PROGRAM = BUILT / "processes"


def main() -> int:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dynamic", default="/bin/true", help="a dynamic program of the host")
    dynamic: str = parser.parse_args().dynamic
    host = _times([str(PROGRAM), str(PROGRAM), dynamic])
    enclave = _times([str(BUNDLE / "bin" / "occlum-run"), str(BUNDLE)])
    print(f"{'':24}{'enclave':>14}{'host':>14}{'ratio':>10}")
    for name, native in host.items():
        inside = enclave[name]
        print(f"{name:24}{inside / 1000:11.1f} µs{native / 1000:11.1f} µs{inside / native:10.2f}")
    whole = _seconds_of_one_enclave() * 1e9
    times = whole / enclave["spawn_static"]
    print(f"\nan enclave for each process: {whole / 1e6:.0f} ms, {times:.0f} times a spawn in one")
    return 0


def _times(command: list[str]) -> dict[str, float]:
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: float(value) for name, value in (line.split() for line in lines)}


def _seconds_of_one_enclave() -> float:
    """Create, measure, start and end: with no count of spawns the program measures none."""
    command = [str(BUNDLE / "bin" / "occlum-run"), str(BUNDLE), "--", "0"]
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    raise SystemExit(main())
