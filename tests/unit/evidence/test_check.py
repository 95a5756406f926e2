"""Checking a bundle against its evidence: whatever is changed, the finding names it."""

import json
from pathlib import Path

import pytest

from occlum_build.evidence import dsse
from occlum_build.evidence.__main__ import main
from occlum_build.evidence.canonical import canonical
from occlum_build.evidence.check import Finding, check_evidence
from tests.support.document_keys import KEYS, pem
from tests.support.evidence_samples import Sample

SIGNED = ("sbom.cdx.json=s.json", "provenance.dsse.json=d.json")


def failed(findings: list[Finding]) -> dict[str, str]:
    return {one.name: one.detail for one in findings if one.has_passed is False}


def signed(sample: Sample, kind: str = "ed25519") -> Path:
    assert sample.describe() == 0
    Path("key.pem").write_bytes(pem(KEYS[kind]))
    assert main(["sign", "--provenance", "p.json", "--key", "key.pem", "--output", "d.json"]) == 0
    return sample.bundle(evidence=SIGNED)


def test_a_good_bundle_passes_every_check_and_says_that_nobody_signed(sample: Sample) -> None:
    findings = check_evidence(sample.bundle())

    assert failed(findings) == {}
    assert [one.name for one in findings if one.has_passed is None] == ["provenance signature"]


@pytest.mark.parametrize("kind", KEYS)
def test_a_signed_bundle_passes_with_the_key_that_signed_it(sample: Sample, kind: str) -> None:
    bundle = signed(sample, kind)

    assert [one.name for one in check_evidence(bundle) if one.has_passed is None]
    assert all(one.has_passed for one in check_evidence(bundle, KEYS[kind].public_key()))


def test_another_key_does_not_pass(sample: Sample) -> None:
    bundle = signed(sample, "ed25519")

    found = failed(check_evidence(bundle, KEYS["ecdsa"].public_key()))

    assert list(found) == ["provenance signature"]


def test_a_signature_that_is_demanded_and_missing_does_not_pass(sample: Sample) -> None:
    found = failed(check_evidence(sample.bundle(), KEYS["ecdsa"].public_key()))

    assert found == {"provenance signature": "nobody has signed it"}


@pytest.mark.parametrize(
    "name", ["enclave.sgxs", "bin/occlum-run", "images/root.erofs", "sbom.cdx.json"]
)
@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_any_changed_part_contradicts_the_provenance(sample: Sample, name: str, how: str) -> None:
    bundle = sample.bundle()
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content if how == "flipped" else content[:-1])

    assert f"`{name}`" in failed(check_evidence(bundle))["provenance"]


@pytest.mark.parametrize("name", ["provenance.json", "sbom.cdx.json"])
def test_a_document_in_another_form_is_refused(sample: Sample, name: str) -> None:
    path = sample.bundle() / name
    path.write_text(json.dumps(json.loads(path.read_bytes()), indent=1))

    found = failed(check_evidence(path.parent))

    assert any("not in canonical form" in detail for detail in found.values())


def test_a_swapped_runner_contradicts_both_documents(sample: Sample) -> None:
    bundle = sample.bundle()
    (bundle / "bin/occlum-run").write_bytes(b"#!/bin/evil\n")

    found = failed(check_evidence(bundle))

    assert set(found) == {"bill of materials", "provenance"}
    assert "`bin/occlum-run`" in found["provenance"]


def test_a_bill_that_leaves_a_file_out_is_refused(sample: Sample) -> None:
    bundle = sample.bundle()
    bom = json.loads((bundle / "sbom.cdx.json").read_bytes())
    image = next(one for one in bom["components"] if one["bom-ref"] == "images/root.erofs")
    dropped = image["components"].pop(0)
    image["components"][0]["hashes"] = [{"alg": "SHA-256", "content": "0" * 64}]
    image["components"].append(dropped | {"bom-ref": "images/root.erofs:/ghost"})
    (bundle / "sbom.cdx.json").write_bytes(canonical(bom))

    detail = failed(check_evidence(bundle))["bill of materials"]

    assert "does not list `images/root.erofs:/bin/hello`" in detail
    assert "lists `images/root.erofs:/ghost`, which is not there" in detail
    assert "another digest for `images/root.erofs:/bin/sh`" in detail


@pytest.mark.parametrize("name", ["sbom.cdx.json", "provenance.json"])
@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"components":1}', b"[" * 100_000])
def test_a_hostile_document_gives_a_finding_and_no_crash(
    sample: Sample, name: str, text: bytes
) -> None:
    bundle = sample.bundle()
    (bundle / name).write_bytes(text)

    assert failed(check_evidence(bundle))


def test_a_bundle_without_evidence_has_none_to_check(sample: Sample) -> None:
    bundle = sample.bundle()
    evidence = ("sbom.cdx.json", "provenance.json")
    for name in evidence:
        (bundle / name).unlink()

    unchecked = {one.name for one in check_evidence(bundle) if one.has_passed is None}

    assert unchecked == {"bill of materials", "provenance"}


def test_a_stolen_signature_does_not_vouch_for_other_parts(sample: Sample) -> None:
    envelope = (signed(sample) / "provenance.dsse.json").read_bytes()
    Path("bundle").rename("old")
    sample.sgxs = b"another enclave"
    sample.write()
    bundle = sample.bundle(evidence=SIGNED)
    (bundle / "provenance.dsse.json").write_bytes(envelope)

    found = check_evidence(bundle, KEYS["ed25519"].public_key())

    assert dsse.verified(envelope, KEYS["ed25519"].public_key())
    assert "`enclave.sgxs`" in failed(found)["provenance"]
