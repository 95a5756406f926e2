"""Measuring enclaves against how fast this machine computes SHA-256, in the same run.

    python tests/bench/measure_layout.py [--rounds N]

The limit is `hashlib` on large blocks; `openssl speed` is printed beside it as an
outside opinion. A ratio of 1.00 would mean that making the records costs nothing.
Times are CPU time, the best of the rounds, interleaved with the limit.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from occlum_build.sgx.layout import SSA_FRAME_PAGES  # noqa: E402 (the checkout, not a wheel)
from occlum_build.sgx.secinfo import READ_EXECUTE, READ_WRITE  # noqa: E402
from occlum_build.sgx.stream import PageRun, measure  # noqa: E402
from tests.support.naive_stream import naive_stream  # noqa: E402
from tests.support.sgx_samples import small_layout  # noqa: E402

GIB = 1 << 30
LIMIT_BYTES = 256 << 20


@dataclass(frozen=True)
class Case:
    """Something to measure, and how many bytes of stream that is."""

    name: str
    stream_bytes: int
    run: Callable[[], object]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    best = dict.fromkeys(cases(), float("inf"))
    limit = float("inf")
    for _ in range(rounds):
        limit = min(limit, cpu_seconds(hash_large_blocks))
        for case in best:
            best[case] = min(best[case], cpu_seconds(case.run))
    limit_rate = LIMIT_BYTES / limit
    print(f"SHA-256 limit, hashlib, 1 MiB blocks: {limit_rate / 1e9:.2f} GB/s")
    if rate := openssl_rate():
        print(f"SHA-256, openssl speed, 16 KiB blocks: {rate / limit_rate:.2f} of the limit")
    for case, seconds in best.items():
        ratio = case.stream_bytes / seconds / limit_rate
        print(f"{case.name:<52} {ratio:5.2f} of the limit, {seconds * 1000:7.1f} ms CPU")
    return 0


def cases() -> list[Case]:
    """A whole enclave, and each kind of page alone."""
    layout = small_layout(
        kernel_space_heap_size=8 * GIB,
        user_space_size=300 << 20,
        kernel_space_stack_size=256 << 10,
        threads=32,
    )
    heap = PageRun("heap", 1 << 32, 8 * GIB // 4096, READ_WRITE, measured=False)
    content = os.urandom(64 << 20)
    text = PageRun("text", 1 << 32, 1 << 14, READ_EXECUTE, measured=True, data=content)
    stack = PageRun("stack", 1 << 32, 1 << 14, READ_WRITE, measured=True)
    naive = PageRun("naive", 1 << 32, 1 << 16, READ_WRITE, measured=False)
    return [
        Case(
            "enclave with an 8 GiB heap",
            layout.stream_bytes,
            lambda: measure(layout.size_bytes, SSA_FRAME_PAGES, layout.runs),
        ),
        *(
            Case(name, run.stream_bytes, lambda run=run: measure(1 << 40, 1, [run]))  # type: ignore[misc]
            for name, run in (
                ("8 GiB of pages whose content is not measured", heap),
                ("64 MiB of measured content", text),
                ("64 MiB of measured zeros", stack),
            )
        ),
        Case(
            "256 MiB not measured, record by record",
            naive.stream_bytes,
            lambda: hashlib.sha256(naive_stream(1 << 40, 1, [naive])),
        ),
    ]


def hash_large_blocks() -> None:
    """What no measurer can be faster than."""
    block = bytes(1 << 20)
    hasher = hashlib.sha256()
    for _ in range(LIMIT_BYTES // len(block)):
        hasher.update(block)


def openssl_rate() -> float | None:
    """Bytes a second, by the judgement of `openssl speed`; None without openssl."""
    if shutil.which("openssl") is None:
        return None
    done = subprocess.run(
        ["openssl", "speed", "-seconds", "1", "-bytes", "16384", "-evp", "sha256"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^sha256\s+([0-9.]+)k", done.stdout, re.MULTILINE | re.IGNORECASE)
    return float(found[1]) * 1000 if found else None


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU time of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    raise SystemExit(main())
