"""What no single value shows: contradictions, and what this version cannot run.

Each check is a generator over a model whose fields are right one by one. It
names the paths that are involved, the one to point at first.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from occlum_build.config.fields import PAGE_BYTES
from occlum_build.config.mounts import (
    BuiltinMount,
    ErofsLayer,
    ErofsMount,
    Ext2Mount,
    HostfsMount,
    RamfsMount,
    SefsLayer,
    SefsMount,
    TmpfsLayer,
    TmpfsMount,
    UnionfsMount,
)
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.size import print_size
from occlum_build.config.strict_yaml import Path

CONTRADICTION: Final = "OB0220"
NOT_SUPPORTED: Final = "OB0230"

MAX_ENCLAVE_BYTES: Final = 1 << 46
MAX_ADDED_BYTES: Final = 1 << 40
MIN_KERNEL_STACK_BYTES: Final = 64 << 10
MIN_KERNEL_HEAP_BYTES: Final = 512 << 10
KEEPERS: Final = 1
"""Threads of the LibOS itself; `occlum_build.sgx.layout` lays them out."""
BUILTIN_TARGETS: Final = ("/dev", "/proc")

_STACK: Final[Path] = ("process", "default_stack_size")
_HEAP: Final[Path] = ("process", "default_heap_size")
_MMAP: Final[Path] = ("process", "default_mmap_size")


@dataclass(frozen=True, slots=True)
class Problem:
    """A diagnostic that knows paths instead of places."""

    paths: tuple[Path, ...]
    message: str
    label: str = ""
    notes: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()
    code: str = CONTRADICTION


def check(config: OcclumConfig) -> list[Problem]:
    """Every problem of a model that is well formed."""
    return [problem for one in _CHECKS for problem in one(config)]


def default_mmap_bytes(config: OcclumConfig) -> int:
    """`default_mmap_size`, or what stack and heap leave of user space."""
    process = config.process
    if process.default_mmap_size is not None:
        return process.default_mmap_size
    user_space = config.resource_limits.user_space_size
    return user_space - process.default_stack_size - process.default_heap_size


def _limit(name: str) -> Path:
    return ("resource_limits", name)


def _growth(config: OcclumConfig) -> Iterator[Problem]:
    """Sizes that grow: only with EDMM, and not yet beyond where they start."""
    limits = config.resource_limits
    pairs = (
        ("kernel_space_heap_max_size", "kernel_space_heap_size"),
        ("user_space_max_size", "user_space_size"),
        ("init_num_of_threads", "max_num_of_threads"),
    )
    for name, partner in pairs:
        value, fixed = getattr(limits, name), getattr(limits, partner)
        if value is None:
            continue
        paths = (_limit(name), ("feature", "memory_model"), _limit(partner))
        if config.feature.memory_model != "edmm":
            yield Problem(
                paths,
                f"`{name}` means nothing without EDMM",
                "nothing grows in an SGX1 enclave",
                helps=(f"leave it out; `{partner}` says it all", "or write `memory_model: edmm`"),
            )
        elif value != fixed:
            yield Problem(
                (_limit(name), _limit(partner)),
                f"`{name}` differs from `{partner}`, and this version cannot grow it",
                f"{_amount(name, value)} here",
                notes=(f"`{partner}` is {_amount(partner, fixed)}",),
                helps=(f"leave `{name}` out and give `{partner}` the largest value needed",),
                code=NOT_SUPPORTED,
            )


def _amount(name: str, value: int) -> str:
    return str(value) if name.endswith("threads") else print_size(value)


def _enclave_size(config: OcclumConfig) -> Iterator[Problem]:
    limits = config.resource_limits
    for name, what, size_bytes, least_bytes in (
        ("kernel_space_heap_size", "heap", limits.kernel_space_heap_size, MIN_KERNEL_HEAP_BYTES),
        (
            "kernel_space_stack_size",
            "stack",
            limits.kernel_space_stack_size,
            MIN_KERNEL_STACK_BYTES,
        ),
    ):
        if size_bytes < least_bytes:
            least = print_size(least_bytes)
            yield Problem(
                (_limit(name),),
                f"the LibOS needs a {what} of at least {least}",
                f"{print_size(size_bytes)} here",
                helps=(f"write `{least}` or more",),
            )
    stacks = limits.kernel_space_stack_size * (limits.max_num_of_threads + KEEPERS)
    added = limits.kernel_space_heap_size + stacks
    total = added + limits.user_space_size
    if config.feature.memory_model == "sgx1":
        added = total
    for need, limit, subject in (
        (total, MAX_ENCLAVE_BYTES, "an enclave has at most"),
        (added, MAX_ADDED_BYTES, "memory that is added before an enclave starts ends at"),
    ):
        if need > limit:
            parts = {
                "user_space_size": limits.user_space_size,
                "kernel_space_heap_size": limits.kernel_space_heap_size,
                "kernel_space_stack_size": stacks,  # of all threads together
            }
            largest = max(parts, key=lambda name: parts[name])
            yield Problem(
                (_limit(largest), *(_limit(name) for name in parts)),
                f"the parts of this enclave need {_rounded(need)}; {subject} {print_size(limit)}",
                notes=tuple(f"`{name}` takes {_rounded(size)}" for name, size in parts.items()),
                helps=(f"lower `{largest}`",),
            )
            return


def _rounded(size_bytes: int) -> str:
    """A size in a unit in which it has at least one digit and is still readable."""
    unit = 1
    while size_bytes >= 10_000 * unit:
        unit *= 1024
    return print_size(-(-size_bytes // unit) * unit)


def _process_size(config: OcclumConfig) -> Iterator[Problem]:
    process, user_space = config.process, config.resource_limits.user_space_size
    mmap = process.default_mmap_size or 0
    parts = process.default_stack_size + process.default_heap_size + mmap
    least = parts if mmap else parts + PAGE_BYTES
    if least <= user_space:
        return
    label = f"{print_size(user_space)} here, but one process needs {_rounded(least)}"
    sizes = (
        f"stack {print_size(process.default_stack_size)}, "
        f"heap {print_size(process.default_heap_size)}"
    )
    yield Problem(
        (_limit("user_space_size"), _STACK, _HEAP, _MMAP),
        "user space is too small for a process",
        label,
        notes=(f"{sizes}, mmap {print_size(mmap) if mmap else 'at least one page'}",),
        helps=(f"write `user_space_size: {_rounded(least)}`, or lower the sizes in `process`",),
    )


def _program(config: OcclumConfig) -> Iterator[Problem]:
    command, entry_points = config.process.command, config.entry_points
    where: Path = ("process", "command")
    if not entry_points:
        yield Problem((("entry_points",),), "no program could start: `entry_points` is empty")
    for index, path in enumerate(entry_points):
        if path in entry_points[:index]:
            yield Problem((("entry_points", index),), f"entry point `{path}` is given twice")
    if not command:
        if config.process.host_arguments != "replace":
            yield Problem(
                (where, ("process",)),
                "no program to run: `command` is missing",
                helps=("write `command: [/bin/program, argument]` in `process`",),
            )
        return
    program = command[0]
    if not program.startswith("/"):
        yield Problem(
            ((*where, 0),),
            f"the program `{program}` is not an absolute path",
            helps=(f"write `/bin/{program}` or wherever it lies",),
        )
    elif entry_points and not any(lies_under(program, one) for one in entry_points):
        yield Problem(
            ((*where, 0), ("entry_points",)),
            f"the program `{program}` lies under no entry point",
            notes=(f"entry points: {', '.join(f'`{one}`' for one in entry_points)}",),
            helps=(f"add `{program}` to `entry_points`",),
        )


def lies_under(path: str, folder: str) -> bool:
    """Whether an absolute path is `folder`, or one below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _environment(config: OcclumConfig) -> Iterator[Problem]:
    trusted: set[str] = set()
    for index, entry in enumerate(config.env.default):
        name = entry.partition("=")[0]
        if name in trusted:
            path: Path = ("env", "default", index)
            yield Problem((path,), f"variable `{name}` is given twice")
        trusted.add(name)
    untrusted: set[str] = set()
    for index, name in enumerate(config.env.untrusted):
        path = ("env", "untrusted", index)
        if name in untrusted:
            yield Problem((path,), f"variable `{name}` is given twice")
        elif name in trusted:
            yield Problem(
                (path, ("env", "default")),
                f"variable `{name}` is in `default` and in `untrusted`",
                "the host could replace the measured value",
                helps=("keep it in one of the two",),
            )
        untrusted.add(name)


