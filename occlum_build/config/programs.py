"""Whether the program that an enclave is to start is in one of its images.

Found here, a wrong name is a caret in Occlum.yaml; found later, it is an enclave that is built,
signed and shipped, and ends before it begins.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from occlum_build.config.checks import lies_under
from occlum_build.config.explain import span_of
from occlum_build.config.images import mounted
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.strict_yaml import parse
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, near

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Programs:
    """What can be started in an image: files that may be executed, and where symlinks end."""

    paths: frozenset[str]
    links: Mapping[str, str]

    def resolved(self, path: str) -> tuple[str, bool]:
        """Where an absolute path of the image leads, and whether a symlink was on the way."""
        here, followed = "", False
        for part in path.split("/"):
            if part in ("", "."):
                continue
            here = here.rpartition("/")[0] if part == ".." else f"{here}/{part}"
            if here in self.links:
                here, followed = self.links[here].rstrip("/"), True
        return here or "/", followed


def read_programs(data: bytes, file: str) -> Programs:
    """Read the list that the packer writes beside an image; raises `DiagnosticError`."""
    try:
        return _from_document(json.loads(data))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as problem:
        raise DiagnosticError(
            error("OB0244", f"this does not list programs: {problem!r}", Span(file))
        ) from None


def check_command(
    config: OcclumConfig, programs: Mapping[str, Programs], text: str, file: str
) -> list[Diagnostic]:
    """The problem if the image where the first program must lie does not have it.

    Says nothing where it cannot know: of directories of the host, of images without a list, and
    of links inside an image that is not mounted at the root.
    """
    if not config.process.command:
        return []
    program = config.process.command[0]
    mount = _mount_of(config, program)
    image = next((one for place, one in mounted(config) if place[1] == mount), None)
    if mount is None or image is None or image not in programs:
        return []
    listed, prefix = programs[image], config.mount[mount].target.rstrip("/")
    inside, followed = listed.resolved(program.removeprefix(prefix))
    elsewhere = followed and (prefix or _mount_of(config, inside) != mount)
    if inside in listed.paths or elsewhere:
        return []
    root, _ = parse(text, file)
    similar = near(program, [prefix + path for path in listed.paths])
    return [
        error(
            "OB0243",
            f"the image `{image}` has no program `{program}`",
            span_of(root, file, ("process", "command", 0)) if root else Span(file),
            notes=("a program is a regular file that somebody may execute",),
            helps=[f"there is `{similar}`"] if similar else (),
        )
    ]


def _mount_of(config: OcclumConfig, path: str) -> int | None:
    """The number of the mount with the longest target that holds `path`."""
    holding = [index for index, one in enumerate(config.mount) if lies_under(path, one.target)]
    return max(holding, key=lambda index: len(config.mount[index].target), default=None)


def _from_document(document: Any) -> Programs:
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']!r}")
    paths, links = document["programs"], document["links"]
    texts = [*paths, *links.keys(), *links.values()]
    if not all(isinstance(one, str) and one.startswith("/") for one in texts):
        raise ValueError("a path is not absolute")
    return Programs(frozenset(paths), links)
