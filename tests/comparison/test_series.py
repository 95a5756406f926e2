"""Random series of calls: the LibOS says of each step what the host's kernel says."""

import json
import os
import subprocess
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.built import product

# How many series of each program are compared; the first seed is 1. More, and others:
# OCCLUM_SERIES=first:count.
SERIES: dict[str, int] = {
    "contents": 200,
    "descriptors": 600,
    "events": 400,
    "futexes": 100,
    "ipc": 150,
    "locks": 150,
    "mappings": 200,
    "names": 200,
    "processes": 100,
    "queues": 200,
    "readiness": 200,
    "signals": 150,
    "sockets": 150,
    "terminals": 100,
}
OF_FILES = ("contents", "descriptors", "events", "locks", "names")
# In memory, and those of files also in a root that is an image with changes in memory.
IN_MEMORY = "/tmp"  # noqa: S108  # the enclave's own
CASES = [
    *((program, model, IN_MEMORY) for program in SERIES for model in ("edmm", "sgx1")),
    *((program, "edmm", "/") for program in OF_FILES),
]
PATIENCE_SECONDS = 300
LOGGED = (
    "occlum: error: the program was killed by SIG",
    "occlum: note: ",
    "occlum: warning: a program has shared memory at two addresses",
    "occlum: warning: system call 202 (futex): this futex operation does not exist",
)
SHOWN = 10


def bounds(program: str) -> tuple[str, str]:
    """The first seed, and how many there are."""
    first, _, count = os.environ.get("OCCLUM_SERIES", "").partition(":")
    return (first, count) if count else ("1", str(SERIES[program]))


def rights() -> str:
    """Whether the programs may use the rights of the superuser: those who have them here."""
    return "root" if os.geteuid() == 0 else "plain"


def lines_of(*words: str | Path) -> list[str]:
    """What a program says; it ends well."""
    found = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_SECONDS, check=False
    )
    # Of a process that a fault ends the LibOS logs where.
    said = [line for line in found.stderr.decode().splitlines() if not line.startswith(LOGGED)]
    assert (found.returncode, said) == (0, [])
    return found.stdout.decode().splitlines()


def differences(host: list[str], inside: list[str]) -> list[str]:
    """Of each series the first step of which not the same was said, and the line before it."""
    expected, said = by_series(host), by_series(inside)
    found = []
    for series in [*expected, *(one for one in said if one not in expected)]:
        before = ""
        for ours, theirs in zip_longest(
            expected.get(series, []), said.get(series, []), fillvalue="nothing"
        ):
            if ours != theirs:
                found.append(f"after  {before}\nhost   {ours}\ninside {theirs}\n")
                break
            before = ours
    return found


def by_series(lines: list[str]) -> dict[str, list[str]]:
    """The lines of each series, which each of them names."""
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line.partition(".")[0], []).append(line)
    return found


@pytest.fixture(scope="module")
def said_by_host() -> Mapping[str, list[str]]:
    """What the host says of each program, asked once."""
    return {}


@pytest.mark.parametrize(("program", "model", "place"), CASES)
def test_the_enclave_says_of_each_step_what_the_host_says(
    program: str, model: str, place: str, said_by_host: dict[str, list[str]], tmp_path: Path
) -> None:
    if program not in said_by_host:
        # A file system in memory, as the enclave has it.
        with TemporaryDirectory(dir="/dev/shm") as folder:
            words = (product(f"tests/comparison/{program}"), folder, *bounds(program), rights())
            said_by_host[program] = lines_of(*words)
    bundle, counted = product(f"tests/comparison/{model}.bundle"), tmp_path / "counted.json"
    runner = bundle / "bin" / "occlum-run"
    inside = lines_of(
        *(runner, "--platform", "sim", "--stats", counted, bundle, "--"),
        *(f"/bin/{program}", place, *bounds(program), rights()),
    )

    if found := differences(said_by_host[program], inside):
        pytest.fail("\n".join(found[:SHOWN]), pytrace=False)
    counts = json.loads(counted.read_bytes())
    assert (counts["host_syscalls_from_enclave"], counts["unclean_exits"]) == (0, 0)
