"""Configurations: the named sets of choices that one source tree is built with."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

DEFAULT_NAME: Final = "default"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A name and string values, declared in `WORKSPACE.occlum`, chosen with `-c NAME`.

    It is part of the identity of every output (`out/<name>/…`). It is the only
    thing that `select()` and rules can ask; no environment variable reaches them.
    """

    name: str = DEFAULT_NAME
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, key: str, default: str = "") -> str:
        """The value of `key`, or `default` where this configuration does not set it."""
        return self.values.get(key, default)

    def matches(self, condition: str) -> bool:
        """Whether `condition`, either `key=value` or a configuration's name, holds."""
        key, equals, value = condition.partition("=")
        return self.values.get(key) == value if equals else self.name == condition
