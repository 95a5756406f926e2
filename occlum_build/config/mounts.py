"""The file systems of an enclave: one model for each value of `type`.

`erofs`, `tmpfs`, a `unionfs` of the two, and `hostfs` run. The others are Occlum's;
they can be read, so that a configuration that comes from Occlum is understood, and `checks`
says for each what to use instead.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from occlum_build.config.fields import (
    STRICT,
    AbsolutePath,
    HostPath,
    ImageName,
    PageSize,
    Size,
    Text,
)


class ErofsMount(BaseModel):
    """A read-only image whose every block is checked against a measured hash."""

    model_config = STRICT

    type: Literal["erofs"] = Field(description="A read-only EROFS image with a dm-verity tree.")
    target: AbsolutePath = Field(description="Where the image appears inside the enclave.")
    image: ImageName = Field(
        description="Name of the image among the `images` of the enclave's target in BUILD."
    )


class TmpfsMount(BaseModel):
    """An empty, writable file system in the memory of the LibOS."""

    model_config = STRICT

    type: Literal["tmpfs"] = Field(
        description="An empty writable file system that is gone when the enclave ends."
    )
    target: AbsolutePath = Field(description="Where the file system appears inside the enclave.")
    size: PageSize = Field(
        default="16MB",
        validate_default=True,
        description="How much it can hold; taken from `kernel_space_heap_size` as files grow.",
    )


class SefsOptions(BaseModel):
    """Options of Occlum's encrypted file system."""

    model_config = STRICT

    MAC: Text | None = Field(default=None, description="Integrity tag of a read-only image.")
    temporary: bool = Field(default=False, description="Start empty each time.")
    cache_size: Size | None = Field(default=None, description="Size of the block cache.")


class SefsMount(BaseModel):
    """Occlum's encrypted file system. This version does not run it."""

    model_config = STRICT

    type: Literal["sefs", "encrypted"] = Field(
        description="An encrypted file system on the host. Not run by this version."
    )
    target: AbsolutePath = Field(
        default="/", description="Where the file system appears inside the enclave."
    )
    source: Text | None = Field(default=None, description="Folder of its data on the host.")
    options: SefsOptions = Field(default_factory=SefsOptions, description="How it is opened.")


class ErofsLayer(BaseModel):
    """The lower layer: what the file system holds at first."""

    model_config = STRICT

    type: Literal["erofs"] = Field(description="A read-only EROFS image with a dm-verity tree.")
    image: ImageName = Field(
        description="Name of the image among the `images` of the enclave's target in BUILD."
    )


class TmpfsLayer(BaseModel):
    """The upper layer: what programs change."""

    model_config = STRICT

    type: Literal["tmpfs"] = Field(
        description="Changes are kept in memory and gone when the enclave ends."
    )
    size: PageSize = Field(
        default="16MB",
        validate_default=True,
        description="How much the changes can take; from `kernel_space_heap_size`, as files grow.",
    )


class SefsLayer(SefsMount):
    """A layer of Occlum's. This version does not run it."""


UnionLayer = Annotated[ErofsLayer | TmpfsLayer | SefsLayer, Field(discriminator="type")]
"""One entry of `layers`."""


class UnionfsOptions(BaseModel):
    """Options of a union."""

    model_config = STRICT

    layers: tuple[UnionLayer, ...] = Field(
        default=(),
        description="Two layers: an `erofs` with the first content, then a `tmpfs` with the "
        "changes.",
    )


class UnionfsMount(BaseModel):
    """A file system that can be written and begins as an image: Occlum's usual root."""

    model_config = STRICT

    type: Literal["unionfs"] = Field(
        description="A verified image, with all changes to it kept in memory."
    )
    target: AbsolutePath = Field(description="Where the file system appears inside the enclave.")
    options: UnionfsOptions = Field(description="Its layers.")


class HostfsMount(BaseModel):
    """A folder of the untrusted host: it sees and may change everything in it."""

    model_config = STRICT

    type: Literal["hostfs"] = Field(description="A folder of the host, unprotected.")
    target: AbsolutePath = Field(description="Where the folder appears inside the enclave.")
    source: HostPath = Field(
        description="The folder on the host. A relative path starts at the runner's "
        "`--host-root`, by default the folder in which it is started."
    )
    read_only: bool = Field(default=False, description="Whether programs cannot change it.")
    executable: bool = Field(
        default=False,
        description="Whether programs and libraries may be loaded from it: the host chooses what "
        "these do.",
    )


class RamfsMount(BaseModel):
    """Occlum's name for a file system in memory. This version has `tmpfs` instead."""

    model_config = STRICT

    type: Literal["ramfs"] = Field(
        description="A file system in memory without a limit. `tmpfs` takes its place."
    )
    target: AbsolutePath = Field(description="Where the file system appears inside the enclave.")


class Ext2Options(BaseModel):
    """Options of Occlum's encrypted disk."""

    model_config = STRICT

    disk_size: Size = Field(description="Size of the disk.")
    cache_size: Size | None = Field(default=None, description="Size of the block cache.")


class Ext2Mount(BaseModel):
    """Occlum's ext2 on an encrypted disk. This version does not run it."""

    model_config = STRICT

    type: Literal["ext2"] = Field(
        description="An ext2 file system on an encrypted disk. Not run by this version."
    )
    target: AbsolutePath = Field(description="Where the file system appears inside the enclave.")
    source: Text | None = Field(default=None, description="The disk's file on the host.")
    options: Ext2Options = Field(description="How large the disk is, and how it is cached.")


class BuiltinMount(BaseModel):
    """A file system that the LibOS always mounts, so that an entry for it says nothing."""

    model_config = STRICT

    type: Literal["procfs", "devfs"] = Field(
        description="Always mounted, at `/proc` and `/dev`; leave the entry out."
    )
    target: AbsolutePath = Field(description="Where the file system appears inside the enclave.")


Mount = Annotated[
    ErofsMount
    | TmpfsMount
    | SefsMount
    | UnionfsMount
    | HostfsMount
    | RamfsMount
    | Ext2Mount
    | BuiltinMount,
    Field(discriminator="type"),
]
"""One entry of `mount`."""
