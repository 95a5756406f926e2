"""Run a command of zig, the C and C++ compiler, from the wheel that the lock file pins.

The wheel is unpacked once into the store. What zig builds for itself (its C libraries)
is kept there too, by the wheel's digest; what it builds of a user's sources is not, for
zig believes in modification times and we do not.
"""

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from program import start
from store import Store
from wheel_tool import WheelTool

ZIG: Final = WheelTool("zig", "ziglang", "ziglang", "zig")


@dataclass(frozen=True)
class Zig:
    """An unpacked compiler, and where it keeps the libraries that it builds for itself."""

    program: Path
    library_cache: Path

    def environment(self, scratch: Path) -> dict[str, str]:
        """All variables that zig needs; what it builds of a user's sources goes to `scratch`."""
        return {
            "LC_ALL": "C",
            "TZ": "UTC",
            "PATH": "",
            "TMPDIR": str(scratch),
            "ZIG_GLOBAL_CACHE_DIR": str(self.library_cache),
            "ZIG_LOCAL_CACHE_DIR": str(scratch),
        }


def main() -> int:
    """Pass the remaining arguments on to zig and return its status."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_arguments(parser)
    parser.add_argument("--store", type=Store.at, required=True)
    parser.add_argument("--target", required=True, help="such as x86_64-linux-musl")
    parser.add_argument("command", choices=("cc", "c++", "ar"))
    parser.add_argument("words", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    zig = unpacked(options.store, options.zig_wheel, options.zig_lock)
    with tempfile.TemporaryDirectory(prefix="zig-") as scratch:
        done = subprocess.run(  # noqa: PLW1510  # its status is ours
            [zig.program, options.command, "-target", options.target, *options.words],
            env=zig.environment(Path(scratch)),
        )
    return done.returncode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say where the wheel is, and the lock file that names its digest."""
    parser.add_argument("--zig-wheel", type=Path, required=True)
    parser.add_argument("--zig-lock", type=Path, required=True)


def unpacked(store: Store, wheel: Path, lock: Path) -> Zig:
    """The compiler in `wheel`, unpacked on first use."""
    home, key = ZIG.unpacked(store, wheel, lock)
    return Zig(home / ZIG.program, store.directory(f"{key}-libraries"))


if __name__ == "__main__":
    start(main)
