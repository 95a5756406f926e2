"""Files that belong to an enclave, and how they are found beside it."""

import os
from dataclasses import dataclass
from typing import Final

from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES

MANIFEST_SUFFIX: Final = ".manifest.sgx"
SIGSTRUCT_SUFFIX: Final = ".sig"


@dataclass(frozen=True, slots=True)
class Companions:
    """What was given beside an enclave; None for what is to be looked for.

    `sigstruct` is a SIGSTRUCT, `libpal` the loader that a Gramine manifest is
    measured with, and `ego_enclave` the enclave that an EGo program runs in.
    """

    sigstruct: str | None = None
    libpal: str | None = None
    ego_enclave: str | None = None


def beside(path: str, name: str) -> str:
    """The path of a file in the same directory."""
    return os.path.join(os.path.dirname(path), name)


def sigstruct_beside(path: str, suffix: str) -> str | None:
    """`NAME.sig` beside `NAME` + `suffix`, if it is there and as long as a SIGSTRUCT."""
    if not path.endswith(suffix):
        return None
    found = path.removesuffix(suffix) + SIGSTRUCT_SUFFIX
    if os.path.isfile(found) and os.path.getsize(found) == SIGSTRUCT_BYTES:
        return found
    return None


def manifest_of(path: str) -> str:
    """The Gramine manifest that the SIGSTRUCT `NAME.sig` is for; `path` if there is none."""
    if not path.endswith(SIGSTRUCT_SUFFIX):
        return path
    manifest = path.removesuffix(SIGSTRUCT_SUFFIX) + MANIFEST_SUFFIX
    return manifest if os.path.isfile(manifest) else path
