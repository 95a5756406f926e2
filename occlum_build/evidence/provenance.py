"""Provenance: an in-toto Statement v1 with the predicate of SLSA Provenance v1.

https://in-toto.io/Statement/v1 and https://slsa.dev/provenance/v1. It says of the parts of
a bundle, but for the enclave's signature, which sources, fetched files and tools they were
made from, by which actions, and what was made on the way. It names no time, no machine and
no run: whoever makes the same parts from the same inputs writes the same bytes.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

from occlum_build.evidence.canonical import canonical
from occlum_build.evidence.files import reason
from occlum_build.evidence.lineage import Lineage
from occlum_build.evidence.subject import Subject

UNSIGNED_NAME: Final = "provenance.json"
"""What a statement that nobody signed is called in a bundle."""
SIGNED_NAME: Final = "provenance.dsse.json"
"""What an envelope with a signed statement is called in a bundle."""

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:x-occlum-build:bundle:1"
BUILDER: Final = "urn:x-occlum-build:anyone"
"""No claim of a trusted place: what the statement says is checked by building again."""

SOURCE: Final = "source"
FETCHED: Final = "fetched"
TOOL: Final = "tool"


def render_provenance(subject: Subject, sbom_name: str, sbom_sha256: str) -> bytes:
    """The statement about a bundle, as canonical JSON."""
    lineage = subject.lineage
    digests = {**subject.digests, sbom_name: sbom_sha256}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in sorted(digests.items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "target": subject.target,
                    "configuration": lineage.configuration,
                },
                "internalParameters": {"actions": [_action(one) for one in lineage.actions]},
                "resolvedDependencies": sorted(_dependencies(lineage), key=_order),
            },
            "runDetails": {
                "builder": {"id": BUILDER},
                "byproducts": sorted(_byproducts(lineage), key=_order),
            },
        },
    }
    return canonical(statement)


def subjects(statement: Any) -> dict[str, str]:
    """The SHA-256 of each part that a statement is about.

    Raises:
        ValueError: it is no statement of ours.
    """
    try:
        kinds = statement["_type"], statement["predicateType"]
        build_type = statement["predicate"]["buildDefinition"]["buildType"]
        found = {str(one["name"]): str(one["digest"]["sha256"]) for one in statement["subject"]}
    except (KeyError, TypeError) as problem:
        raise ValueError(f"it is no in-toto statement: {reason(problem)}") from None
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE) or build_type != BUILD_TYPE:
        raise ValueError("it is no SLSA provenance of a bundle")
    return found


def _action(action: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("owner", "mnemonic", "argv", "env", "inputs", "outputs", "tools")
    found = {name: action[name] for name in kept}
    return found | ({"text_sha256": action["text_sha256"]} if "text_sha256" in action else {})


def _dependencies(lineage: Lineage) -> Iterator[dict[str, Any]]:
    for one in lineage.sources:
        notes = {"kind": SOURCE, "label": one["label"], "executable": one["is_executable"]}
        notes |= {"link": one["link"]} if "link" in one else {}
        yield _resource(one["path"], {"sha256": one["sha256"]}, notes)
    fetched = lineage.fetched
    for one in lineage.made:
        if one["path"] in fetched:
            yield _resource(one["path"], _made_digest(one), {"kind": FETCHED})
    for one in lineage.tools:
        yield _tool(one)


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool by the digest over its files; a script's files are sources, its Python a version."""
    notes = {"kind": TOOL, "version": tool["version"]}
    if "sha256" in tool:
        return _resource(tool["name"], {"sha256": tool["sha256"]}, notes)
    uri = f"pkg:generic/cpython@{quote(tool['version'])}"
    return {"name": tool["name"], "uri": uri, "annotations": notes}


def _byproducts(lineage: Lineage) -> Iterator[dict[str, Any]]:
    fetched = lineage.fetched
    for one in lineage.made:
        if one["path"] not in fetched:
            yield {"name": one["path"], "digest": _made_digest(one)}


def _made_digest(made: Mapping[str, Any]) -> dict[str, str]:
    """A directory has the engine's digest over names, modes and contents, under another name."""
    return {"occlumBuildTree" if made["is_directory"] else "sha256": made["sha256"]}


def _resource(name: str, digest: dict[str, str], notes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "digest": digest, "annotations": notes}


def _order(resource: Mapping[str, Any]) -> tuple[str, str]:
    return str(resource.get("annotations", {}).get("kind", "")), str(resource["name"])
