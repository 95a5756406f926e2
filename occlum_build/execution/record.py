"""Records: what an action made, and under which key; content decides, never a time stamp.

Standard library only: the action runner imports it.
"""

import json
import os
import stat
from dataclasses import dataclass, field

from occlum_build.execution.files import (
    Identity,
    file_digest,
    identity_of,
    tree_digest,
    write_atomically,
)

_VERSION = 1
_MODE_BITS = 0o170000 | stat.S_IXUSR  # the kind of a file, and whether it can be executed


@dataclass
class Made:
    """One output: its digest, and the identity that the file then had."""

    digest: str
    identity: Identity


@dataclass
class Record:
    """The last success of one action. Its absence means only that the action must run."""

    key: str
    outputs: dict[str, Made] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str) -> "Record | None":
        """The record at `path`; None if there is none that can be used."""
        try:
            with open(path, "rb") as file:
                content = json.loads(file.read())
            if content["version"] != _VERSION:
                return None
            outputs = {name: Made(*made) for name, made in content["outputs"].items()}
            return cls(content["key"], outputs)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: str) -> None:
        """Keep the record at `path`."""
        outputs = {name: [made.digest, made.identity] for name, made in self.outputs.items()}
        content = {"version": _VERSION, "key": self.key, "outputs": outputs}
        write_atomically(path, json.dumps(content, sort_keys=True).encode())

    def is_intact(self, root: str) -> bool:
        """Whether every output below `root` still is what the action made."""
        return all(_is_as_made(f"{root}/{path}", made) for path, made in self.outputs.items())


def _is_as_made(path: str, made: Made) -> bool:
    """Whether content and execute bit are what they were."""
    now = identity_of(path)
    if now is None or not made.identity or (now[-1] ^ made.identity[-1]) & _MODE_BITS:
        return False
    return current_digest(path, made) == made.digest


def current_digest(path: str, known: Made | None = None) -> str | None:
    """The digest of a file or tree; read only if it may differ from what is `known`.

    A tree is known by its top directory only: a file changed deep inside one by hand
    is not noticed.
    """
    now = identity_of(path)
    if now is None:
        return None
    if known is not None and known.identity == now:
        return known.digest
    return tree_digest(path) if os.path.isdir(path) else file_digest(path)
