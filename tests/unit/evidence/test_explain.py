"""Why two builds differ: the cause is named, and the parts that it reached."""

import json
from pathlib import Path
from typing import Any

from occlum_build.evidence.explain import differences
from tests.support.evidence_samples import Sample, lineage


def statement(sample: Sample, **changed: Any) -> Any:
    sample.lineage = changed.pop("lineage", None) or lineage(**changed)
    sample.write()
    assert sample.describe() == 0
    return json.loads(Path("p.json").read_bytes())


def made(path: str, digest: str) -> dict[str, Any]:
    document = lineage()
    for one in document["made"]:
        if one["path"] == path:
            one["sha256"] = digest
    return document


def test_equal_builds_have_no_difference(sample: Sample) -> None:
    assert differences(statement(sample), statement(sample)) == []


def test_a_changed_source_is_named_with_the_part_that_it_reached(sample: Sample) -> None:
    (found,) = differences(statement(sample), statement(sample, **{"app/hello.c": "9" * 64}))

    assert (found.kind, found.name) == ("source", "app/hello.c")
    assert found.parts == ("enclave.sgxs",)
    assert str(found) == (
        "source `app/hello.c` differs: 111111111111… and 999999999999…, on the way to enclave.sgxs"
    )


def test_a_source_that_only_one_build_read_is_named(sample: Sample) -> None:
    (found,) = differences(statement(sample), statement(sample, **{"app/new.h": "9" * 64}))

    assert str(found) == "source `app/new.h` is only in the second build"


def test_another_version_of_a_tool_is_named(sample: Sample) -> None:
    other = lineage()
    other["tools"][1] |= {"version": "rustc 1.96.0", "sha256": "8" * 64}

    (found,) = differences(statement(sample), statement(sample, lineage=other))

    assert (found.kind, found.parts) == ("tool", ("enclave.sgxs",))
    assert "rustc 1.95.0 333333333333… and rustc 1.96.0 888888888888…" in str(found)


def test_another_command_is_named_by_its_first_different_word(sample: Sample) -> None:
    other = lineage()
    other["actions"][0]["argv"] = ["CcCompile", "-O3"]

    (found,) = differences(statement(sample), statement(sample, lineage=other))

    assert (found.kind, found.here, found.there) == ("action", "app/hello.c", "-O3")
    assert found.name == "CcCompile of //app:x"


def test_a_result_that_differs_for_no_reason_is_called_what_it_is(sample: Sample) -> None:
    other = made("out/hello", "9" * 64)
    for one in other["made"]:
        if one["path"] == "out/root.tar":
            one["sha256"] = "8" * 64

    found = differences(statement(sample), statement(sample, lineage=other))

    assert [(one.kind, one.name) for one in found] == [("result", "out/hello")]
    assert "came out differently from equal inputs" in str(found[0])


def test_a_result_behind_a_changed_source_is_no_cause_of_its_own(sample: Sample) -> None:
    other = made("out/hello", "9" * 64)
    other["sources"][0]["sha256"] = "7" * 64

    found = differences(statement(sample), statement(sample, lineage=other))

    assert [one.kind for one in found] == ["source"]


def test_documents_that_are_no_provenance_explain_nothing() -> None:
    wrongs: list[object] = [None, {}, [], {"predicate": 1}, {"predicate": {"runDetails": {}}}]
    for wrong in wrongs:
        assert differences(wrong, wrong) == []