def _signature(config: OcclumConfig) -> Iterator[Problem]:
    metadata = config.metadata
    if metadata.enable_kss:
        return
    for name in ("family_id", "ext_prod_id"):
        if any(getattr(metadata, name).to_bytes()):
            yield Problem(
                (("metadata", name), ("metadata", "enable_kss")),
                f"`{name}` needs `enable_kss`",
                helps=("write `enable_kss: true` in `metadata`",),
            )


def _mount_points(config: OcclumConfig) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, mount in enumerate(config.mount):
        path: Path = ("mount", index, "target")
        if mount.target in seen:
            yield Problem((path,), f"two file systems are mounted at `{mount.target}`")
        elif mount.target == "/" and isinstance(mount, TmpfsMount):
            yield Problem(
                (path,),
                "the root cannot be a `tmpfs`: it would be empty",
                helps=("mount an `erofs` image at `/`, or a `unionfs` of one and a `tmpfs`",),
            )
        elif mount.target == "/" and isinstance(mount, HostfsMount):
            yield Problem(
                (path,),
                "the root cannot be a `hostfs`: the host would choose every program",
                helps=("mount an `erofs` image at `/`, or a `unionfs` of one and a `tmpfs`",),
            )
        elif any(lies_under(mount.target, one) for one in BUILTIN_TARGETS) and not isinstance(
            mount, BuiltinMount
        ):
            yield Problem((path,), f"`{mount.target}` belongs to the LibOS")
        seen.add(mount.target)
    if "/" not in seen:
        yield Problem(
            (("mount",),),
            "no file system is mounted at `/`",
            helps=("add `{type: erofs, target: /, image: root}` to `mount`",),
        )


