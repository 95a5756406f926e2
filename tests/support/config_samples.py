"""Samples that several tests of `occlum_build.config` start from."""

from occlum_build.config import OcclumConfig, load
from occlum_build.config.images import Image

HELLO = """\
process:
  command: [/bin/hello]
mount:
  - type: erofs
    target: /
    image: root
"""

ROOT_IMAGE = Image(data_size=8192, tree_offset=12288, root_hash="ab" * 32)


def config_of(text: str) -> OcclumConfig:
    """The model of a text that must be right."""
    config, diagnostics = load(text, "Occlum.yaml")
    assert diagnostics == []
    assert config is not None
    return config


def problems_of(text: str) -> list[str]:
    """The messages about a text that must be wrong."""
    config, diagnostics = load(text, "Occlum.yaml")
    assert config is None
    assert diagnostics
    return [one.message for one in diagnostics]
