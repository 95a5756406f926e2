"""A small bundle with its evidence, made by the real programs from parts that tests name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from occlum_build.evidence.__main__ import main
from occlum_build.fs.content import BytesContent
from occlum_build.fs.image import pack
from occlum_build.fs.origins import render_origins
from occlum_build.fs.tree import Node, Tree, regular_file, symlink

CARGO_LOCK = """\
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["itoa", "memchr 2.7.4"]

[[package]]
name = "itoa"
version = "1.0.11"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "{}"

[[package]]
name = "memchr"
version = "2.7.4"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "{}"

[[package]]
name = "unused"
version = "9.0.0+build.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "{}"
""".format("a" * 64, "b" * 64, "c" * 64)
ZIG_LOCK = f'[[package]]\nname = "ziglang"\nversion = "0.17.1"\nsha256 = "{"d" * 64}"\n'
DEB = {"deb": {"package": "libc6", "version": "2.36-9+deb12u14", "architecture": "amd64",
               "sha256": "e" * 64}}  # fmt: skip
TARGET = {"label": "//app:hello", "cargo_lock": "Cargo.lock", "cargo_package": "app",
          "zig_lock": "zig.lock", "rust": "1.95.0"}  # fmt: skip


def sample_tree() -> Tree:
    """A program, a library of a package, a source file, and a link."""
    entries: list[tuple[bytes, Node]] = [
        (b"bin/hello", regular_file(0o755, BytesContent(b"program"), "test", TARGET)),
        (b"lib/libc.so.6", regular_file(0o644, BytesContent(b"library"), "test", DEB)),
        (b"etc/motd", regular_file(0o644, BytesContent(b"text"), "test",
                                   {"label": "//app:motd", "file": "app/motd"})),
        (b"bin/sh", symlink(b"hello", "test")),
    ]  # fmt: skip
    return Tree(entries)


def lineage(**sources: str) -> dict[str, Any]:
    """How the sample was made: a program is compiled, packed and measured."""
    digests = {"app/hello.c": "1" * 64, "app/motd": "2" * 64} | sources
    mrenclave = hashlib.sha256(b"an enclave").hexdigest()
    return {
        "version": 1,
        "configuration": "default",
        "of": ["out/e.sgxs"],
        "sources": [
            {"path": path, "label": f"//{path}", "sha256": digest, "is_executable": False}
            for path, digest in sorted(digests.items())
        ],
        "tools": [
            {"name": "python zig.py", "version": "3.11.7"},
            {"name": "rust", "version": "rustc 1.95.0", "sha256": "3" * 64},
        ],
        "actions": [
            action("CcCompile", ["app/hello.c"], ["out/hello"], ["rust"]),
            action("FetchDeb", [], ["out/libc6.deb"], ["python zig.py"], network=True),
            action("Rootfs", ["out/hello", "out/libc6.deb"], ["out/root.tar"]),
            action("Enclave", ["out/root.tar", "app/motd"], ["out/e.sgxs"]),
        ],
        "made": [
            {"path": "out/hello", "sha256": "4" * 64, "is_directory": False},
            {"path": "out/libc6.deb", "sha256": "5" * 64, "is_directory": False},
            {"path": "out/root.tar", "sha256": "6" * 64, "is_directory": False},
            {"path": "out/e.sgxs", "sha256": mrenclave, "is_directory": False},
        ],
    }


def action(
    mnemonic: str,
    inputs: list[str],
    outputs: list[str],
    tools: list[str] | None = None,
    *,
    network: bool = False,
) -> dict[str, Any]:
    """One action of a lineage."""
    return {
        "owner": "//app:x", "mnemonic": mnemonic, "argv": [mnemonic, *inputs], "env": {"A": "1"},
        "inputs": inputs, "outputs": outputs, "tools": tools or [], "network": network,
    }  # fmt: skip


@dataclass
class Sample:
    """The files of a bundle in a directory of their own."""

    root: Path
    tree: Tree = field(default_factory=sample_tree)
    sgxs: bytes = b"an enclave"
    lineage: dict[str, Any] = field(default_factory=lineage)
    debug: bool = True

    def write(self) -> "Sample":
        """Write the inputs of the evidence."""
        self.root.mkdir(parents=True, exist_ok=True)
        pack(self.tree, self.root / "root.erofs")
        mrenclave = hashlib.sha256(self.sgxs).hexdigest()
        sealed = {
            "debuggable": self.debug,
            "memory": {"model": "sgx1"},
            "mount": [{"target": "/", "image": {"name": "root", "index": 0, "root_hash": "ab"}}],
        }
        subject = {
            "version": 1,
            "target": "//app:enclave",
            "lineage": "lineage.json",
            "report": "report.json",
            "parts": {"enclave.sgxs": "e.sgxs", "bin/occlum-run": "run",
                      "images/root.erofs": "root.erofs"},
            "images": {"root": "origins.json"},
            "programs": {
                "libos": {"path": "libos.elf", "origin": TARGET | {"label": "//libos"}},
                "occlum-run": {"path": "run", "origin": {"label": "//run"}},
            },
        }  # fmt: skip
        contents: Mapping[str, bytes] = {
            "e.sgxs": self.sgxs,
            "e.sig": bytes(128) + bytes(range(256)) * 2 + bytes(1168),
            "run": b"#!/bin/sh\n",
            "libos.elf": b"libos",
            "Cargo.lock": CARGO_LOCK.encode(),
            "zig.lock": ZIG_LOCK.encode(),
            "origins.json": render_origins(self.tree, {}),
            "lineage.json": json.dumps(self.lineage).encode(),
            "report.json": json.dumps({"mrenclave": mrenclave}).encode(),
            "sealed.json": json.dumps(sealed).encode(),
            "subject.json": json.dumps(subject).encode(),
        }
        for name, content in contents.items():
            (self.root / name).write_bytes(content)
        return self

    def describe(self) -> int:
        """Run `describe`."""
        words = ["--subject", "subject.json", "--sbom", "s.json", "--provenance", "p.json"]
        return main(["describe", *words])

    def bundle(self, *more: str, evidence: tuple[str, ...] = (), output: str = "bundle") -> Path:
        """Run `describe`, then `bundle`; `evidence` names what goes in instead of the usual."""
        assert self.describe() == 0
        parts = {"enclave.sgxs": "e.sgxs", "enclave.sig": "e.sig", "bin/occlum-run": "run",
                 "images/root.erofs": "root.erofs"}  # fmt: skip
        words = [f"{name}={path}" for name, path in parts.items()]
        words += evidence or ("sbom.cdx.json=s.json", "provenance.json=p.json")
        status = main([
            "bundle", "--target", "//app:enclave", "--sealed", "sealed.json",
            "--report", "report.json", "--key-name", "release",
            *(word for one in words for word in ("--part", one)),
            "--output", output, "--summary", f"{output}.txt", *more,
        ])  # fmt: skip
        assert status == 0
        return self.root / output
