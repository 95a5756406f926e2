"""`occlum-build measure` on files of others: throughput, start-up, memory.

    python tests/bench/measure_enclave_files.py [--rounds N]

Throughput is the share of this machine's SHA-256 rate (`hashlib` on large blocks, in the same
run) that whole files reach, reading and checking them included: CPU time, the best of the
rounds. Start-up is the time from `exec` to exit of the launcher on an enclave of a few pages,
beside that of an interpreter that does nothing. Memory is the most that the process had.
"""

import argparse
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from occlum_build.enclave_file.read import read_enclave  # noqa: E402 (the checkout, not a wheel)
from occlum_build.sgx.secinfo import READ_EXECUTE, READ_WRITE  # noqa: E402
from occlum_build.sgx.stream import PageRun, write_stream  # noqa: E402
from tests.support.enclave_files import (  # noqa: E402
    ElfEnclave,
    Entry,
    Metadata,
    OpenEnclave,
    Part,
    W,
    sgxmeta_note,
)
from tests.support.open_enclave import OpenEnclaveFile  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
LIMIT_BYTES = 256 * MIB


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_files(folder)
        throughput(files, rounds)
        start_up(files["an enclave of a few pages"], 3 * rounds)
        for title, file in files.items():
            print(f"{title:<52} {peak_kib(file) / 1024:7.1f} MiB")
    return 0


def make_files(folder: Path) -> dict[str, Path]:
    """One file for each kind of page, and one that is small."""
    content = os.urandom(64 * MIB)
    text = Part(5, 0x1000, content, len(content))
    heap = Entry(1, 1, 64 * GIB // 4096, 0x10000, W)
    stack = Entry(8, 3, 64 * MIB // 4096, 0x10000, W, fill=0xCCCCCCCC)
    made = {
        "64 GiB of heap (Intel SDK)": sdk(heap, size=1 << 37),
        "64 GiB of heap (Open Enclave)": OpenEnclaveFile(
            OpenEnclave(64 * GIB // 4096, 64, 4)
        ).elf.to_bytes(),
        "64 MiB of code (Intel SDK)": sdk(text=text, size=1 << 27),
        "64 MiB of measured stacks (Intel SDK)": sdk(stack, size=1 << 27),
        "an enclave of a few pages": sdk(size=1 << 20),
    }
    paths = {}
    for number, (title, data) in enumerate(made.items()):
        paths[title] = folder / f"{number}.signed.so"
        paths[title].write_bytes(data)
    for title, run in {
        "8 GiB of heap (SGXS)": PageRun("heap", 0, 8 * GIB // 4096, READ_WRITE, measured=False),
        "64 MiB of code (SGXS)": PageRun(
            "text", 0, 64 * MIB // 4096, READ_EXECUTE, measured=True, data=content
        ),
    }.items():
        paths[title] = folder / f"{len(paths)}.sgxs"
        with paths[title].open("wb") as file:
            write_stream(1 << 37, 1, [run], file.write)
    return paths


def sdk(*layout: Entry, size: int, text: Part | None = None) -> bytes:
    """A signed file of the Intel SDK, all but signed."""
    parts = [Part(4, 0, b"head", 4), *([] if text is None else [text])]
    block = Metadata((3, 3), size, 1, layout).to_bytes()
    return ElfEnclave(parts, [sgxmeta_note([block])]).to_bytes()


def throughput(files: dict[str, Path], rounds: int) -> None:
    """Print the share of the SHA-256 limit for each file."""
    sizes = {title: hashed_bytes(path) for title, path in files.items()}
    best = dict.fromkeys(files, float("inf"))
    limit = float("inf")
    for _ in range(rounds):
        limit = min(limit, cpu_seconds(hash_large_blocks))
        for title, path in files.items():
            best[title] = min(best[title], cpu_seconds(partial(mrenclave, path)))
    rate = LIMIT_BYTES / limit
    print(f"SHA-256 limit, hashlib, 1 MiB blocks: {rate / 1e9:.2f} GB/s")
    for title, seconds in best.items():
        share = sizes[title] / seconds / rate
        print(f"{title:<52} {share:5.2f} of the limit, {seconds * 1000:7.1f} ms CPU")


def start_up(file: Path, rounds: int) -> None:
    """Print how long the command takes on a small enclave, waiting included and not."""
    commands: dict[str, list[str | Path]] = {
        "`occlum-build measure`, a few pages": [
            sys.executable,
            *("-I", "-S", ROOT / "occlum-build", "measure", file),
        ],
        "`python -I -S` that does nothing": [sys.executable, "-I", "-S", "-c", "pass"],
    }
    for title, words in commands.items():
        times, cpu_times = [], []
        for _ in range(rounds):
            start, cpu_start = time.perf_counter(), children_seconds()
            subprocess.run(words, check=True, capture_output=True)
            times.append(time.perf_counter() - start)
            cpu_times.append(children_seconds() - cpu_start)
        cpu, wall = statistics.median(cpu_times) * 1000, min(times) * 1000
        print(f"{title:<52} {cpu:7.1f} ms CPU (median), {wall:.1f} ms (best)")


def children_seconds() -> float:
    """CPU time of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_kib(file: Path) -> int:
    """The most memory that measuring took."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]);"
        "from occlum_build.enclave_file.read import read_enclave;"
        "read_enclave(sys.argv[2]).mrenclave;"
        "lines = open('/proc/self/status').read().splitlines();"
        "print(next(one.split()[1] for one in lines if one.startswith('VmHWM')))"
    )
    words: list[str | Path] = [sys.executable, *("-I", "-S", "-c", code), ROOT, file]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def hashed_bytes(path: Path) -> int:
    """Length of the stream that is hashed."""
    return 64 + sum(run.stream_bytes for run in read_enclave(path).runs())


def mrenclave(path: Path) -> bytes:
    """What the command computes."""
    return read_enclave(path).mrenclave


def hash_large_blocks() -> None:
    """The limit: nothing but SHA-256."""
    hasher, block = hashlib.sha256(), bytes(MIB)
    for _ in range(LIMIT_BYTES // MIB):
        hasher.update(block)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
