import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.content import BytesContent
from occlum_build.fs.directory import read_directory
from occlum_build.fs.image import ImageFacts, facts_path, pack, verify
from occlum_build.fs.tree import Tree, regular_file

Judge = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def image(sample: Path, tmp_path: Path) -> Path:
    pack(read_directory(sample), tmp_path / "sample.erofs")
    return tmp_path / "sample.erofs"


def veritysetup_words(image: Path) -> list[str]:
    facts = json.loads(facts_path(image).read_bytes())
    offset = facts["hash_offset"]
    return [
        "veritysetup",
        "verify",
        f"--hash-offset={offset}",
        *2 * [str(image)],
        facts["root_hash"],
    ]


def test_veritysetup_verifies_the_image(image: Path, judge: Judge) -> None:
    judge(*veritysetup_words(image))


def test_veritysetup_refuses_one_flipped_bit(image: Path, judge: Judge) -> None:
    data = bytearray(image.read_bytes())
    data[len(data) // 3] ^= 0x10
    image.write_bytes(data)

    judge(*veritysetup_words(image), status=2)


@pytest.mark.parametrize("blocks", [2, 128, 129, 130, 128 * 128, 128 * 128 + 1])
def test_veritysetup_makes_the_same_tree(blocks: int, tmp_path: Path, judge: Judge) -> None:
    content = BytesContent(bytes(range(256)) * 16 * (blocks - 1))
    facts = pack(Tree([(b"x", regular_file(0o644, content, "test"))]), tmp_path / "x.erofs")
    ours = (tmp_path / "x.erofs").read_bytes()
    (tmp_path / "data").write_bytes(ours[: facts.data_size])

    said = judge(
        *("veritysetup", "format", "--salt=-", "--uuid=0cc1b01d-e20f-5000-8000-000000000002"),
        *(tmp_path / "data", tmp_path / "tree"),
    )

    assert facts.data_size == blocks * 4096
    assert facts.root_hash in said.stdout.decode()
    assert (tmp_path / "tree").read_bytes() == ours[facts.data_size :]


def test_the_facts_beside_an_image_say_where_its_parts_are(image: Path) -> None:
    facts = ImageFacts.read(facts_path(image))

    assert facts.hash_offset == facts.data_size
    assert facts.tree_offset == facts.data_size + 4096
    assert facts.size == image.stat().st_size
    assert facts.encode() == facts_path(image).read_bytes()
    assert image.read_bytes()[facts.hash_offset :].startswith(b"verity\0\0")


def test_an_image_verifies(image: Path) -> None:
    assert verify(image) == ImageFacts.read(facts_path(image))


def test_each_flipped_bit_is_noticed(image: Path) -> None:
    good = image.read_bytes()
    for at in range(0, len(good), 9973):
        image.write_bytes(good[:at] + bytes([good[at] ^ 0x80]) + good[at + 1 :])
        with pytest.raises(DiagnosticError) as caught:
            verify(image)
        assert caught.value.diagnostics[0].code == "OB0614"


def test_the_altered_block_is_named(image: Path) -> None:
    data = bytearray(image.read_bytes())
    data[5 * 4096 + 17] ^= 1
    image.write_bytes(data)

    with pytest.raises(DiagnosticError, match=r"disagree at block 5$"):
        verify(image)


def test_another_root_hash_is_refused(image: Path) -> None:
    with pytest.raises(DiagnosticError, match="not the one that was measured"):
        verify(image, bytes(32))


@pytest.mark.parametrize("change", [b"", b"\0"])
def test_an_image_of_another_length_is_refused(change: bytes, image: Path) -> None:
    data = image.read_bytes()
    image.write_bytes(data + change if change else data[:-4096])

    with pytest.raises(DiagnosticError) as caught:
        verify(image)

    assert caught.value.diagnostics[0].code == "OB0614"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"version":1}', "[" * 100_000, '{"data_size":"x","root_hash":""}'],
)
def test_facts_that_are_none_are_refused(text: str, image: Path) -> None:
    facts_path(image).write_text(text)

    with pytest.raises(DiagnosticError) as caught:
        verify(image)

    assert caught.value.diagnostics[0].code == "OB0613"


def test_facts_must_be_whole_numbers(image: Path) -> None:
    facts = json.loads(facts_path(image).read_bytes())
    facts["data_size"] = float(facts["data_size"])
    facts_path(image).write_text(json.dumps(facts))

    with pytest.raises(DiagnosticError, match="does not describe an image"):
        verify(image)


@pytest.mark.parametrize("key", ["data_size", "tree_offset", "hash_offset", "size", "block_size"])
def test_facts_that_contradict_each_other_are_refused(key: str, image: Path) -> None:
    facts = json.loads(facts_path(image).read_bytes())
    facts[key] += 4096
    facts_path(image).write_text(json.dumps(facts))

    with pytest.raises(DiagnosticError):
        verify(image)
