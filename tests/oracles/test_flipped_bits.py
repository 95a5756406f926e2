"""A bundle that was really built, with one bit of each kind changed."""

from pathlib import Path

import pytest

from occlum_build.cli.entry import main
from tests.support.bit_flips import flips
from tests.support.built import built_bundle

Capture = pytest.CaptureFixture[str]


def answer(bundle: Path, capsys: Capture) -> tuple[int, str]:
    status = main(["verify", str(bundle)])
    shown = capsys.readouterr()
    return status, shown.out + shown.err


def test_a_bundle_as_it_was_built_is_accepted(capsys: Capture) -> None:
    status, text = answer(built_bundle("hello_c"), capsys)

    assert status == 0, text


def test_every_kind_of_bit_of_it_is_refused_by_the_name_of_its_part(
    tmp_path: Path, capsys: Capture
) -> None:
    bundle = built_bundle("hello_c")
    wrong = []
    for flip in flips(bundle):
        status, text = answer(flip.make(bundle, tmp_path), capsys)
        if status != 1 or not all(word in text for word in flip.named):
            wrong.append(f"{flip}: {status}, without one of {flip.named}\n{text}")

    assert not wrong, "\n".join(wrong)
