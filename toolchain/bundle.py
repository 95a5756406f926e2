"""Put the parts of a signed enclave into one directory, with a manifest that names them all.

The manifest says where things are and what they hash to. Nothing trusts it: the enclave is
checked by its signature, and each image by the root hash in the enclave.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from program import WRONG_INPUT, ProgramError, start
from store import sha256_of

_VERSION: Final = 1


def main() -> int:
    """Make the directory `--output` and the text `--summary`."""
    options = _arguments()
    bundle: Path = options.output
    bundle.mkdir(parents=True, exist_ok=True)
    images = dict(one.split("=", 1) for one in options.image)
    parts = {
        "enclave.sgxs": options.sgxs,
        "enclave.sig": options.signature,
        "bin/occlum-run": options.runner,
        **{f"images/{name}.erofs": Path(path) for name, path in images.items()},
    }
    for name, source in parts.items():
        _place(source, bundle / name, executable=name.startswith("bin/"))
    manifest = _manifest(options, bundle, tuple(sorted(parts)))
    (bundle / "manifest.json").write_text(_canonical(manifest), encoding="utf-8")
    options.summary.write_text(_summary(manifest), encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="the bundle's label")
    parser.add_argument("--sgxs", type=Path, required=True)
    parser.add_argument("--sealed", type=Path, required=True)
    parser.add_argument("--report", type=Path, required=True, help="what the layout reported")
    parser.add_argument("--signature", type=Path, required=True)
    parser.add_argument("--key-name", required=True)
    parser.add_argument("--development-key", action="store_true")
    parser.add_argument("--image", action="append", default=[], help="NAME=FILE")
    parser.add_argument("--runner", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--summary", type=Path, required=True)
    return parser.parse_args()


def _place(source: Path, target: Path, *, executable: bool) -> None:
    """Copy a part; a hole in it stays a hole where the file system can do that."""
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if executable else 0o644)


def _manifest(options: argparse.Namespace, bundle: Path, names: tuple[str, ...]) -> dict[str, Any]:
    sealed = json.loads(options.sealed.read_bytes())
    report = json.loads(options.report.read_bytes())
    files = [_described(bundle, name) for name in names]
    digests = {one["path"]: one["sha256"] for one in files}
    mrenclave = report["mrenclave"]
    if digests["enclave.sgxs"] != mrenclave:
        raise ProgramError(
            f"the report says MRENCLAVE {mrenclave}, but the SGXS file hashes to"
            f" {digests['enclave.sgxs']}",
            status=WRONG_INPUT,
        )
    return {
        "version": _VERSION,
        "target": options.target,
        "mrenclave": mrenclave,
        "files": files,
        "images": [_image(one, bundle, digests) for one in _images_of(sealed)],
        "memory_model": sealed["memory"]["model"],
        "debug": sealed["debuggable"],
        "signing_key": {"name": options.key_name, "development": options.development_key},
        **_signed_facts(options.signature.read_bytes()),
    }


def _described(bundle: Path, name: str) -> dict[str, Any]:
    path = bundle / name
    return {
        "path": name,
        "sha256": sha256_of(path),
        "size": path.stat().st_size,
        "executable": name.startswith("bin/"),
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


def _signed_facts(sigstruct: bytes) -> dict[str, Any]:
    """What the SIGSTRUCT says: Intel SDM vol. 3D, "Layout of Enclave Signature Structure".

    MODULUS is at 128; ISVPRODID and ISVSVN are at 1024 and 1026. MRSIGNER is the SHA-256 of
    the modulus as it stands there.
    """
    return {
        "mrsigner": hashlib.sha256(sigstruct[128:512]).hexdigest(),
        "isv_prod_id": int.from_bytes(sigstruct[1024:1026], "little"),
        "isv_svn": int.from_bytes(sigstruct[1026:1028], "little"),
    }


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":")) + "\n"


def _summary(manifest: Mapping[str, Any]) -> str:
    """What the user sees after a build."""
    key = manifest["signing_key"]
    warning = "  (development key: nobody should trust it)" if key["development"] else ""
    return (
        f"{manifest['target']}\n"
        f"  MRENCLAVE {manifest['mrenclave']}\n"
        f"  MRSIGNER  {manifest['mrsigner']}{warning}\n"
    )


if __name__ == "__main__":
    start(main)
