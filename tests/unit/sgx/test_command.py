"""`python -m occlum_build.sgx`, as an action runs it."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.enclave_file.read import read_enclave
from occlum_build.identity.measure import measured_facts
from occlum_build.sgx.attributes import AttributeFlags
from occlum_build.sgx.verify import parse_and_check
from tests.support.elf_file import small_libos
from tests.support.sgx_samples import ROOT, sealed_json

Run = Callable[..., subprocess.CompletedProcess[str]]

METADATA = {
    "version": 1,
    "product_id": 7,
    "version_number": 3,
    "debuggable": True,
    "enable_kss": False,
    "family_id": "00" * 16,
    "ext_prod_id": "00" * 16,
    "date": "0000-00-00",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The inputs of an enclave."""
    (tmp_path / "libos.elf").write_bytes(small_libos().to_bytes())
    (tmp_path / "sealed.json").write_bytes(sealed_json())
    (tmp_path / "metadata.json").write_text(json.dumps(METADATA))
    return tmp_path


def enclave(folder: Path) -> list[str | Path]:
    return [
        "enclave",
        *("--libos", folder / "libos.elf", "--sealed", folder / "sealed.json"),
        *("--output", folder / "enclave.sgxs", "--report", folder / "enclave.json"),
    ]


def signing(folder: Path) -> list[str | Path]:
    return ["--sgxs", folder / "enclave.sgxs", "--metadata", folder / "metadata.json"]


def test_the_hash_of_the_file_is_the_mrenclave(folder: Path, command: Run) -> None:
    command(*enclave(folder))

    digest = hashlib.sha256((folder / "enclave.sgxs").read_bytes()).hexdigest()
    report = json.loads((folder / "enclave.json").read_text())
    image = read_enclave(folder / "enclave.sgxs")
    measured = measured_facts(image)
    assert report["mrenclave"] == measured["mrenclave"] == digest
    assert report["pages"] == measured["pages"]
    assert report["size"] == measured["size"]
    assert report["stream_size"] == (folder / "enclave.sgxs").stat().st_size
    assert sum(region["pages"] for region in report["regions"]) == sum(report["pages"].values())


def test_a_signature_is_for_the_enclave_and_by_the_key(
    folder: Path, command: Run, key: Path
) -> None:
    command(*enclave(folder))
    command("sign", *signing(folder), "--key", key, "--output", folder / "enclave.sig")

    signed = parse_and_check((folder / "enclave.sig").read_bytes(), "enclave.sig")
    identity = signed.identity

    assert identity.mrenclave == read_enclave(folder / "enclave.sgxs").mrenclave
    assert signed.mrsigner.hex() == command("mrsigner", "--key", key).stdout.strip()
    assert (identity.isv_prod_id, identity.isv_svn, identity.date) == (7, 3, "00000000")
    assert identity.attributes.flags & AttributeFlags.DEBUG


def test_the_same_inputs_give_the_same_files_anywhere(
    folder: Path, command: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command(*enclave(folder))
    other = tmp_path / "a" / "deeper" / "place"
    other.mkdir(parents=True)
    for name in ("libos.elf", "sealed.json"):
        (other / name).write_bytes((folder / name).read_bytes())
    monkeypatch.chdir(other)

    command(*enclave(Path()), limit=lambda: os.umask(0o077) and None)

    for name in ("enclave.sgxs", "enclave.json"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()
        assert (other / name).stat().st_mode & 0o777 == 0o644


def test_a_full_disk_leaves_nothing_half_written(folder: Path, command: Run) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    (folder / "enclave.sgxs").write_text("of the last build")
    before = sorted(folder.iterdir())

    done = command(*enclave(folder), status=1, limit=small_files)

    assert "error[OB0591]: cannot write `enclave.sgxs`: File too large" in done.stderr
    assert sorted(folder.iterdir()) == before
    assert (folder / "enclave.sgxs").read_text() == "of the last build"


def test_a_folder_that_is_not_there_is_named(folder: Path, command: Run) -> None:
    words = enclave(folder)
    words[words.index("--output") + 1] = folder / "no" / "enclave.sgxs"

    done = command(*words, status=1)

    assert "cannot write `enclave.sgxs`: No such file or directory" in done.stderr


def test_wrong_input_is_reported_and_leaves_nothing(folder: Path, command: Run) -> None:
    (folder / "libos.elf").write_bytes(b"\x7fELF")

    done = command(*enclave(folder), status=2)

    assert done.stderr.startswith("error[OB0520]: this file cannot be the LibOS of an enclave")
    assert not (folder / "enclave.sgxs").exists()
    assert not (folder / "enclave.json").exists()


def test_a_missing_input_is_named(folder: Path, command: Run) -> None:
    (folder / "sealed.json").unlink()

    done = command(*enclave(folder), status=2)

    assert "error[OB0590]: cannot read `sealed.json`: No such file or directory" in done.stderr


def test_an_interrupted_build_leaves_nothing_half_written(folder: Path) -> None:
    (folder / "sealed.json").write_bytes(sealed_json(user_space_size=1 << 37))
    before = sorted(folder.iterdir())
    process = subprocess.Popen(
        [sys.executable, "-m", "occlum_build.sgx", *enclave(folder)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
    )
    while sorted(folder.iterdir()) == before and process.poll() is None:
        pass

    process.send_signal(signal.SIGINT)
    process.communicate()

    assert process.returncode == 128 + signal.SIGINT
    assert sorted(folder.iterdir()) == before
