"""Fetch one wheel from the Python index, by name, version and SHA-256.

pip does the talking, with the machine's own index, proxy and certificates; the digest in
the lock file decides whether what came is what was meant.
"""

import argparse
import sys
from pathlib import Path
from typing import Final

import lockfile
from lockfile import Pin
from program import ProgramError, capture, network_environment, persist, say, start
from store import Store

PLATFORMS: Final = ("manylinux2014_x86_64", "manylinux_2_17_x86_64")
"""Two names of one platform (PEP 600): pip does not take one for the other."""


def main() -> int:
    """Write the wheel that the lock file pins to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--package", required=True)
    parser.add_argument("--store", type=Store.at, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    pin = lockfile.find(options.lock, options.package)
    options.store.deliver(
        pin.sha256, options.output, lambda folder: persist(lambda: download(pin, folder))
    )
    return 0


def download(pin: Pin, folder: Path) -> Path:
    """The wheel as the index has it, in `folder`."""
    say(f"fetching {pin.name} {pin.version} from the Python index")
    capture(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
         "--no-input", "--no-deps", "--no-cache-dir", "--only-binary=:all:",
         *(word for one in PLATFORMS for word in ("--platform", one)),
         "--dest", folder, f"{pin.name}=={pin.version}"],
        env=network_environment(),
        cwd=folder,
        name="pip download",
    )  # fmt: skip
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ProgramError(f"pip left {len(wheels)} wheels for `{pin.name}`")
    return wheels[0]


if __name__ == "__main__":
    start(main)
