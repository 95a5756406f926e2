"""How the parts of a bundle were made, as the engine wrote it down.

A lineage names every source, tool and action between the source tree and some artifacts,
and the digest of each thing that was made on the way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from occlum_build.evidence.files import decoded

VERSION: Final = 1


@dataclass(frozen=True)
class Lineage:
    """The document, checked as far as this package reads it."""

    configuration: str
    sources: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...]
    actions: tuple[Mapping[str, Any], ...]
    made: tuple[Mapping[str, Any], ...]

    @property
    def source_digests(self) -> dict[str, str]:
        """SHA-256 of each source, by path."""
        return {str(one["path"]): str(one["sha256"]) for one in self.sources}

    @property
    def fetched(self) -> frozenset[str]:
        """The paths of what came from a network, verified by digest."""
        return frozenset(
            path for action in self.actions if action["network"] for path in action["outputs"]
        )

    @classmethod
    def read(cls, path: Path) -> "Lineage":
        """The lineage in a file; raises `DiagnosticError`."""
        return decoded(path, VERSION, cls._decoded, "is no lineage")

    @classmethod
    def _decoded(cls, document: Any) -> "Lineage":
        for kind, keys in _KEYS.items():
            for one in document[kind]:
                for key in keys:
                    one[key]
        return cls(str(document["configuration"]), *(tuple(document[kind]) for kind in _KEYS))


_KEYS: Final = {
    "sources": ("path", "label", "sha256", "is_executable"),
    "tools": ("name", "version"),
    "actions": ("owner", "mnemonic", "argv", "env", "inputs", "outputs", "tools", "network"),
    "made": ("path", "sha256", "is_directory"),
}
