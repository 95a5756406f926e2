"""Provenance: in-toto's own library takes it, and it names what went in and what came out."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from occlum_build.evidence.provenance import subjects
from tests.support.evidence_samples import Sample, lineage


def statement(sample: Sample) -> Any:
    assert sample.describe() == 0
    return json.loads(Path("p.json").read_bytes())


def resources(found: Any) -> dict[str, Any]:
    definition = found["predicate"]["buildDefinition"]
    return {one["name"]: one for one in definition["resolvedDependencies"]}


def test_in_toto_finds_nothing_wrong(sample: Sample) -> None:
    found = statement(sample)

    message = json_format.ParseDict(found, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    json_format.ParseDict(found["predicate"], provenance_pb2.Provenance())


def test_the_parts_are_the_subjects_and_the_signature_of_the_enclave_is_none(
    sample: Sample,
) -> None:
    found = subjects(statement(sample))

    sbom = hashlib.sha256(Path("s.json").read_bytes()).hexdigest()
    assert set(found) == {"bin/occlum-run", "enclave.sgxs", "images/root.erofs", "sbom.cdx.json"}
    assert found["enclave.sgxs"] == hashlib.sha256(b"an enclave").hexdigest()
    assert found["sbom.cdx.json"] == sbom


def test_sources_fetched_files_and_tools_are_named_by_digest(sample: Sample) -> None:
    found = resources(statement(sample))

    assert found["app/hello.c"]["digest"] == {"sha256": "1" * 64}
    assert found["app/hello.c"]["annotations"]["kind"] == "source"
    assert found["out/libc6.deb"]["annotations"]["kind"] == "fetched"
    assert found["rust"]["digest"] == {"sha256": "3" * 64}
    assert found["python zig.py"]["uri"] == "pkg:generic/cpython@3.11.7"


def test_what_was_made_on_the_way_is_a_byproduct_and_what_was_fetched_is_not(
    sample: Sample,
) -> None:
    found = statement(sample)["predicate"]["runDetails"]["byproducts"]

    assert [one["name"] for one in found] == ["out/e.sgxs", "out/hello", "out/root.tar"]


def test_commands_and_the_target_are_parameters(sample: Sample) -> None:
    definition = statement(sample)["predicate"]["buildDefinition"]

    assert definition["externalParameters"] == {
        "target": "//app:enclave",
        "configuration": "default",
    }
    actions = definition["internalParameters"]["actions"]
    assert [one["mnemonic"] for one in actions] == ["CcCompile", "FetchDeb", "Rootfs", "Enclave"]


def test_the_same_lineage_gives_the_same_bytes_whatever_its_order(sample: Sample) -> None:
    statement(sample)
    first = Path("p.json").read_bytes()
    shuffled = lineage()
    for kind in ("sources", "tools", "made"):
        shuffled[kind].reverse()
    sample.lineage = shuffled
    sample.write()

    statement(sample)

    assert Path("p.json").read_bytes() == first


@pytest.mark.parametrize(
    "wrong",
    [{}, [], {"_type": "x", "predicateType": "y"}, None, {"subject": [1]}],
)
def test_another_document_is_no_provenance(wrong: object) -> None:
    with pytest.raises(ValueError, match="it is no"):
        subjects(wrong)


def test_provenance_of_another_build_type_is_not_ours(sample: Sample) -> None:
    found = statement(sample)
    found["predicate"]["buildDefinition"]["buildType"] = "https://example.com/other"

    with pytest.raises(ValueError, match="no SLSA provenance of a bundle"):
        subjects(found)
