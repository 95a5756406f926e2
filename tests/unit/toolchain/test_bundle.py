"""Bundles: the same bytes for the same parts, and a manifest that names every one of them."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.unit.toolchain.conftest import Ended, Program

SGXS = b"an enclave"
MRENCLAVE = hashlib.sha256(SGXS).hexdigest()


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The parts of a bundle, below the directory where programs run."""
    modulus = bytes(range(256)) + bytes(128)
    sigstruct = bytearray(1808)
    sigstruct[128:512] = modulus
    sigstruct[1024:1028] = b"\x07\x01\x02\x00"
    image = {"name": "root", "index": 0, "data_size": 4096, "tree_offset": 8192,
             "root_hash": "ab" * 32}  # fmt: skip
    sealed = {
        "debuggable": True,
        "memory": {"model": "sgx1"},
        "mount": [
            {"type": "tmpfs", "target": "/tmp", "size": 1},  # noqa: S108
            {"type": "erofs", "target": "/", "image": image},
        ],
    }
    contents: dict[str, bytes] = {
        "e.sgxs": SGXS,
        "e.sig": bytes(sigstruct),
        "sealed.json": json.dumps(sealed).encode(),
        "e.json": json.dumps({"mrenclave": MRENCLAVE}).encode(),
        "root.erofs": b"image" * 1000,
        "run": b"#!/bin/sh\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def bundle(program: Program, *more: str, output: str = "bundle") -> Ended:
    return program(
        "bundle.py",
        *("--target", "//app:enclave", "--sgxs", "e.sgxs", "--sealed", "sealed.json"),
        *("--report", "e.json", "--signature", "e.sig", "--key-name", "release"),
        *("--image", "root=root.erofs", "--runner", "run", "--output", output),
        *("--summary", f"{output}.txt", *more),
    )


def manifest_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_bytes())


def test_a_manifest_says_what_the_signature_and_the_measurement_say(
    parts: Path, program: Program
) -> None:
    ended = bundle(program)

    assert ended.status == 0, ended.stderr
    manifest = manifest_of(parts / "bundle")
    assert manifest["mrenclave"] == MRENCLAVE
    modulus = bytes(range(256)) + bytes(128)
    assert manifest["mrsigner"] == hashlib.sha256(modulus).hexdigest()
    assert (manifest["isv_prod_id"], manifest["isv_svn"]) == (0x107, 2)
    assert manifest["signing_key"] == {"name": "release", "development": False}
    assert manifest["images"][0]["path"] == "images/root.erofs"


def test_a_manifest_names_every_file_but_itself(parts: Path, program: Program) -> None:
    bundle(program)

    folder = parts / "bundle"
    found = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    listed = [one["path"] for one in manifest_of(folder)["files"]]
    assert listed == sorted(found - {"manifest.json"})
    assert os.access(folder / "bin/occlum-run", os.X_OK)


def test_two_bundles_of_the_same_parts_are_the_same_bytes(parts: Path, program: Program) -> None:
    bundle(program, output="a")
    bundle(program, output="b")

    assert (parts / "a/manifest.json").read_bytes() == (parts / "b/manifest.json").read_bytes()


def test_a_development_key_is_named_as_such_in_every_output(parts: Path, program: Program) -> None:
    bundle(program, "--development-key")

    assert manifest_of(parts / "bundle")["signing_key"]["development"]
    assert "development key: nobody should trust it" in (parts / "bundle.txt").read_text()


def test_a_report_of_another_enclave_is_refused(parts: Path, program: Program) -> None:
    (parts / "e.sgxs").write_bytes(b"another enclave")

    ended = bundle(program)

    assert ended.status == 2
    assert f"the report says MRENCLAVE {MRENCLAVE}" in ended.stderr
