"""The canonical form of a configuration: the bytes that lie in measured pages.

Two texts that mean the same give the same bytes: defaults are filled in, sizes
are numbers, keys are sorted, mounts are in the order of their targets. Beside it
goes the metadata of the signature, which is not measured.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from occlum_build.config.checks import default_mmap_bytes
from occlum_build.config.images import Image, image_names
from occlum_build.config.mounts import (
    ErofsLayer,
    ErofsMount,
    HostfsMount,
    Mount,
    TmpfsLayer,
    TmpfsMount,
    UnionfsMount,
    UnionfsOptions,
)
from occlum_build.config.schema import OcclumConfig

VERSION: Final = 1


def sealed_json(config: OcclumConfig, images: Mapping[str, Image]) -> str:
    """The sealed configuration; `images` are exactly those that it mounts, by name."""
    limits, process, metadata = config.resource_limits, config.process, config.metadata
    silent = not metadata.debuggable if metadata.disable_log is None else metadata.disable_log
    document = {
        "version": VERSION,
        "debuggable": metadata.debuggable,
        "disable_log": silent,
        "memory": {
            "model": config.feature.memory_model,
            "user_space_size": limits.user_space_size,
            "kernel_space_heap_size": limits.kernel_space_heap_size,
            "kernel_space_stack_size": limits.kernel_space_stack_size,
        },
        "threads": {"max": limits.max_num_of_threads},
        "process": {
            "command": process.command,
            "host_arguments": process.host_arguments,
            "host_signals": sorted(set(process.host_signals)),
            "working_directory": process.working_directory,
            "default_stack_size": process.default_stack_size,
            "default_heap_size": process.default_heap_size,
            "default_mmap_size": default_mmap_bytes(config),
        },
        "entry_points": config.entry_points,
        "env": {"default": config.env.default, "untrusted": config.env.untrusted},
        "mount": _mounts(config, images),
    }
    return _canonical(document)


def metadata_json(config: OcclumConfig) -> str:
    """What the signature says and the measurement does not."""
    metadata = config.metadata
    document = {
        "version": VERSION,
        "product_id": metadata.product_id,
        "version_number": metadata.version_number,
        "debuggable": metadata.debuggable,
        "enable_kss": metadata.enable_kss,
        "family_id": metadata.family_id.to_bytes().hex(),
        "ext_prod_id": metadata.ext_prod_id.to_bytes().hex(),
        "date": metadata.date,
    }
    return _canonical(document)


def _mounts(config: OcclumConfig, images: Mapping[str, Image]) -> list[dict[str, Any]]:
    indexes = {name: index for index, name in enumerate(image_names(config))}

    def described(name: str) -> dict[str, Any]:
        image = images[name]
        return {
            "name": name,
            "index": indexes[name],
            "data_size": image.data_size,
            "tree_offset": image.tree_offset,
            "root_hash": image.root_hash,
        }

    return [
        {"type": one.type, "target": one.target} | _mount_fields(one, described)
        for one in sorted(config.mount, key=lambda one: one.target)
    ]


def _mount_fields(mount: Mount, described: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    match mount:
        case ErofsMount(image=image):
            return {"image": described(image)}
        case TmpfsMount(size=size):
            return {"size": size}
        case HostfsMount(source=source, read_only=read_only, executable=executable):
            return {"source": source, "read_only": read_only, "executable": executable}
        case UnionfsMount(
            options=UnionfsOptions(layers=(ErofsLayer(image=image), TmpfsLayer(size=size)))
        ):
            return {"image": described(image), "size": size}
        case _:
            raise AssertionError(mount.type)  # `checks` has refused it


def _canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
