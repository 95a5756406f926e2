"""Two bundles: what a key decides is told apart from what the source decides."""

import json
import shutil
from pathlib import Path

import pytest

from occlum_build.audit.bundles import Outcome, causes, compare_bundles, statement_of
from occlum_build.evidence import dsse
from occlum_build.evidence.canonical import canonical
from tests.support.bundles import make_bundle
from tests.support.document_keys import KEYS


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from occlum_build.sgx.__main__ import main as sgx

    folder = tmp_path_factory.mktemp("keys")
    paths = folder / "one.pem", folder / "other.pem"
    for path in paths:
        assert sgx(["development-key", "--output", str(path)]) == 0
    return paths


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: tuple[Path, Path]) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), keys[0])


@pytest.fixture
def bundle(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


def outcomes(one: Path, other: Path) -> dict[str, Outcome]:
    return {part.name: part.outcome for part in compare_bundles(one, other)}


def test_a_bundle_matches_itself(original: Path, bundle: Path) -> None:
    assert set(outcomes(original, bundle).values()) == {Outcome.SAME}


def test_another_key_makes_an_equivalent_bundle(
    original: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    found = outcomes(original, make_bundle(tmp_path, keys[1], is_development=True))

    assert found.pop("enclave.sig") is Outcome.EQUIVALENT
    assert found.pop("manifest.json") is Outcome.EQUIVALENT
    assert set(found.values()) == {Outcome.SAME}


def test_another_program_makes_another_bundle(
    original: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    found = outcomes(original, make_bundle(tmp_path, keys[0], hello=b"other\n"))

    assert found["bin/occlum-run"] is Outcome.SAME
    different = {"enclave.sgxs", "images/root.erofs", "enclave.sig", "manifest.json"}
    assert {name for name, one in found.items() if one is Outcome.DIFFERENT} == different


def test_another_field_of_the_signature_is_no_matter_of_the_key(
    original: Path, bundle: Path
) -> None:
    content = bytearray((bundle / "enclave.sig").read_bytes())
    content[1026] ^= 1  # ISVSVN
    (bundle / "enclave.sig").write_bytes(content)

    assert outcomes(original, bundle)["enclave.sig"] is Outcome.DIFFERENT


@pytest.mark.parametrize(
    ("key", "value"),
    [("mrenclave", "0" * 64), ("debug", True), ("target", "//other"), ("images", [])],
)
def test_a_manifest_that_says_something_else_is_no_matter_of_the_key(
    original: Path, bundle: Path, key: str, value: object
) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_bytes(canonical(manifest | {key: value}))

    assert outcomes(original, bundle)["manifest.json"] is Outcome.DIFFERENT


@pytest.mark.parametrize("text", [b"", b"[]", b'{"files":1}', b"[" * 100_000])
def test_a_broken_manifest_is_another_one(original: Path, bundle: Path, text: bytes) -> None:
    (bundle / "manifest.json").write_bytes(text)

    assert outcomes(bundle, original)["manifest.json"] is Outcome.DIFFERENT


def test_a_file_that_only_one_of_them_has_is_no_match(original: Path, bundle: Path) -> None:
    (bundle / "images/extra").touch()

    assert outcomes(bundle, original)["images/extra"] is Outcome.ADDED
    assert outcomes(original, bundle)["images/extra"] is Outcome.MISSING


def statement(*tools: str, source: str = "1" * 64) -> bytes:
    dependencies = [
        {"name": "a.c", "digest": {"sha256": source}, "annotations": {"kind": "source"}},
        *(
            {"name": "rust", "digest": {"sha256": "2" * 64},
             "annotations": {"kind": "tool", "version": one}}
            for one in tools
        ),
    ]  # fmt: skip
    return canonical(
        {
            "subject": [],
            "predicate": {
                "buildDefinition": {
                    "resolvedDependencies": dependencies,
                    "internalParameters": {"actions": []},
                },
                "runDetails": {"byproducts": []},
            },
        }
    )


def with_provenance(bundle: Path, tmp_path: Path, content: bytes, *, is_signed: bool) -> Path:
    copy = Path(shutil.copytree(bundle, tmp_path / f"with {len(list(tmp_path.iterdir()))}"))
    name = "provenance.dsse.json" if is_signed else "provenance.json"
    (copy / name).write_bytes(dsse.sign(content, KEYS["ed25519"]) if is_signed else content)
    return copy


def test_a_signature_over_provenance_is_not_what_is_compared(
    original: Path, tmp_path: Path
) -> None:
    signed = with_provenance(original, tmp_path, statement("1.95"), is_signed=True)
    unsigned = with_provenance(original, tmp_path, statement("1.95"), is_signed=False)

    assert outcomes(signed, unsigned)["provenance"] is Outcome.EQUIVALENT
    assert outcomes(signed, signed)["provenance"] is Outcome.SAME
    assert statement_of(signed) == statement_of(unsigned)


def test_another_tool_that_makes_the_same_parts_is_equivalent_and_named(
    original: Path, tmp_path: Path
) -> None:
    one = with_provenance(original, tmp_path, statement("1.95"), is_signed=False)
    other = with_provenance(original, tmp_path, statement("1.96"), is_signed=False)

    (part,) = (part for part in compare_bundles(one, other) if part.name == "provenance")

    assert part.outcome is Outcome.EQUIVALENT
    assert "tool `rust` differs: 1.95" in part.note


def test_another_source_is_no_match_even_if_all_parts_are_the_same(
    original: Path, tmp_path: Path
) -> None:
    one = with_provenance(original, tmp_path, statement(), is_signed=False)
    other = with_provenance(original, tmp_path, statement(source="9" * 64), is_signed=False)

    assert outcomes(one, other)["provenance"] is Outcome.DIFFERENT
    assert [found.name for found in causes(one, other)] == ["a.c"]


def test_provenance_that_only_one_of_them_has_is_no_match(original: Path, tmp_path: Path) -> None:
    one = with_provenance(original, tmp_path, statement(), is_signed=False)

    assert outcomes(one, original)["provenance"] is Outcome.MISSING


@pytest.mark.parametrize("name", ["enclave.sgxs", "enclave.sig", "manifest.json", "images/more"])
def test_a_link_in_a_published_bundle_is_not_followed(
    original: Path, bundle: Path, name: str
) -> None:
    (bundle / name).unlink(missing_ok=True)
    (bundle / name).symlink_to("/dev/zero")

    found = compare_bundles(bundle, original)

    assert [part.note for part in found if part.name == name and not part.is_match][-1] == (
        "is no plain file"
    )


def test_a_signature_that_is_too_large_is_not_taken_apart(original: Path, bundle: Path) -> None:
    with (bundle / "enclave.sig").open("wb") as file:
        file.truncate(1 << 28)

    assert outcomes(bundle, original)["enclave.sig"] is Outcome.DIFFERENT
