"""The text of every diagnostic of `occlum_build.evidence`, as a person sees it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.evidence.__main__ import main
from tests.support.evidence_samples import Sample

HERE = Path(__file__).parent
DESCRIBE = ["describe", "--subject", "subject.json", "--sbom", "s", "--provenance", "p"]
SIGN = ["sign", "--provenance", "p.json", "--key", "key.pem", "--output", "d"]


def missing_part() -> list[str]:
    Path("run").unlink()
    return DESCRIBE


def no_json() -> list[str]:
    Path("subject.json").write_text("{'version': 1}")
    return DESCRIBE


def no_subject() -> list[str]:
    Path("subject.json").write_text('{"version": 1}')
    return DESCRIBE


def no_lineage() -> list[str]:
    Path("lineage.json").write_text('{"version": 1, "sources": [{"path": "a"}]}')
    return DESCRIBE


def key_of_another_kind() -> list[str]:
    Path("p.json").touch()
    Path("key.pem").write_text("-----BEGIN NOTHING-----\n")
    return SIGN


def broken_lock_file() -> list[str]:
    Path("Cargo.lock").write_text("[[package\n")
    return DESCRIBE


def report_of_another_enclave() -> list[str]:
    Path("e.sgxs").write_bytes(b"another")
    parts = ["--part", "enclave.sgxs=e.sgxs", "--part", "enclave.sig=e.sig"]
    files = ["--sealed", "sealed.json", "--report", "report.json", "--summary", "t"]
    return ["bundle", "--target", "//a", *parts, *files, "--key-name", "k", "--output", "b"]


def no_golden_record() -> list[str]:
    Path("golden.json").write_text('{"version": 1}')
    return ["compare", "--expected", "golden.json", "--found", "golden.json", "--target", "//a"]


CASES = (
    no_golden_record,
    missing_part,
    no_json,
    no_subject,
    no_lineage,
    key_of_another_kind,
    broken_lock_file,
    report_of_another_enclave,
)


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.__name__)
def test_the_message_is_the_one_agreed_to(
    case: Callable[[], list[str]],
    golden: Callable[[Path, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Sample(tmp_path).write()

    status = main(case())

    assert status == 2
    golden(HERE / f"{case.__name__}.txt", capsys.readouterr().err)


def test_every_message_has_its_case() -> None:
    assert {one.stem for one in HERE.glob("*.txt")} == {one.__name__ for one in CASES}
