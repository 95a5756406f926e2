"""Packing an image against `mkfs.erofs` and `veritysetup`, on the same tree, in the same run.

    python tests/bench/pack_image.py [DIRECTORY] [--rounds N]

Without a directory, parts of /usr are copied until there are about 200 MB. Times are
the best of the rounds, each with warm caches. The tools differ in what they read: ours
is timed on a directory, as theirs, and on a canonical tar, as builds do it.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET_BYTES = 200_000_000
PARTS = ("/usr/bin", "/usr/lib/python3", "/usr/share", "/usr/lib")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parsed = parser.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [name for name in ("mkfs.erofs", "veritysetup") if shutil.which(name) is None]
    if missing:
        sys.stderr.write(f"not installed: {', '.join(missing)}\n")
        return 1
    with tempfile.TemporaryDirectory() as place:
        tree = parsed.directory or copied_tree(Path(place, "tree"))
        measure(tree, Path(place), parsed.rounds)
    return 0


def copied_tree(root: Path) -> Path:
    """About 200 MB of real files: programs, scripts, data, symlinks."""
    total = 0
    for part in PARTS:
        for above, _, names in os.walk(part):
            for name in sorted(names):
                source = Path(above, name)
                target = root / source.relative_to("/")
                size = source.lstat().st_size
                if total + size > TARGET_BYTES or not os.access(source, os.R_OK):
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
                total += size
    return root


def measure(tree: Path, place: Path, rounds: int) -> None:
    """Time each way of packing, interleaved, and print seconds and ratios."""
    ours = [sys.executable, "-m", "occlum_build.fs"]
    image, theirs = place / "ours.erofs", place / "theirs.erofs"
    run([*ours, "erofs", "--tree", tree, "--output", image])
    write_tar(tree, place / "tree.tar")

    def reference() -> None:
        run(["mkfs.erofs", "--quiet", "-T0", "--all-root", "-x-1", theirs, tree])
        run(["veritysetup", "format", "--salt=-", theirs, place / "theirs.tree"])

    ways: dict[str, Callable[[], None]] = {
        "mkfs.erofs + veritysetup format": reference,
        "occlum_build.fs erofs, directory": lambda: run(
            [*ours, "erofs", "--tree", tree, "--output", image],
        ),
        "occlum_build.fs erofs, tar": lambda: run(
            [*ours, "erofs", "--tree", place / "tree.tar", "--output", image],
        ),
        "occlum_build.fs verify": lambda: run([*ours, "verify", image]),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            theirs.unlink(missing_ok=True)
            start = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
    count = sum(1 for _ in tree.rglob("*"))
    size = (place / "tree.tar").stat().st_size
    sys.stdout.write(f"{count} names, {size / 1e6:.0f} MB as tar; best of {rounds}\n")
    base = best["mkfs.erofs + veritysetup format"]
    for name, seconds in best.items():
        sys.stdout.write(f"{name:34} {seconds:6.2f} s  ratio {seconds / base:5.2f}\n")
    reference()
    ratio = image.stat().st_size / (theirs.stat().st_size + (place / "theirs.tree").stat().st_size)
    sys.stdout.write(f"size of our image over theirs: {ratio:.4f}\n")


def write_tar(tree: Path, tar: Path) -> None:
    """The canonical tar of a directory."""
    program = (
        "import sys; from occlum_build.fs.archive import write_archive;"
        "from occlum_build.fs.directory import read_directory;"
        "write_archive(read_directory(sys.argv[1]), open(sys.argv[2], 'wb'))"
    )
    run([sys.executable, "-W", "ignore", "-c", program, tree, tar])


def run(words: list[str | Path]) -> None:
    """Run a program that must succeed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(words, check=True, capture_output=True, env=environment)


if __name__ == "__main__":
    sys.exit(main())
