"""What lies in `configs/` is right and up to date."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from occlum_build.config import OcclumConfig, load
from occlum_build.config.json_schema import render_json_schema
from occlum_build.config.seal import sealed_json
from tests.support.config_samples import HELLO, ROOT_IMAGE, config_of

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
PRESETS = sorted((CONFIGS / "presets").glob("*.yaml"))


def test_the_json_schema_is_the_one_of_the_model() -> None:
    remedy = "run `python -m occlum_build.config schema --output configs/occlum.schema.json`"

    assert (CONFIGS / "occlum.schema.json").read_text() == render_json_schema(), remedy


def test_there_is_a_preset_for_each_kind_of_enclave() -> None:
    names = [preset.stem for preset in PRESETS]

    assert names == ["debug", "default", "edmm", "large", "small"]


@pytest.mark.parametrize("preset", PRESETS, ids=[preset.stem for preset in PRESETS])
def test_a_preset_is_right(preset: Path) -> None:
    config, diagnostics = load(preset.read_text(), preset.name)

    assert diagnostics == []
    assert config is not None


def test_the_default_preset_says_what_the_defaults_are() -> None:
    preset = config_of((CONFIGS / "presets" / "default.yaml").read_text())
    silent = config_of(HELLO.replace("/bin/hello", "/bin/program"))

    assert sealed_json(preset, {"root": ROOT_IMAGE}) == sealed_json(silent, {"root": ROOT_IMAGE})


def described(node: Any) -> list[str]:
    """Keys of a JSON schema that have properties without a description."""
    if isinstance(node, list):
        return [name for one in node for name in described(one)]
    if not isinstance(node, dict):
        return []
    missing = [
        name
        for name, one in node.get("properties", {}).items()
        if len(one.get("description", "")) < 10
    ]
    return missing + [name for one in node.values() for name in described(one)]


def test_every_key_has_a_description() -> None:
    assert described(OcclumConfig.model_json_schema()) == []


def test_every_model_is_strict_and_frozen() -> None:
    seen: list[type[BaseModel]] = [OcclumConfig]
    for model in seen:
        for field in model.model_fields.values():
            kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
            seen += [
                kind
                for kind in kinds
                if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in seen
            ]

    for model in seen:
        assert model.model_config["strict"]
        assert model.model_config["frozen"]
        assert model.model_config["extra"] == "forbid"
