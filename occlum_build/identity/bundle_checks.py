"""Everything in a bundle beside the enclave, checked offline against what is measured."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage
from occlum_build.identity.check import Check, Verdict, judged
from occlum_build.identity.sealed_pages import SealedPages, sealed_pages, strange_pages
from occlum_build.identity.signable import MANIFEST, read_file
from occlum_build.sgx.attributes import AttributeFlags

_MANIFEST_VERSION: Final = 1
_MAX_FILES: Final = 10_000
_BLOCK_BYTES: Final = 1 << 20
_SHOWN: Final = 8
_RUNNER: Final = "bin/"


def layout_checks(image: EnclaveImage, *, is_measured_right: bool) -> Iterator[Check]:
    """The boot page, the sealed configuration, and the pages that follow from them.

    Nothing is said about an enclave that another project laid out. Where the measurement is
    right, pages that are not as expected were laid out by another version, and that is all.
    """
    why = "what the LibOS does follows from it; where it lies, from the boot page"
    try:
        sealed = sealed_pages(image)
        if sealed is None:
            if image.format is EnclaveFormat.BUNDLE:
                finding = "there is no boot page, which every enclave of a bundle has"
                yield Check("boot-page", Verdict.FAIL, finding, why)
            return
        document = sealed.document()
        is_canonical = sealed.is_canonical
        strange = strange_pages(image, sealed)
    except DiagnosticError as problem:
        yield Check("sealed-config", Verdict.FAIL, problem.diagnostics[0].message, why)
        return
    yield judged(
        "sealed-config",
        is_right=is_canonical,
        right=f"the sealed configuration has {len(sealed.config)} bytes, in canonical form",
        wrong="the sealed configuration is not in canonical form: it was changed after sealing",
        why=why,
    )
    bad = Verdict.WARN if is_measured_right else Verdict.FAIL
    other = ("the LibOS's own pages or the sealed configuration were changed",)
    yield Check(
        "layout",
        bad if strange else Verdict.PASS,
        "pages are not as the sealed configuration demands"
        if strange
        else "every page but the LibOS's is as the sealed configuration demands",
        "threads, stacks and save areas leave no choice to whoever built it",
        tuple(strange) or (() if is_measured_right else other),
    )
    if image.sigstruct is not None:
        is_set = bool(image.sigstruct.identity.attributes.flags & AttributeFlags.DEBUG)
        yield judged(
            "debuggable",
            is_right=is_set == bool(document.get("debuggable")),
            right=f"`debuggable` is {str(is_set).lower()} in the sealed configuration, too",
            wrong="`debuggable` in the sealed configuration is not what ATTRIBUTES.DEBUG says",
            why="the LibOS believes the one, the processor the other",
        )


def bundle_checks(
    bundle: Path, image: EnclaveImage | None, provenance_key: Path | None = None
) -> Iterator[Check]:
    """The manifest, every file that it names, every image, and what was written about them.

    `provenance_key` is the public key of whoever must have signed the provenance.
    """
    manifest, check = _manifest(bundle)
    yield check
    yield from _files(bundle, manifest)
    sealed = None
    if image is not None:
        yield _facts(manifest, image)
        try:
            sealed = sealed_pages(image)
        except DiagnosticError:
            sealed = None
    if sealed is not None:
        yield from _images(bundle, manifest, sealed)
    yield from _evidence(bundle, provenance_key)


def is_development(bundle: Path) -> bool:
    """Whether the manifest says that a development key signed; it is believed only in this."""
    manifest, _ = _manifest(bundle)
    key = manifest.get("signing_key")
    return isinstance(key, Mapping) and key.get("development") is True


def _manifest(bundle: Path) -> tuple[Mapping[str, Any], Check]:
    """The manifest as far as it can be read, and whether it is one."""
    why = "it names every part: with it a lost or added byte is found"
    found: Any = {}
    wrong = ""
    try:
        text = read_file(bundle / MANIFEST)
        found = json.loads(text)
        if not isinstance(found, dict):
            found = {}
        canonical = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if found.get("version") != _MANIFEST_VERSION:
            wrong = f"its version is {found.get('version')!r}, and {_MANIFEST_VERSION} is known"
        elif text.rstrip(b"\n") != canonical.encode():
            wrong = "it is not canonical JSON"
    except DiagnosticError as problem:
        wrong = problem.diagnostics[0].message
    except (ValueError, RecursionError):
        wrong = "it is not JSON"
    finding = f"`{MANIFEST}` is no manifest: {wrong}" if wrong else f"`{MANIFEST}` is one"
    return found, Check("manifest", Verdict.FAIL if wrong else Verdict.PASS, finding, why)


def _files(bundle: Path, manifest: Mapping[str, Any]) -> Iterator[Check]:
    why = "what is not what was built may be anything"
    listed = manifest.get("files")
    entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    wrong: list[str] = []
    named: set[str] = {MANIFEST}
    for entry in entries[:_MAX_FILES]:
        name = entry.get("path")
        if not isinstance(name, str) or not _is_inside(name):
            wrong.append(f"{name!r} names nothing in a bundle")
            continue
        named.add(name)
        reason = _wrong_file(bundle / name, entry)
        if reason:
            wrong.append(f"`{name}` {reason}")
    there = {str(one.relative_to(bundle)) for one in bundle.rglob("*") if not _is_folder(one)}
    strange = sorted(there - named)
    wrong += [f"`{name}` is in the bundle, and the manifest does not name it" for name in strange]
    yield Check(
        "files",
        Verdict.FAIL if wrong else Verdict.PASS,
        "files of the bundle are not those of the manifest"
        if wrong
        else f"{len(entries)} files are those of the manifest",
        why,
        (*wrong[:_SHOWN], *((f"and {len(wrong) - _SHOWN} more",) if len(wrong) > _SHOWN else ())),
    )


def _wrong_file(path: Path, entry: Mapping[str, Any]) -> str:
    """What is wrong with a file, "" if it is the one that the manifest names."""
    try:
        if path.is_symlink() or not path.is_file():
            return "is not a file of the bundle"
        if path.stat().st_size != entry.get("size"):
            return f"has {path.stat().st_size} bytes, not {entry.get('size')}"
        if bool(entry.get("executable")) != (str(entry["path"]).startswith(_RUNNER)):
            return "is said to be executable, or not, against its name"
        found = digest_of(path)
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    if found != entry.get("sha256"):
        return f"was changed: its SHA-256 is {found}, not {entry.get('sha256')}"
    return ""


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_inside(name: str) -> bool:
    parts = name.split("/")
    return all(part not in ("", ".", "..") for part in parts) and "\0" not in name


def _facts(manifest: Mapping[str, Any], image: EnclaveImage) -> Check:
    """What the manifest repeats of the SIGSTRUCT and of the sealed configuration."""
    due: dict[str, object] = {"mrenclave": image.mrenclave.hex()}
    sigstruct = image.sigstruct
    if sigstruct is not None:
        due |= {
            "mrsigner": sigstruct.mrsigner.hex(),
            "isv_prod_id": sigstruct.identity.isv_prod_id,
            "isv_svn": sigstruct.identity.isv_svn,
        }
    due |= _sealed_facts(image)
    wrong = [
        f"`{name}` is {manifest.get(name)!r} in the manifest, and really {value!r}"
        for name, value in due.items()
        if manifest.get(name) != value
    ]
    return Check(
        "manifest-facts",
        Verdict.FAIL if wrong else Verdict.PASS,
        "the manifest says of the enclave what is not so"
        if wrong
        else "the manifest says of the enclave what is so",
        "people and programs read it",
        tuple(wrong),
    )


def _sealed_facts(image: EnclaveImage) -> dict[str, object]:
    try:
        sealed = sealed_pages(image)
        document = sealed.document() if sealed is not None else None
        if document is None:
            return {}
        return {"debug": document["debuggable"], "memory_model": document["memory"]["model"]}
    except (DiagnosticError, KeyError):
        return {}


def _images(bundle: Path, manifest: Mapping[str, Any], sealed: SealedPages) -> Iterator[Check]:
    """Every image that the sealed configuration mounts, block by block."""
    try:
        mounts = sealed.document()["mount"]
        images = [one["image"] for one in mounts if "image" in one]
        described = {one["name"]: one for one in manifest.get("images", ())}
        for one in images:
            yield _image(bundle, one, described.get(one["name"], {}))
        strange = {str(one) for one in set(described) - {one["name"] for one in images}}
    except (DiagnosticError, KeyError, TypeError, AttributeError) as problem:
        finding = f"the images cannot be told: {type(problem).__name__}"
        yield Check("images", Verdict.FAIL, finding, "they hold every file of the program")
        return
    if strange:
        finding = f"the manifest has images that nothing mounts: {', '.join(sorted(strange))}"
        yield Check("images", Verdict.FAIL, finding, "people and programs read it")


def _image(bundle: Path, measured: Mapping[str, Any], described: Mapping[str, Any]) -> Check:
    from occlum_build.fs.content import Storage
    from occlum_build.fs.verity import BLOCK_BYTES, Shape, check_tree

    name = str(measured["name"])
    why = "its root hash is measured, so the enclave reads these files or none"
    wrong: tuple[str, ...] = ()
    if not _is_inside(name) or "/" in name:
        return Check(f"image {name}", Verdict.FAIL, "its name is none", why)
    path = f"images/{name}.erofs"
    finding = f"`{path}` is the image with the measured root hash"
    for key, value in {"root_hash": measured["root_hash"], "path": path}.items():
        if described.get(key) != value:
            finding = "the manifest says of the image what is not so"
            wrong += (f"`{key}` is {described.get(key)!r} in the manifest, and really {value!r}",)
    try:
        blocks, rest = divmod(int(measured["data_size"]), BLOCK_BYTES)
        shape = Shape(blocks) if blocks and not rest else None
        if shape is None or shape.tree_offset != measured["tree_offset"]:
            finding, wrong = "the sealed sizes of the image fit no image", ()
        else:
            storage = Storage.open(bundle / path)
            check_tree(storage, blocks, bytes.fromhex(str(measured["root_hash"])))
            if storage.size != shape.size:
                finding = "something lies behind the hash tree of the image"
                wrong += (f"it has {storage.size} bytes, not {shape.size}",)
    except DiagnosticError as problem:
        one = problem.diagnostics[0]
        finding, wrong = one.message, one.notes
    except ValueError:
        finding, wrong = "the sealed facts of the image are none", ("they were changed",)
    is_wrong = bool(wrong) or not finding.startswith("`images/")
    return Check(f"image {name}", Verdict.FAIL if is_wrong else Verdict.PASS, finding, why, wrong)


def _evidence(bundle: Path, provenance_key: Path | None) -> Iterator[Check]:
    """What the bill of materials and the provenance say, against the files."""
    from occlum_build.evidence.check import check_evidence

    key = None
    if provenance_key is not None:
        from occlum_build.evidence.dsse import read_public_key

        key = read_public_key(provenance_key)
    for one in check_evidence(bundle, key):
        verdict = {True: Verdict.PASS, False: Verdict.FAIL, None: Verdict.WARN}[one.has_passed]
        yield Check(one.name.replace(" ", "-"), verdict, one.detail, one.why)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, which need not fit into memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
