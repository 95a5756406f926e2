"""Fingerprints: proof, by stats alone, that a command would do what it did last time.

A build that succeeded leaves one: the stat of every file it read, of every output, and of
the tool's own code. The launcher compares them before it imports anything.

Standard library only, and little of it.
"""

import hashlib
import marshal
import os
import time
from collections.abc import Iterable, Mapping, Sequence

from occlum_build.execution.files import Identity, identity_of, write_atomically

_VERSION = 1
_RACY_NS = 50_000_000
_VARIABLES = ("HOME", "OCCLUM_BUILD_CACHE", "PATH", "XDG_CONFIG_HOME")


def fingerprint_path(state: str, root: str, arguments: Sequence[str], directory: str) -> str:
    """Where the fingerprint of a command lies: same words, same directory, same variables."""
    variables = [os.environ.get(name, "") for name in _VARIABLES]
    request = "\0".join([str(_VERSION), root, directory, *variables, *arguments])
    name = hashlib.sha256(request.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return f"{state}/fingerprints/{name}"


def recall(path: str) -> Mapping[str, object] | None:
    """What the command said last time; None if anything at all may have changed."""
    try:
        with open(path, "rb") as file:
            version, entries, answer = marshal.loads(file.read())  # noqa: S302  # our own file
        if version != _VERSION:
            return None
        for name, known in entries:
            if identity_of(name) != known:
                return None
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return answer if isinstance(answer, dict) else None


def remember(
    path: str,
    sources: Mapping[str, Identity | None],
    outputs: Iterable[str],
    answer: Mapping[str, object],
    started_ns: int,
) -> None:
    """Keep the answer of a command that succeeded.

    `sources` are identities from before each was read. If one was changed too shortly
    before that for its time stamps to show another change, nothing is kept.
    """
    for known in sources.values():
        if known is not None and known[1] > started_ns - _RACY_NS:
            return
    entries = [*sources.items(), *((one, identity_of(one)) for one in outputs)]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    write_atomically(path, marshal.dumps((_VERSION, entries, dict(answer))))


def engine_files(package: str) -> dict[str, Identity | None]:
    """The tool's own code: the identity of each Python file of the package."""
    found: dict[str, Identity | None] = {}
    for folder, folders, files in os.walk(package):
        folders[:] = sorted(one for one in folders if one not in {"__pycache__", "_occlum"})
        for name in sorted(files):
            if name.endswith(".py"):
                path = f"{folder}/{name}"
                found[path] = identity_of(path)
    return found


def now_ns() -> int:
    """The wall clock, for comparison with time stamps of files."""
    return time.time_ns()
