"""What can be started in an image: a list for whoever checks a command before it is sealed.

`IMAGE.programs.json` is canonical JSON. `programs` are the regular files that somebody may
execute; `links` says of every symlink where it leads in the end, inside the same tree. Paths are
absolute. A link that leads nowhere, or round in circles, is left out. Nothing trusts the file:
it is there for early messages.
"""

import json
from pathlib import Path
from typing import Final

from occlum_build.fs.tree import Kind, Tree, parent_of
from occlum_build.fs.walk import walk

VERSION: Final = 1
_ANYBODY_EXECUTES: Final = 0o111


def programs_path(image: Path) -> Path:
    """Where the list of an image lies: `IMAGE.programs.json`."""
    return image.with_name(image.name + ".programs.json")


def render_programs(tree: Tree) -> bytes:
    """The list of `tree`; bytes of names that are not UTF-8 become lone surrogates."""
    programs, links = [], {}
    for path, node in tree:
        if node.kind is Kind.FILE and node.mode & _ANYBODY_EXECUTES:
            programs.append(_absolute(path))
        elif node.kind is Kind.SYMLINK:
            end = walk(tree.names, node.target, parent_of(path))
            if end.path in tree.names and not end.looped:
                links[_absolute(path)] = _absolute(end.path)
    document = {"version": VERSION, "programs": sorted(programs), "links": links}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _absolute(path: bytes) -> str:
    return "/" + path.decode("utf-8", "surrogateescape")
