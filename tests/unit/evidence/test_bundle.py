"""Bundles: the same bytes for the same parts, and a manifest that names every one of them."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from occlum_build.evidence import dsse
from occlum_build.evidence.__main__ import main
from tests.support.document_keys import KEYS, pem
from tests.support.evidence_samples import Sample


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_bytes())


def test_a_manifest_says_what_the_signature_and_the_measurement_say(sample: Sample) -> None:
    manifest = manifest_of(sample.bundle())

    assert manifest["mrenclave"] == hashlib.sha256(b"an enclave").hexdigest()
    modulus = (bytes(range(256)) * 2)[:384]
    assert manifest["mrsigner"] == hashlib.sha256(modulus).hexdigest()
    assert (manifest["isv_prod_id"], manifest["isv_svn"]) == (0, 0)
    assert manifest["signing_key"] == {"name": "release", "development": False}
    assert manifest["images"][0]["path"] == "images/root.erofs"


def test_a_manifest_names_every_file_but_itself(sample: Sample) -> None:
    folder = sample.bundle()

    found = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    listed = [one["path"] for one in manifest_of(folder)["files"]]
    assert listed == sorted(found - {"manifest.json"})
    assert {"sbom.cdx.json", "provenance.json"} <= set(listed)
    assert os.access(folder / "bin/occlum-run", os.X_OK)


def test_two_bundles_of_the_same_parts_are_the_same_bytes(sample: Sample) -> None:
    one, other = sample.bundle(output="a"), sample.bundle(output="b")

    for file in (path for path in one.rglob("*") if path.is_file()):
        assert file.read_bytes() == (other / file.relative_to(one)).read_bytes()


def test_a_development_key_is_named_as_such_in_every_output(sample: Sample) -> None:
    folder = sample.bundle("--development-key")

    assert manifest_of(folder)["signing_key"]["development"]
    assert "development key: nobody should trust it" in Path("bundle.txt").read_text()


def test_a_build_says_whether_its_provenance_is_signed(sample: Sample) -> None:
    sample.bundle(output="unsigned")
    Path("key.pem").write_bytes(pem(KEYS["ed25519"]))
    assert main(["sign", "--provenance", "p.json", "--key", "key.pem", "--output", "d"]) == 0
    evidence = ("sbom.cdx.json=s.json", "provenance.dsse.json=d")

    sample.bundle(evidence=evidence, output="signed")

    assert "provenance not signed" in Path("unsigned.txt").read_text()
    key = dsse.key_id(KEYS["ed25519"].public_key())
    assert f"provenance signed by key {key}" in Path("signed.txt").read_text()


@pytest.mark.usefixtures("sample")
def test_a_report_of_another_enclave_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("e.sgxs").write_bytes(b"another enclave")

    status = main(["bundle", "--target", "//a", "--part", "enclave.sgxs=e.sgxs",
                   "--part", "enclave.sig=e.sig", "--sealed", "sealed.json",
                   "--report", "report.json", "--key-name", "k", "--output", "b",
                   "--summary", "b.txt"])  # fmt: skip

    assert status == 2
    mrenclave = hashlib.sha256(b"an enclave").hexdigest()
    assert f"the report says MRENCLAVE {mrenclave}" in capsys.readouterr().err
