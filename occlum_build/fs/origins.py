"""Where the files of a tree come from: a file beside its tar, for bills of materials.

    {"version": 1, "files": {"bin/app": 0, "lib/libc.so.6": 1},
     "origins": [{"label": "//app:app"}, {"deb": {"package": "libc6", …}}]}

Each name that is no directory has the number of its origin. What an origin says is
between the rule that wrote it and whoever reads the bill: here it is passed on, from the
layers of a root file system to the whole. It is no part of the tree, so of no
measurement. Bytes of a path that are not UTF-8 are lone surrogates, as Python has them.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from occlum_build.fs.content import Storage
from occlum_build.fs.problem import Code, refusal
from occlum_build.fs.tree import Kind, Origin, Tree

VERSION: Final = 1
_MAX_BYTES: Final = 256 << 20


def render_origins(tree: Tree, otherwise: Origin) -> bytes:
    """The origins file of a tree; `otherwise` stands for what no layer or rule said."""
    files: dict[str, str] = {}
    for path, node in tree:
        if node.kind is not Kind.DIRECTORY:
            files[os.fsdecode(path)] = _text(node.source or otherwise)
    numbers = {text: number for number, text in enumerate(sorted(set(files.values())))}
    document = {
        "version": VERSION,
        "origins": [json.loads(text) for text in numbers],
        "files": {path: numbers[text] for path, text in files.items()},
    }
    return _text(document).encode() + b"\n"


def read_origins(path: Path) -> Mapping[bytes, Origin]:
    """The origin of each name in an origins file; what is none is refused."""
    storage = Storage.open(path)
    try:
        return _decoded(json.loads(storage.read(0, min(storage.size, _MAX_BYTES))))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError):
        raise refusal(
            Code.BAD_SPECIFICATION,
            "the file does not say where the files of a tree come from",
            file=str(path),
            helps=["`rootfs` and `unpack-deb` of `python -m occlum_build.fs` write such files"],
        ) from None


def _decoded(document: Any) -> Mapping[bytes, Origin]:
    if document["version"] != VERSION:
        raise ValueError(document["version"])
    origins = document["origins"]
    if not all(isinstance(one, dict) for one in origins):
        raise TypeError(origins)
    return {os.fsencode(name): origins[at] for name, at in document["files"].items()}


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
