"""What the tests of evidence share: a small bundle in the current directory."""

from pathlib import Path

import pytest

from tests.support.evidence_samples import Sample


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sample:
    monkeypatch.chdir(tmp_path)
    return Sample(tmp_path).write()
