"""The runner's measurer, written in Rust and apart from ours, agrees about every stream."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.sgxs import SgxsReader
from tests.support.built import built
from tests.support.naive_stream import naive_stream
from tests.support.sgx_samples import small_layout


@pytest.fixture(scope="session")
def measurer() -> Path:
    """`sgxs-measure` of crate `sgx-image`."""
    return built("sgxs_measure")


def ours(path: Path) -> str | None:
    with path.open("rb") as stream:
        try:
            reader = SgxsReader(stream, "x.sgxs")
            for _ in reader.pages():
                pass
        except DiagnosticError:
            return None
    return reader.mrenclave.hex()


def theirs(measurer: Path, path: Path) -> str | None:
    done = subprocess.run([measurer, path], capture_output=True, text=True, check=False)
    return done.stdout.split()[0] if done.returncode == 0 else None


@pytest.mark.parametrize("model", ["sgx1", "edmm"])
def test_both_measure_a_layout_alike(measurer: Path, tmp_path: Path, model: str) -> None:
    layout = small_layout(model=model, threads=3)
    path = tmp_path / "x.sgxs"
    path.write_bytes(naive_stream(layout.size_bytes, 1, layout.runs))

    assert ours(path) == theirs(measurer, path) is not None


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    edits=st.lists(st.tuples(st.integers(0), st.binary(min_size=1, max_size=8)), max_size=2),
    length=st.integers(0),
    cut=st.booleans(),
)
def test_both_accept_the_same_damaged_streams(
    measurer: Path, tmp_path: Path, edits: list[tuple[int, bytes]], length: int, *, cut: bool
) -> None:
    layout = small_layout(model="edmm", threads=1)
    data = bytearray(naive_stream(layout.size_bytes, 1, layout.runs[:8]))
    for position, patch in edits:
        # Half of the edits hit the first records, where a header is more likely than content.
        start = position // 2 % (len(data) if position % 2 else 512)
        data[start : start + len(patch)] = patch
    path = tmp_path / "x.sgxs"
    path.write_bytes(data[: length % len(data)] if cut else data)

    assert ours(path) == theirs(measurer, path)
