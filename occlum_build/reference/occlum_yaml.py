"""`occlum-yaml.md`: every key of Occlum.yaml."""

import inspect
import typing
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from occlum_build.config.mounts import Mount
from occlum_build.config.schema import OcclumConfig
from occlum_build.config.size import UNITS
from occlum_build.reference.key_type import default_of, flow, type_of
from occlum_build.reference.markdown import code, page, sentence, table
from occlum_build.reference.probe import SAMPLES, Effect, Refusal, effect_of, refusals

_COLUMNS: Final = ("key", "type", "default", "example", "reaches", "meaning")

_UNITS: Final = ", ".join(map(code, UNITS.split(", ")))
_INTRODUCTION: Final = f"""
Everything about an enclave that is not in its files. The names are those of Occlum.json where it
has one ([from Occlum.json](../guide/occlum-json.md)). `mount` and `process.command` are all that
must be there; the [presets](../../configs/presets) are beginnings to copy, and
[`occlum.schema.json`](../../configs/occlum.schema.json) lets an editor complete and check keys.

- A **size** is digits and a unit, {_UNITS}; a unit is a power of 1024 and may be spelled `KiB`,
  `MiB`, … too. A size in whole pages is a multiple of 4KB and not zero.
- A **date** is `YYYY-MM-DD`. A **hexadecimal string** is quoted: `"0x1f"`.
- Only `true`, `false`, `null` and decimal numbers are no strings: `on`, `0755` and `1:30` are. A
  key that is given twice, an unknown key, a tag and a merge key are errors.

The column **reaches** says where a value ends up: in the `MRENCLAVE`, in the `signature`
(SIGSTRUCT) or in both. A key that reaches the signature only can be changed without changing the
MRENCLAVE. No environment variable changes either.
"""

_AFTER_MOUNT: Final = """
The image of an `erofs` entry is a name among the `images` of `occlum_enclave`; `enclave_app`
calls its own image `root`. All of `mount` reaches the MRENCLAVE, the root hash of each image
included.
"""


def occlum_yaml_page() -> str:
    """The page."""
    refused = list(refusals())
    sections = [
        _section(name, field)
        for name, field in OcclumConfig.model_fields.items()
        if name != "mount"
    ]
    return page("Occlum.yaml", _INTRODUCTION, [*sections, _mounts(refused), _refused(refused)])


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key that has no keys of its own, with its path."""
    for name, field in model.model_fields.items():
        inner = _model(field)
        if inner is None:
            yield f"{prefix}{name}", field
        else:
            yield from leaves(inner, f"{prefix}{name}.")


def _model(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _section(name: str, field: FieldInfo) -> str:
    inner = _model(field)
    about = field.description if inner is None else inspect.getdoc(inner)
    found = [(name, field)] if inner is None else leaves(inner, f"{name}.")
    rows = (_row(key, one, effect_of(key)) for key, one in found)
    return "\n\n".join([f"## {name}", about or "", table(_COLUMNS, rows)])


def _row(key: str, field: FieldInfo, effect: Effect) -> tuple[str, ...]:
    meaning = field.description or ""
    if effect.condition and effect.condition.split(": ")[1] not in meaning:
        meaning += f" Needs {code(effect.condition)}."
    example = "" if effect.is_refused else code(flow(SAMPLES[key]))
    return code(key), type_of(field), default_of(field), example, _reach(effect), meaning


def _reach(effect: Effect) -> str:
    if effect.is_refused:
        return "refused"
    names = (("MRENCLAVE", effect.is_measured), ("signature", effect.is_signed))
    return " and ".join(name for name, is_there in names if is_there) or "nothing"


def _mounts(refused: list[Refusal]) -> str:
    parts = ["## mount", OcclumConfig.model_fields["mount"].description or ""]
    parts.append(_AFTER_MOUNT.strip())
    union, *_ = typing.get_args(Mount)
    not_run = {mount_type(one) for one in refused}
    for model in typing.get_args(union):
        types = typing.get_args(model.model_fields["type"].annotation)
        title = " or ".join(f"`type: {one}`" for one in types)
        rows = (
            (code(key), type_of(field), default_of(field), field.description or "")
            for key, field in leaves(model)
            if key != "type"
        )
        parts += [f"### {title}", inspect.getdoc(model) or ""]
        if not not_run.intersection(types):
            parts.append(table(("key", "type", "default", "meaning"), rows))
        elif keys := ", ".join(cell for cell, *_ in rows):
            parts.append(
                f"Its keys are read, so that a file that comes from Occlum is understood: {keys}."
            )
    return "\n\n".join(parts)


def mount_type(refusal: Refusal) -> str:
    """The `type` of the mount that was refused; empty if it was something else."""
    key, value = refusal.written[-1]
    return str(value[-1]["type"]) if key == "mount" else ""


def _refused(refused: list[Refusal]) -> str:
    rows = []
    for one in refused:
        written = " with ".join(code(_written(*setting)) for setting in reversed(one.written))
        notes = "; ".join((one.diagnostic.message, *one.diagnostic.notes))
        rows.append((written, sentence(notes), sentence("; ".join(one.diagnostic.helps))))
    text = (
        "What Occlum has and this version does not is understood and refused with"
        " [`OB0230`](diagnostics.md#ob0230); nothing is ignored."
    )
    titles = ("written", "why it is refused", "instead")
    return "\n\n".join(["## Refused in this version", text, table(titles, rows)])


def _written(key: str, value: Any) -> str:
    return flow(value[-1]) if key == "mount" else f"{key}: {flow(value)}"
