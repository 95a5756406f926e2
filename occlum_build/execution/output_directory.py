"""The directory `out/`: whose it is. `clean` must not touch one that a user made."""

from pathlib import Path
from typing import Final

from occlum_build.loading.workspace import OUTPUT_DIRECTORY

_TAG: Final = "CACHEDIR.TAG"
# https://bford.info/cachedir/: programs that make backups leave such a directory out.
_TEXT: Final = """\
Signature: 8a477f597d28d172789f06886806bc55
# Made by occlum-build: `occlum-build clean` deletes this directory.
"""


def claim_output_directory(root: Path) -> None:
    """Make `out/` of the workspace and mark it; one that somebody else made stays his."""
    directory = root / OUTPUT_DIRECTORY
    if is_output_directory(root) and not (directory / _TAG).exists():
        directory.mkdir(exist_ok=True)
        (directory / _TAG).write_text(_TEXT, encoding="utf-8")


def is_output_directory(root: Path) -> bool:
    """Whether `out/` is marked, or holds nothing but what builds have made."""
    directory = root / OUTPUT_DIRECTORY
    if directory.is_symlink() or not directory.is_dir():
        return not directory.exists() and not directory.is_symlink()
    if (directory / _TAG).is_file():
        return _TEXT in (directory / _TAG).read_text(encoding="utf-8", errors="replace")
    return all(
        one.name == "keys" or (one / "build.ninja").is_file() for one in directory.iterdir()
    )
