"""`measure` and `inspect` as a user runs them: standard output, exit status, JSON."""

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.enclave_files import ElfEnclave, Metadata, Part, sgxmeta_note
from tests.support.sgx_samples import vector

Run = Callable[..., subprocess.CompletedProcess[str]]


def sdk(sigstruct: bytes = bytes(1808)) -> bytes:
    block = Metadata((1, 5), 1 << 20, 1, [], sigstruct=sigstruct).to_bytes()
    return ElfEnclave([Part(5, 0, b"x" * 5000, 5000)], [sgxmeta_note([block])]).to_bytes()


def test_the_measurement_of_a_bundle_is_the_hash_of_its_stream(verb: Run, bundle: Path) -> None:
    expected = hashlib.sha256((bundle / "enclave.sgxs").read_bytes()).hexdigest()

    for file in (bundle, bundle / "enclave.sgxs"):
        assert verb("measure", file).stdout == f"{expected}\n"


def test_a_claim_that_differs_is_the_answer_no(verb: Run, bundle: Path, tmp_path: Path) -> None:
    stream = bytearray((bundle / "enclave.sgxs").read_bytes())
    stream[stream.index(b'"memory"')] ^= 1
    (tmp_path / "enclave.sgxs").write_bytes(stream)
    (tmp_path / "enclave.sig").write_bytes((bundle / "enclave.sig").read_bytes())

    for verb_name in ("measure", "inspect"):
        done = verb(verb_name, tmp_path, status=1)
        assert "claims another MRENCLAVE" in done.stderr
    assert verb("measure", tmp_path, status=1).stdout == (
        f"{hashlib.sha256(stream).hexdigest()}\n"
    )


def test_a_file_that_is_no_enclave_is_wrong_input(verb: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff")

    assert "OB0541" in verb("measure", "file", status=2).stderr
    assert "OB0590" in verb("measure", "absent", status=2).stderr


def test_json_has_the_documented_keys(verb: Run, tmp_path: Path) -> None:
    (tmp_path / "enclave.signed.so").write_bytes(sdk(b"\x06".ljust(1808, b"\0")))
    measured = json.loads(verb("measure", "--json", "enclave.signed.so", status=1).stdout)
    inspected = json.loads(verb("inspect", "--json", "enclave.signed.so", status=1).stdout)

    assert measured.pop("schema") == "occlum-build/measure/1"
    assert inspected["schema"] == "occlum-build/inspect/1"
    assert measured["format"] == "intel-sdk"
    assert measured["claim_is_right"] is False
    assert measured["pages"] == {"measured": 2, "unmeasured": 0}
    assert measured.items() <= inspected.items()
    assert [row["name"] for row in inspected["memory"]] == ["segment 0", "free"]
    assert set(inspected["signature"]) >= {"mrsigner", "isv_family_id", "cet_attributes", "q2"}


def test_inspect_reads_what_others_signed(verb: Run, tmp_path: Path) -> None:
    (tmp_path / "enclave.signed.so").write_bytes(sdk(vector("intel-le_prod_css.bin")))
    signature = json.loads(verb("inspect", "--json", "enclave.signed.so", status=1).stdout)[
        "signature"
    ]

    assert signature["signature_is_right"] is True
    assert signature["quotients_are_right"] is True
    assert (signature["vendor"], signature["software_defined"]) == (0x8086, 0x10)
    assert signature["date"] == "20240811"
    assert signature["mrsigner"] == (
        "acb77012053e05a63d413b8bbae8fb6c5d73b3f2996d91c43bbbf90959c0f8d4"
    )


def test_the_signature_may_be_a_file_of_its_own(verb: Run, bundle: Path, tmp_path: Path) -> None:
    signature = tmp_path / "elsewhere"
    signature.write_bytes((bundle / "enclave.sig").read_bytes())
    stream = tmp_path / "stream"
    stream.write_bytes((bundle / "enclave.sgxs").read_bytes())

    assert "nobody vouches" in verb("inspect", stream).stdout
    assert "what the signature claims" in verb("inspect", stream, "--signature", signature).stdout


def test_our_pages_have_names(verb: Run, bundle: Path) -> None:
    found = json.loads(verb("inspect", "--json", bundle).stdout)
    rows = found["memory"]
    names = [row["name"] for row in rows if row["name"] != "guard"]

    assert rows[0]["name"] == "guard"
    assert names[0] == "user"
    assert names.pop() == "free"
    assert "libos" in names
    assert "sealed config" in names
    assert "thread 1 kernel stack" in names
    assert names[-1] == "kernel heap"
    assert found["sealed_config"]["process"]["command"] == ["/bin/hello"]
    assert '"root_hash"' in verb("inspect", bundle).stdout
