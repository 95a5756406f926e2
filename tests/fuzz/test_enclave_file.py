"""A short, bounded run of the fuzzing of `tests/fuzz/enclave_file.py`, which coverage guides."""

import random
import re
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.enclave_file import check, seeds

HARNESS = Path(__file__).parent / "enclave_file.py"
RUNS = 4000


def test_coverage_guides_to_no_crash_and_no_flood(tmp_path: Path) -> None:
    limits = ("-rss_limit_mb=600", "-timeout=30", "-print_final_stats=1", "-max_len=32768")
    done = subprocess.run(
        [sys.executable, HARNESS, f"-runs={RUNS}", "-seed=1", *limits, tmp_path / "corpus"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    print("\n".join(line for line in done.stderr.splitlines() if line.startswith("stat::")))
    executed = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert executed is not None
    assert int(executed[1]) >= RUNS


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(seeds()) - 1), st.integers(0, 2**32), st.integers(1, 6))
def test_a_mutated_seed_is_an_enclave_or_a_diagnostic(seed: int, noise: int, edits: int) -> None:
    chance = random.Random(noise)
    data = bytearray(seeds()[seed])
    for _ in range(edits):
        at = chance.randrange(1, len(data))
        kind = chance.randrange(4)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at : at + 8] = chance.choice([b"\xff" * 8, bytes(8), b"\1" + bytes(7)])
        elif kind == 2:
            del data[at : at + chance.randrange(1, 200)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 60))
        if len(data) < 2:
            return

    check(bytes(data))


def test_the_seeds_reach_every_layout() -> None:
    reached = {check(seed) for seed in seeds()}

    assert reached == {"sgxs", "esgxs", "intel-sdk", "open-enclave", "gramine"}
