"""The manifest of a bundle: every part with its digest and size, in canonical JSON.

It is a convenience of the host and trusted by nobody: the enclave is checked by its
measurement and signature, and each image by the root hash in the enclave. What it pins can
be checked without a network, and a copy that lost a byte is found.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.evidence.files import read_json, sha256_of

NAME: Final = "manifest.json"
SGXS: Final = "enclave.sgxs"
SIGNATURE: Final = "enclave.sig"
PROGRAMS: Final = "bin/"
VERSION: Final = 1


@dataclass(frozen=True)
class Making:
    """What a manifest says that the parts themselves do not."""

    target: str
    sealed: Path
    report: Path
    key_name: str
    is_development_key: bool


def describe(bundle: Path, names: tuple[str, ...], making: Making) -> dict[str, Any]:
    """The manifest of the parts `names`, which lie in the directory already.

    Raises:
        DiagnosticError: the report is one of another enclave.
    """
    sealed, mrenclave = read_json(making.sealed), read_json(making.report)["mrenclave"]
    files = [_described(bundle, name) for name in sorted(names)]
    digests = {str(one["path"]): str(one["sha256"]) for one in files}
    if digests[SGXS] != mrenclave:
        raise DiagnosticError(
            error(
                "OB0804",
                f"the report says MRENCLAVE {mrenclave}, but `{SGXS}` hashes to {digests[SGXS]}",
                helps=("build the enclave and its report together",),
            )
        )
    return {
        "version": VERSION,
        "target": making.target,
        "mrenclave": mrenclave,
        "files": files,
        "images": [_image(one, bundle, digests) for one in _images_of(sealed)],
        "memory_model": sealed["memory"]["model"],
        "debug": sealed["debuggable"],
        "signing_key": {"name": making.key_name, "development": making.is_development_key},
        **signed_facts((bundle / SIGNATURE).read_bytes()),
    }


def signed_facts(sigstruct: bytes) -> dict[str, Any]:
    """What the SIGSTRUCT says: Intel SDM vol. 3D, "Layout of Enclave Signature Structure".

    MODULUS is at 128; ISVPRODID and ISVSVN are at 1024 and 1026. MRSIGNER is the SHA-256 of
    the modulus as it stands there.
    """
    return {
        "mrsigner": hashlib.sha256(sigstruct[128:512]).hexdigest(),
        "isv_prod_id": int.from_bytes(sigstruct[1024:1026], "little"),
        "isv_svn": int.from_bytes(sigstruct[1026:1028], "little"),
    }


def _described(bundle: Path, name: str) -> dict[str, Any]:
    path = bundle / name
    return {
        "path": name,
        "sha256": sha256_of(path),
        "size": path.stat().st_size,
        "executable": name.startswith(PROGRAMS),
    }


def _images_of(sealed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The images that the sealed configuration mounts, by their number."""
    images = [mount["image"] for mount in sealed["mount"] if "image" in mount]
    return sorted(images, key=lambda one: int(one["index"]))


def _image(image: Mapping[str, Any], bundle: Path, digests: Mapping[str, str]) -> dict[str, Any]:
    path = f"images/{image['name']}.erofs"
    return {
        "name": image["name"],
        "index": image["index"],
        "path": path,
        "root_hash": image["root_hash"],
        "sha256": digests[path],
        "size": (bundle / path).stat().st_size,
    }
