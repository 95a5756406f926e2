"""Which crates a `Cargo.lock` names, and what each must hash to."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from program import WRONG_INPUT, ProgramError

CRATES_IO: Final = "registry+https://github.com/rust-lang/crates.io-index"


@dataclass(frozen=True, order=True)
class Crate:
    """One crate of the registry, and the digest of its archive."""

    name: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """What cargo calls its archive."""
        return f"{self.name}-{self.version}.crate"


def read(path: Path) -> tuple[Crate, ...]:
    """The crates that must be fetched, sorted; those of the workspace itself are left out.

    Raises:
        ProgramError: it is no lock file, or a crate comes from anywhere but the registry.
    """
    return tuple(sorted(filter(None, (_crate(path, entry) for entry in entries(path)))))


def entries(path: Path) -> list[dict[str, Any]]:
    """The `[[package]]` tables of a lock file.

    Raises:
        ProgramError: it is no lock file.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProgramError(f"`{path}` is no Cargo.lock: {error}", status=WRONG_INPUT) from error
    found = document.get("package", [])
    return [entry for entry in found if isinstance(entry, dict)]


def _crate(path: Path, entry: dict[str, Any]) -> Crate | None:
    """The crate of an entry; None for a package of the workspace itself, which has no source."""
    source, sha256 = entry.get("source"), entry.get("checksum")
    if source is None:
        return None
    if source != CRATES_IO or not isinstance(sha256, str):
        raise ProgramError(
            f"`{path}` takes crate `{entry.get('name')}` from `{source}`, which has no checksum",
            "use a release from the registry, or put the crate into the workspace",
            status=WRONG_INPUT,
        )
    return Crate(str(entry["name"]), str(entry["version"]), sha256)
