"""The bill of materials: CycloneDX 1.6, every file of every image and where it comes from.

https://cyclonedx.org/docs/1.6/json. The images are read as they will be shipped, so a file
without an origin cannot be left out. There is no time stamp, and the serial number is a
UUID of the content, so that the same parts give the same bytes.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid5

from occlum_build.evidence.canonical import canonical
from occlum_build.evidence.component import Component, Components
from occlum_build.evidence.subject import Subject
from occlum_build.fs.content import Storage, chunks
from occlum_build.fs.erofs.reader import read_image
from occlum_build.fs.origins import read_origins
from occlum_build.fs.problem import shown, shown_name
from occlum_build.fs.tree import Kind, Node

NAME: Final = "sbom.cdx.json"
"""What it is called in a bundle; CycloneDX recommends the ending."""

_NAMESPACE: Final = UUID("0cc1b01d-e20f-5000-8000-000000000003")
_PREFIX: Final = "occlum-build"
_BUNDLE: Final = "bundle"


def render_sbom(subject: Subject) -> bytes:
    """The document of a bundle; raises `DiagnosticError` if a part cannot be read."""
    components = Components(subject.lineage.source_digests)
    needs: dict[str, tuple[str, ...]] = {}
    parts = [_part(subject, name, components, needs) for name in sorted(subject.parts)]
    programs = [_program(subject, at, components, needs) for at in range(len(subject.programs))]
    found = [_described(one) for one in components.found.values()]
    needs |= {one.ref: one.depends_on for one in components.found.values()}
    needs[_BUNDLE] = tuple(one["bom-ref"] for one in [*parts, *programs])
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": _BUNDLE,
                "name": subject.target,
                "properties": _properties(mrenclave=subject.mrenclave),
            },
            "tools": {"components": [{"type": "application", "name": "occlum-build"}]},
        },
        "components": sorted([*parts, *programs, *found], key=_ref),
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(set(others))}
            for ref, others in sorted(needs.items())
            if others
        ],
    }
    serial = uuid5(_NAMESPACE, hashlib.sha256(canonical(document)).hexdigest())
    return canonical({**document, "serialNumber": f"urn:uuid:{serial}"})


def files_of_image(image: Path) -> Iterator[tuple[bytes, Node, str | None]]:
    """Each name in an image that is no directory, and the SHA-256 of its content if it has any.

    Raises:
        DiagnosticError: it is no image.
    """
    digests: dict[int, str] = {}
    for path, node in read_image(Storage.open(image)):
        if node.kind is Kind.DIRECTORY:
            continue
        if node.content is not None and id(node) not in digests:
            digest = hashlib.sha256()
            for chunk in chunks(node.content):
                digest.update(chunk)
            digests[id(node)] = digest.hexdigest()
        yield path, node, digests.get(id(node))


def file_ref(image: str, path: bytes) -> str:
    """The name of a file of an image in the document."""
    return f"{image}:{shown(path)}"


def listed_files(document: Any, part: str) -> dict[str, str | None]:
    """What a document says is in the image that is the part of this name: digests by reference.

    Raises:
        ValueError: it says nothing of the part, or nothing that can be understood.
    """
    for component in document["components"]:
        if component["bom-ref"] == part:
            return {one["bom-ref"]: _sha256(one) for one in component.get("components", ())}
    raise ValueError(f"it does not name `{part}`")


def _part(
    subject: Subject, name: str, components: Components, needs: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    part = _file(name, name, subject.digests[name])
    image = name.removeprefix("images/").removesuffix(".erofs")
    if image not in subject.images or name != f"images/{image}.erofs":
        return part
    origins = subject.images[image]
    known = read_origins(origins) if origins is not None else {}
    inside = []
    for path, node, digest in files_of_image(subject.parts[name]):
        ref = file_ref(name, path)
        inside.append(_file(ref, shown(path), digest, _node_properties(node)))
        if path in known:
            needs[ref] = components.of(known[path])
    return {**part, "components": sorted(inside, key=_ref)} if inside else part


def _program(
    subject: Subject, at: int, components: Components, needs: dict[str, tuple[str, ...]]
) -> dict[str, Any]:
    program = subject.programs[at]
    digest = hashlib.sha256(program.path.read_bytes()).hexdigest()
    needs[f"program:{program.name}"] = components.of(program.origin)
    return {
        "type": "application",
        "bom-ref": f"program:{program.name}",
        "name": program.name,
        "hashes": _hashes(digest),
    }


def _file(
    ref: str, name: str, digest: str | None, properties: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "file", "bom-ref": ref, "name": name}
    if digest is not None:
        found["hashes"] = _hashes(digest)
    if properties:
        found["properties"] = properties
    return found


def _described(component: Component) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": component.kind,
        "bom-ref": component.ref,
        "name": component.name,
    }
    if component.version:
        found["version"] = component.version
    if component.purl:
        found["purl"] = component.purl
    if component.sha256:
        found["hashes"] = _hashes(component.sha256)
    return found


def _node_properties(node: Node) -> list[dict[str, str]]:
    if node.kind is Kind.SYMLINK:
        return _properties(target=shown_name(node.target))
    if node.kind is Kind.FILE:
        return _properties(mode=f"{node.mode:04o}")
    return _properties(kind=node.kind.value, mode=f"{node.mode:04o}")


def _properties(**values: str) -> list[dict[str, str]]:
    return [{"name": f"{_PREFIX}:{name}", "value": value} for name, value in values.items()]


def _hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _sha256(component: Mapping[str, Any]) -> str | None:
    found = [one["content"] for one in component.get("hashes", ()) if one["alg"] == "SHA-256"]
    return str(found[0]) if found else None


def _ref(component: Mapping[str, Any]) -> str:
    return str(component["bom-ref"])
