"""One bit of each kind that a bundle has, and what `verify` must call the part it lies in."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from occlum_build.enclave_file.image import place
from occlum_build.enclave_file.read import read_enclave
from occlum_build.identity.changed_bit import FIELDS
from occlum_build.sgx.page import PAGE_BYTES
from occlum_build.sgx.secinfo import PageType, Permission

SIGSTRUCT_BYTES = 1808


@dataclass(frozen=True)
class Flip:
    """A bit of a file of the bundle; `named` are words of which each must be in the answer."""

    what: str
    file: str
    byte: int
    bit: int
    named: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.what} ({self.file}, byte {self.byte}, bit {self.bit})"

    def make(self, bundle: Path, folder: Path) -> Path:
        """A copy of the bundle in which this bit is another."""
        copy = folder / "flipped"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(bundle, copy)
        path = copy / self.file
        data = bytearray(path.read_bytes())
        data[self.byte] ^= 1 << self.bit
        path.chmod(0o644)
        path.write_bytes(data)
        return copy


def flips(bundle: Path) -> Iterator[Flip]:
    """One of each kind."""
    yield from sigstruct_flips()
    yield from stream_flips(bundle)
    yield from image_flips(bundle)
    yield from manifest_flips(bundle)
    yield Flip("runner", "bin/occlum-run", 0, 0, ("`bin/occlum-run` was changed",))
    for path in sorted(bundle.glob("*.json")):
        if path.name != "manifest.json":
            middle = path.stat().st_size // 2
            yield Flip("evidence", path.name, middle, 1, (f"`{path.name}` was changed",))


def sigstruct_flips() -> Iterator[Flip]:
    """The first bit, the last, and one between, of each field."""
    ends = [*(start for start, _ in FIELDS[1:]), SIGSTRUCT_BYTES]
    for (start, name), end in zip(FIELDS, ends, strict=True):
        for byte, bit in {(start, 0), ((start + end) // 2, 3), (end - 1, 7)}:
            if name in {"Q1", "Q2", "EXPONENT"} or (name == "RESERVED" and start == 1028):
                named = (name.capitalize() if name == "RESERVED" else name,)
                named = ("reserved bytes at 1028",) if name == "RESERVED" else named
            else:
                named = (f"bit {bit} of byte {byte}, in {name}",)
            yield Flip(f"SIGSTRUCT {name}", "enclave.sig", byte, bit, named)


def stream_flips(bundle: Path) -> Iterator[Flip]:
    """The records of the stream, and a page of each kind."""
    file = "enclave.sgxs"
    changed = f"`{file}` was changed"
    yield Flip("tag of ECREATE", file, 0, 1, (changed, "ECREATE"))
    yield Flip("SSA frame size", file, 8, 1, (changed, "measured"))
    yield Flip("enclave size", file, 15, 4, (changed, "enclave"))
    yield Flip("reserved bytes of ECREATE", file, 40, 0, (changed, "ECREATE"))
    yield Flip("tag of EADD", file, 64, 0, (changed, "begins no record"))
    yield Flip("page offset", file, 64 + 13, 0, (changed, "enclave"))
    yield Flip("page permissions", file, 64 + 16, 2, (changed, "user at 0x10000"))
    seen: set[str] = set()
    for run in read_enclave(bundle).runs():
        kind = run.name.split(" ", 2)[-1] if run.name.startswith("thread") else run.name
        if run.name == "libos":
            kind = f"libos {run.secinfo.permissions.letters()}"
        if not run.measured or kind in seen:
            continue
        seen.add(kind)
        found = place(run, run.page_count - 1, 8 if run.page_count == 1 else 100)
        assert found is not None
        yield Flip(f"page of {kind}", file, found.offset, 5, (changed, *_named(run.name, kind)))
        if run.secinfo.page_type is PageType.TCS:
            entry = place(run, 0, 32)
            assert entry is not None
            yield Flip("entry of TCS", file, entry.offset, 4, (changed, "TCS"))


def _named(name: str, kind: str) -> tuple[str, ...]:
    """What can be said of a page without the original."""
    if kind.startswith("libos") or kind == "sealed config":
        return ("the pages are not those that were signed",)
    if kind == "boot information":
        return ("the pages are not those that were signed", "there is no boot page")
    return (f"{name} at",)


def image_flips(bundle: Path) -> Iterator[Flip]:
    """The data of each image, its hash tree, and the superblock of the tree."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    for image in manifest["images"]:
        path = image["path"]
        size = image["size"]
        for what, byte in {
            "superblock": 1024,
            "last data block": size - 3 * PAGE_BYTES + 5,
            "root level": size - PAGE_BYTES + 3,
        }.items():
            yield Flip(what, path, byte, 2, (f"`{path}` was changed", f"image {image['name']}"))


def manifest_flips(bundle: Path) -> Iterator[Flip]:
    """A digit, a name and a bracket."""
    text = (bundle / "manifest.json").read_text()
    for what, word, named in (
        ("digest in the manifest", '"sha256":"', "was changed: its SHA-256"),
        ("measurement in the manifest", '"mrenclave":"', "`mrenclave` is"),
        ("signer in the manifest", '"mrsigner":"', "`mrsigner` is"),
        ("root hash in the manifest", '"root_hash":"', "`root_hash` is"),
        ("product in the manifest", '"isv_prod_id":', "`isv_prod_id` is"),
        ("version of the manifest", '"version":', "its version is"),
    ):
        at = text.index(word) + len(word)
        yield Flip(what, "manifest.json", at, 0, (named,))
    yield Flip("first byte of the manifest", "manifest.json", 0, 0, ("it is not JSON",))


def executable_pages(bundle: Path) -> int:
    """How many measured pages hold code."""
    return sum(
        run.page_count
        for run in read_enclave(bundle).runs()
        if run.measured and Permission.EXECUTE in run.secinfo.permissions
    )
