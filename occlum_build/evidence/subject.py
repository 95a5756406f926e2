"""What evidence is asked for: the parts of one bundle, and where to learn how each was made.

    {"version": 1, "target": "//app:enclave", "lineage": "out/…/enclave.lineage.json",
     "report": "out/…/enclave.json",
     "parts": {"enclave.sgxs": "out/…", "images/root.erofs": "out/…", "bin/occlum-run": "out/…"},
     "images": {"root": "out/…/rootfs.origins.json"},
     "programs": {"libos": {"path": "out/…/libos.elf", "origin": {…}},
                  "occlum-run": {"path": "out/…/occlum_run", "origin": {…}}}}

A rule writes it. An image whose tree came without origins has `null` for them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from occlum_build.evidence.files import decoded, read_json, sha256_of
from occlum_build.evidence.lineage import Lineage

VERSION: Final = 1


@dataclass(frozen=True)
class Program:
    """A program beside the images: the LibOS in the enclave, the runner on the host."""

    name: str
    path: Path
    origin: Mapping[str, object]


@dataclass(frozen=True)
class Subject:
    """One bundle before it is put together: parts by their name in it, images by theirs."""

    target: str
    mrenclave: str
    parts: Mapping[str, Path]
    digests: Mapping[str, str]
    images: Mapping[str, Path | None]
    programs: tuple[Program, ...]
    lineage: Lineage

    @classmethod
    def read(cls, path: Path) -> "Subject":
        """The subject in a file that a rule wrote; raises `DiagnosticError`."""
        return decoded(path, VERSION, cls._decoded, "names no parts of a bundle")

    @classmethod
    def _decoded(cls, document: Any) -> "Subject":
        parts = {str(name): Path(path) for name, path in document["parts"].items()}
        images = document["images"].items()
        return cls(
            target=str(document["target"]),
            mrenclave=str(read_json(Path(document["report"]))["mrenclave"]),
            parts=parts,
            digests={name: sha256_of(path) for name, path in parts.items()},
            images={str(name): None if at is None else Path(at) for name, at in images},
            programs=tuple(
                Program(name, Path(one["path"]), one["origin"])
                for name, one in sorted(document["programs"].items())
            ),
            lineage=Lineage.read(Path(document["lineage"])),
        )
