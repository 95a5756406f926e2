"""Every bit of a bundle counts, and `verify` says which part it lies in."""

from pathlib import Path

import pytest

from occlum_build.cli.entry import main
from tests.support.bit_flips import flips, sigstruct_flips

Capture = pytest.CaptureFixture[str]


def answer(bundle: Path, capsys: Capture) -> tuple[int, str]:
    status = main(["verify", str(bundle)])
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_the_bundle_itself_is_accepted(bundle: Path, capsys: Capture) -> None:
    status, text = answer(bundle, capsys)

    assert status == 0
    assert "fail " not in text


def test_every_kind_of_bit_is_refused_by_the_name_of_its_part(
    bundle: Path, tmp_path: Path, capsys: Capture
) -> None:
    wrong = []
    for flip in flips(bundle):
        status, text = answer(flip.make(bundle, tmp_path), capsys)
        if status != 1 or not all(word in text for word in flip.named):
            wrong.append(f"{flip}: {status}, without one of {flip.named}\n{text}")

    assert not wrong, "\n".join(wrong)


def test_every_byte_of_a_sigstruct_counts(bundle: Path, tmp_path: Path, capsys: Capture) -> None:
    sgxs = bundle / "enclave.sgxs"
    packed = (bundle / "enclave.sig").read_bytes()
    changed = tmp_path / "changed.sig"
    accepted = []
    for byte in range(0, len(packed), 13):
        data = bytearray(packed)
        data[byte] ^= 1 << byte % 8
        changed.write_bytes(data)
        if main(["verify", str(sgxs), "--signature", str(changed)]) != 1:
            accepted.append(byte)
        capsys.readouterr()

    assert accepted == []
    assert len(list(sigstruct_flips())) > 40
