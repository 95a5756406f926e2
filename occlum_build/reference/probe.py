"""What becomes of a key: found by writing it into an Occlum.yaml and looking at what is sealed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from occlum_build.config.checks import NOT_SUPPORTED
from occlum_build.config.images import Image
from occlum_build.config.load import load
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.seal import metadata_json, sealed_json
from occlum_build.diagnostic import Diagnostic

_IMAGE: Final = Image(data_size=4096, tree_offset=8192, root_hash="0" * 64)
_ROOT: Final = {"type": "erofs", "target": "/", "image": "root"}
_BASE: Final[dict[str, Any]] = {"process": {"command": ["/bin/program"]}, "mount": [_ROOT]}
_CONDITIONS: Final[dict[str, tuple[tuple[str, Any], ...]]] = {
    "": (),
    "enable_kss: true": (("metadata.enable_kss", True),),
    "memory_model: edmm": (("feature.memory_model", "edmm"),),
}

SAMPLES: Final[Mapping[str, Any]] = {
    "resource_limits.kernel_space_heap_size": "64MB",
    "resource_limits.kernel_space_heap_max_size": "32MB",
    "resource_limits.kernel_space_stack_size": "512KB",
    "resource_limits.user_space_size": "1GB",
    "resource_limits.user_space_max_size": "300MB",
    "resource_limits.max_num_of_threads": 16,
    "resource_limits.init_num_of_threads": 32,
    "resource_limits.marshal_buffer_size": "1MB",
    "process.command": ["/bin/server", "--port", "8443"],
    "process.host_arguments": "append",
    "process.host_signals": ["SIGTERM", "SIGUSR1"],
    "process.working_directory": "/srv",
    "process.default_stack_size": "8MB",
    "process.default_heap_size": "64MB",
    "process.default_mmap_size": "100MB",
    "entry_points": ["/bin", "/usr/bin"],
    "env.default": ["LANG=C.UTF-8"],
    "env.untrusted": ["TZ"],
    "metadata.product_id": 7,
    "metadata.version_number": 2,
    "metadata.debuggable": True,
    "metadata.disable_log": False,
    "metadata.enable_kss": True,
    "metadata.family_id.high": "0x1f",
    "metadata.family_id.low": "0x1f",
    "metadata.ext_prod_id.high": "0x1f",
    "metadata.ext_prod_id.low": "0x1f",
    "metadata.date": "2030-01-31",
    "feature.memory_model": "edmm",
    "feature.amx": 1,
    "feature.pkru": 1,
    "feature.io_uring": 4,
    "feature.enable_posix_shm": True,
}
"""A value for each key, other than its default."""

_GROWTH: Final = (
    ("resource_limits.kernel_space_heap_max_size", "1GB"),
    ("resource_limits.user_space_max_size", "16GB"),
    ("resource_limits.init_num_of_threads", 16),
)
_MOUNTS: Final[tuple[dict[str, Any], ...]] = (
    {"type": "sefs", "target": "/data", "source": "./run"},
    {"type": "encrypted", "target": "/data", "source": "./run"},
    {"type": "unionfs", "target": "/data"},
    {"type": "hostfs", "target": "/host", "source": "."},
    {"type": "ramfs", "target": "/scratch"},
    {"type": "ext2", "target": "/disk", "options": {"disk_size": "5GB"}},
    {"type": "procfs", "target": "/proc"},
    {"type": "devfs", "target": "/dev"},
)


@dataclass(frozen=True, slots=True)
class Effect:
    """Where a key ends up, and what must be said besides for it to be accepted."""

    is_measured: bool = False
    is_signed: bool = False
    is_refused: bool = False
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that can be written, and what this version says to it."""

    written: tuple[tuple[str, Any], ...]
    diagnostic: Diagnostic


def effect_of(key: str) -> Effect:
    """What the key's sample changes, under the first condition that lets it be."""
    for condition, settings in _CONDITIONS.items():
        before = _load(settings)[0]
        after = _load((*settings, (key, SAMPLES[key])))[0]
        if before is not None and after is not None:
            return Effect(
                is_measured=_sealed(before) != _sealed(after),
                is_signed=metadata_json(before) != metadata_json(after),
                condition=condition,
            )
    return Effect(is_refused=True)


def refusals() -> Iterator[Refusal]:
    """Everything that is understood and that this version does not do."""
    edmm = _CONDITIONS["memory_model: edmm"]
    tries: list[tuple[tuple[str, Any], ...]] = [((key, SAMPLES[key]),) for key in SAMPLES]
    tries += [(*edmm, setting) for setting in _GROWTH]
    tries += [(("mount", [_ROOT, one]),) for one in _MOUNTS]
    for settings in tries:
        for diagnostic in _load(settings)[1]:
            if diagnostic.code == NOT_SUPPORTED:
                yield Refusal(settings, diagnostic)


def _load(
    settings: tuple[tuple[str, Any], ...],
) -> tuple[OcclumConfig | None, list[Diagnostic]]:
    document = json.loads(json.dumps(_BASE))
    for key, value in settings:
        *folders, name = key.split(".")
        place = document
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return load(json.dumps(document), "Occlum.yaml")  # JSON is YAML


def _sealed(config: OcclumConfig) -> str:
    return sealed_json(config, {"root": _IMAGE})
