"""The text of every diagnostic about an Occlum.yaml, as a person reads it.

`cases/NAME.yaml` is a wrong file and `cases/NAME.txt` all that is said about it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.config import load
from occlum_build.diagnostic import render

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_a_wrong_file_is_explained(case: Path, golden: Callable[[Path, str], None]) -> None:
    text = case.read_bytes().decode()

    config, diagnostics = load(text, "Occlum.yaml")

    assert config is None
    golden(case.with_suffix(".txt"), "\n".join(render(one, text) for one in diagnostics))
