"""Lock files: which packages, in which version, with which bytes.

A lock file is TOML. Each `[[package]]` has a `name`, a `version` and the `sha256` of the
one file that the registry has for it, and may say which others it `depends` on.
"""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from program import WRONG_INPUT, ProgramError

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    """One package: a name and a version for the registry, a digest for us."""

    name: str
    version: str
    sha256: str
    depends: tuple[str, ...] = ()


def find(path: Path, name: str) -> Pin:
    """The pin of package `name`.

    Raises:
        ProgramError: the file is broken, or says nothing of `name`, or says it twice.
    """
    found = [pin for pin in read(path) if pin.name == name]
    if len(found) != 1:
        times = "does not name" if not found else "names more than once"
        raise ProgramError(f"`{path}` {times} package `{name}`", status=WRONG_INPUT)
    return found[0]


def closure(path: Path, names: Iterable[str]) -> tuple[Pin, ...]:
    """The pins of `names` and of all that they depend on, by name.

    Raises:
        ProgramError: the file is broken, or lacks one of them.
    """
    pins = {pin.name: pin for pin in read(path)}
    found: dict[str, Pin] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in pins:
            raise ProgramError(
                f"`{path}` does not name package `{name}`",
                "resolve the lock file anew: its first lines say how",
                status=WRONG_INPUT,
            )
        found[name] = pins[name]
        waiting += pins[name].depends
    return tuple(found[name] for name in sorted(found))


def read(path: Path) -> tuple[Pin, ...]:
    """All pins of a lock file, in its order.

    Raises:
        ProgramError: it is no TOML, or an entry lacks a field or has a malformed one.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ProgramError(f"`{path}` is no lock file: {error}", status=WRONG_INPUT) from error
    return tuple(_pin(path, entry) for entry in document.get("package", ()))


def _pin(path: Path, entry: object) -> Pin:
    match entry:
        case {"name": str(name), "version": str(version), "sha256": str(sha256), **rest} if (
            _DIGEST.fullmatch(sha256)
        ):
            depends = rest.get("depends", [])
            if isinstance(depends, list) and all(isinstance(one, str) for one in depends):
                return Pin(name, version, sha256, tuple(depends))
    raise ProgramError(
        f"`{path}` has an entry without a name, a version and a lower-case SHA-256: {entry}",
        status=WRONG_INPUT,
    )
