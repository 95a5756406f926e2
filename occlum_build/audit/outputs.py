"""The outputs of two builds of one target: which are the same, in bytes and in mode."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from occlum_build.evidence.files import sha256_of


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """An output that is not the same in both builds: what it is in each."""

    path: str
    first: str
    second: str


def compare_outputs(first: Path, second: Path) -> tuple[int, list[OutputDifference]]:
    """How many outputs there are in two directories, and which differ.

    Symbolic links are compared by where they lead. Directories count by their names: most of
    them only hold outputs, and their modes are the umask's.
    """
    one, other = dict(_entries(first)), dict(_entries(second))
    names = sorted(one.keys() | other.keys())
    return len(names), [
        OutputDifference(name, one.get(name, "is not there"), other.get(name, "is not there"))
        for name in names
        if one.get(name) != other.get(name)
    ]


def _entries(root: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        name = path.relative_to(root).as_posix()
        if stat.S_ISLNK(status.st_mode):
            yield name, f"link to {path.readlink()}"
        elif stat.S_ISDIR(status.st_mode):
            yield name, "directory"
        else:
            yield name, f"{mode:04o} {sha256_of(path)}"
