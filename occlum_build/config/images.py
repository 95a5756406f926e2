"""File system images, as far as an enclave must know them to trust them."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from occlum_build.config.explain import span_of
from occlum_build.config.fields import PAGE_BYTES
from occlum_build.config.mounts import ErofsLayer, ErofsMount, UnionfsMount
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.strict_yaml import Path, parse
from occlum_build.diagnostic import Diagnostic, DiagnosticError, Span, error, near

VERSION: Final = 1
_ROOT_HASH: Final = re.compile("[0-9a-f]{64}")
_MAX_IMAGE_BYTES: Final = 1 << 56


@dataclass(frozen=True, slots=True)
class Image:
    """One image. The root hash covers its first `data_size` bytes.

    `tree_offset` is where the hash tree begins that proves single blocks; the
    tree is not trusted, the root hash is.
    """

    data_size: int
    tree_offset: int
    root_hash: str


def read_image(data: bytes, file: str) -> Image:
    """Read the JSON that the packer writes beside an image; raises `DiagnosticError`."""
    try:
        return _from_document(json.loads(data))
    except (ValueError, RecursionError, KeyError, TypeError) as problem:
        raise DiagnosticError(
            error("OB0241", f"this does not describe an image: {problem!r}", Span(file))
        ) from None


def image_names(config: OcclumConfig) -> list[str]:
    """The images that a configuration mounts, each once, in the order of their indexes."""
    return sorted({image for _, image in mounted(config)})


def mounted(config: OcclumConfig) -> Iterator[tuple[Path, str]]:
    """Each mention of an image, and where it is."""
    for index, mount in enumerate(config.mount):
        here: Path = ("mount", index)
        if isinstance(mount, ErofsMount):
            yield (*here, "image"), mount.image
        elif isinstance(mount, UnionfsMount):
            for layer, one in enumerate(mount.options.layers):
                if isinstance(one, ErofsLayer):
                    yield (*here, "options", "layers", layer, "image"), one.image


def check_images(
    config: OcclumConfig, given: Iterable[str], text: str, file: str
) -> list[Diagnostic]:
    """Problems if the images that are mounted and those that are given differ.

    `text` is what `config` was loaded from; the problems point into it.
    """
    names = sorted(set(given))
    root, _ = parse(text, file)
    found = []
    for path, image in mounted(config):
        if root is None or image in names:
            continue
        similar = near(image, names)
        listed = ", ".join(f"`{name}`" for name in names) or "none"
        found.append(
            error(
                "OB0240",
                f"there is no image `{image}` to mount",
                span_of(root, file, path),
                notes=(f"images of this enclave: {listed}",),
                helps=[f"an image `{similar}` exists"] if similar else (),
            )
        )
    found += [
        error(
            "OB0242",
            f"the image `{name}` is mounted nowhere",
            Span(file),
            helps=("add it to `mount`, or take it out of the target's images",),
        )
        for name in names
        if name not in image_names(config)
    ]
    return found


def _from_document(document: Any) -> Image:
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']!r}")
    image = Image(document["data_size"], document["tree_offset"], document["root_hash"])
    if not _ROOT_HASH.fullmatch(image.root_hash):
        raise ValueError(f"root hash {image.root_hash!r}")
    for number in (image.data_size, image.tree_offset):
        if type(number) is not int or not 0 < number <= _MAX_IMAGE_BYTES or number % PAGE_BYTES:
            raise ValueError(f"{number!r} is not a number of whole blocks")
    return image