def _memory_sizes(config: OcclumConfig) -> Iterator[tuple[Path, int]]:
    """What may be written to memory: where it is said, and how much."""
    for index, mount in enumerate(config.mount):
        here: Path = ("mount", index)
        if isinstance(mount, TmpfsMount):
            yield here, mount.size
        elif isinstance(mount, UnionfsMount):
            for layer, one in enumerate(mount.options.layers):
                if isinstance(one, TmpfsLayer):
                    yield (*here, "options", "layers", layer), one.size


def _mount_layers(config: OcclumConfig) -> Iterator[Problem]:
    for index, mount in enumerate(config.mount):
        if not isinstance(mount, UnionfsMount):
            continue
        here: Path = ("mount", index, "options", "layers")
        layers = mount.options.layers
        foreign = [i for i, layer in enumerate(layers) if isinstance(layer, SefsLayer)]
        for layer in foreign:
            yield Problem(
                ((*here, layer, "type"),),
                f"this version cannot mount `{layers[layer].type}`",
                helps=(_LAYER_INSTEAD,),
                code=NOT_SUPPORTED,
            )
        kinds = [type(layer) for layer in layers]
        if not foreign and kinds != [ErofsLayer, TmpfsLayer]:
            yield Problem(
                (here, ("mount", index)),
                "a union has two layers: an `erofs` and a `tmpfs`, in this order",
                helps=("write `layers: [{type: erofs, image: root}, {type: tmpfs}]`",),
            )


def _mount_sizes(config: OcclumConfig) -> Iterator[Problem]:
    sizes = dict(_memory_sizes(config))
    heap = config.resource_limits.kernel_space_heap_size
    total = sum(sizes.values())
    if total > heap:
        largest = max(sizes, key=lambda path: sizes[path])
        yield Problem(
            ((*largest, "size"), largest, _limit("kernel_space_heap_size")),
            f"`tmpfs` may take {_rounded(total)}, but the LibOS heap has {print_size(heap)}",
            f"{print_size(sizes[largest])} here",
            helps=("raise `kernel_space_heap_size`, or lower `size`",),
        )


_LAYER_INSTEAD: Final = (
    "the first layer is `{type: erofs, image: root}`, the second `{type: tmpfs, size: 16MB}`"
)
_INSTEAD: Final = {
    SefsMount: "use `erofs` for files that are only read and `tmpfs` for files that are written",
    RamfsMount: "write `type: tmpfs` and a `size`",
    Ext2Mount: "use `tmpfs` for files that need not outlive the enclave",
    BuiltinMount: "leave this entry out: the LibOS always mounts it",
}


def _mount_types(config: OcclumConfig) -> Iterator[Problem]:
    for index, mount in enumerate(config.mount):
        if isinstance(mount, ErofsMount | TmpfsMount | UnionfsMount | HostfsMount):
            continue
        yield Problem(
            (("mount", index, "type"),),
            f"this version cannot mount `{mount.type}`",
            helps=(_INSTEAD[type(mount)],),
            code=NOT_SUPPORTED,
        )


def _features(config: OcclumConfig) -> Iterator[Problem]:
    feature, limits = config.feature, config.resource_limits
    refused = (
        (feature.amx, "amx", "AMX state does not fit an SSA frame of one page"),
        (feature.pkru, "pkru", "it does not separate programs by protection keys"),
        (feature.io_uring, "io_uring", "it does all input and output by OCALLs"),
        (feature.enable_posix_shm, "enable_posix_shm", "its processes share no memory by file"),
    )
    for value, name, reason in refused:
        if value:
            yield Problem(
                (("feature", name),),
                f"this version has no `{name}`",
                notes=(reason,),
                helps=(f"leave `{name}` out",),
                code=NOT_SUPPORTED,
            )
    if limits.marshal_buffer_size is not None:
        yield Problem(
            (_limit("marshal_buffer_size"),),
            "this version has no marshal buffer",
            notes=("the host's memory is reached by bounded copies",),
            helps=("leave `marshal_buffer_size` out",),
            code=NOT_SUPPORTED,
        )


_CHECKS: Final[Sequence[Callable[[OcclumConfig], Iterator[Problem]]]] = (
    _growth,
    _enclave_size,
    _process_size,
    _program,
    _environment,
    _signature,
    _mount_points,
    _mount_layers,
    _mount_sizes,
    _mount_types,
    _features,
)
