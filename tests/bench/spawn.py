"""What it costs to start a program in an enclave, against the host, in one run.

`python tests/bench/spawn.py` builds `//tests/bench/spawn:all` and runs its programs by turns on
both sides: the same files, the host's own loader and C library on the host.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
BIN: Final = ROOT / "out/default/bin/tests/bench/spawn"
ROUNDS: Final = 5


def main() -> int:
    """Print a table: microseconds from start to reaped, the best of some rounds."""
    subprocess.run([ROOT / "occlum-build", "build", "//tests/bench/spawn:all"], check=True)
    bundle = BIN / "enclave.bundle"
    enclave = [bundle / "bin/occlum-run", bundle, "--", "/bin/spawn"]
    print("| program | enclave, µs | host, µs | ratio |")
    print("|---|---:|---:|---:|")
    for name, times in (("nothing_static", 300), ("nothing", 100)):
        inside, outside = [], []
        for _ in range(ROUNDS):
            inside.append(_microseconds([*enclave, f"/bin/{name}", str(times)]))
            outside.append(_microseconds([BIN / "spawn", BIN / name, str(times)]))
        best, host = min(inside), min(outside)
        print(f"| `{name}` | {best:.0f} | {host:.0f} | {best / host:.2f} |")
    return 0


def _microseconds(command: list[Path | str]) -> float:
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    sys.exit(main())
