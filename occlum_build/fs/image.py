"""An image as it is shipped: EROFS, its hash tree behind it, and the facts beside it.

`IMAGE.json` says where the parts lie and what the root hash is. The enclave's
sealed configuration takes its facts from there; nothing trusts it later. What can
be started is listed beside it (see `programs`).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from occlum_build.fs.content import Storage
from occlum_build.fs.erofs.plan import Plan
from occlum_build.fs.erofs.writer import write_image
from occlum_build.fs.problem import Code, refusal
from occlum_build.fs.programs import programs_path, render_programs
from occlum_build.fs.tree import Tree
from occlum_build.fs.verity import BLOCK_BYTES, DIGEST_BYTES, HashedImage, Shape, check_tree
from occlum_build.output_file import replacing

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an enclave must know to verify an image, and `veritysetup` to check it.

    Offsets and sizes are bytes. `data_size` is what the tree covers, `hash_offset`
    the verity superblock, `tree_offset` the block of the root level, `size` the file.
    """

    block_size: int
    data_size: int
    hash_offset: int
    root_hash: str
    size: int
    tree_offset: int
    version: int

    @classmethod
    def of(cls, data_blocks: int, root_hash: bytes) -> "ImageFacts":
        """The facts of an image with so many blocks of data."""
        shape = Shape(data_blocks)
        return cls(
            block_size=BLOCK_BYTES,
            data_size=shape.data_size,
            hash_offset=shape.superblock_offset,
            root_hash=root_hash.hex(),
            size=shape.size,
            tree_offset=shape.tree_offset,
            version=VERSION,
        )

    @classmethod
    def read(cls, path: Path) -> "ImageFacts":
        """The facts in a file that `encode` wrote; anything else is refused."""
        storage = Storage.open(path)
        try:
            facts = cls._decoded(json.loads(storage.read(0, min(storage.size, 1 << 16))))
        except (ValueError, TypeError, KeyError, RecursionError) as failure:
            raise refusal(
                Code.BAD_IMAGE,
                "the file does not describe an image",
                file=str(path),
                helps=["`python -m occlum_build.fs erofs` writes it beside the image"],
            ) from failure
        return facts

    @classmethod
    def _decoded(cls, data: dict[str, Any]) -> "ImageFacts":
        root_hash, data_size = bytes.fromhex(data["root_hash"]), data["data_size"]
        if len(root_hash) != DIGEST_BYTES or type(data_size) is not int or data_size <= 0:
            raise ValueError(data)
        facts = cls.of(data_size // BLOCK_BYTES, root_hash)
        if asdict(facts) != data:
            raise ValueError(data)
        return facts

    def encode(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, one line."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode() + b"\n"


def facts_path(image: Path) -> Path:
    """Where the facts of an image lie: `IMAGE.json`."""
    return image.with_name(image.name + ".json")


def pack(tree: Tree, output: Path) -> ImageFacts:
    """Write the image of `tree` to `output`; its facts and the list of its programs beside it."""
    plan = Plan(tree)
    with (
        replacing(output) as image_file,
        replacing(facts_path(output)) as facts_file,
        replacing(programs_path(output)) as programs_file,
    ):
        image = HashedImage(image_file.fileno(), plan.block_count)
        write_image(plan, image)
        facts = ImageFacts.of(plan.block_count, image.finish())
        facts_file.write(facts.encode())
        programs_file.write(render_programs(tree))
    return facts


def verify(image: Path, root_hash: bytes | None = None) -> ImageFacts:
    """Check every byte of an image against its facts, and against `root_hash` if one is given.

    Facts that lie beside an image are no better protected than the image: only a
    root hash from elsewhere (an enclave's measurement) proves where it came from.
    """
    facts = ImageFacts.read(facts_path(image))
    storage = Storage.open(image)
    if storage.size != facts.size:
        raise refusal(
            Code.ALTERED_IMAGE,
            f"the image has {storage.size} bytes, but {facts.size} were expected",
            file=str(image),
        )
    expected = bytes.fromhex(facts.root_hash) if root_hash is None else root_hash
    check_tree(storage, facts.data_size // BLOCK_BYTES, expected)
    return facts
