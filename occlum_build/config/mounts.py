"""The file systems of an enclave: one model for each value of `type`.

`erofs` and `tmpfs` run. The others are Occlum's; they can be read, so that a
configuration that comes from Occlum is understood, and `checks` says for each
what to use instead.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from occlum_build.config.fields import STRICT, AbsolutePath, ImageName, PageSize, Size, Text


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


class UnionfsOptions(BaseModel):
    """Options of Occlum's union file system."""

    model_config = STRICT

    layers: tuple[SefsMount, ...] = Field(
        default=(), description="A read-only layer and a writable one above it."
    )


class UnionfsMount(BaseModel):
    """Occlum's root: a writable layer over a read-only one. This version does not run it."""

    model_config = STRICT

    type: Literal["unionfs"] = Field(
        description="Layers that appear as one file system. Not run by this version."
    )
    target: AbsolutePath = Field(description="Where the file system appears inside the enclave.")
    options: UnionfsOptions = Field(default_factory=UnionfsOptions, description="Its layers.")


class HostfsMount(BaseModel):
    """A folder of the untrusted host. This version does not run it."""

    model_config = STRICT

    type: Literal["hostfs"] = Field(
        description="A folder of the host, unprotected. Not run by this version."
    )
    target: AbsolutePath = Field(description="Where the folder appears inside the enclave.")
    source: Text = Field(description="The folder on the host.")


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
