"""Occlum.yaml: what it may say, where it is wrong, and what is sealed into the enclave.

Everything that changes a measurement is said in this file; no environment
variable and no command-line flag does. The modules are pure functions of text
and import nothing of the build engine.

`load` is the way in: text to a checked model, or to every problem at once.
"""

from occlum_build.config.load import load
from occlum_build.config.schema import OcclumConfig

__all__ = ["OcclumConfig", "load"]
