"""A bundle signed again: the same parts, another signature, a manifest that says so."""

import json
import os
import shutil
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.evidence.canonical import canonical
from occlum_build.identity.signable import MANIFEST, SIGNATURE, read_file
from occlum_build.output_file import temporary_beside, unwritable
from occlum_build.sgx.sigstruct import SigStruct

_FILE_MODE: Final = 0o644
_PROGRAM_MODE: Final = 0o755


def rebundle(source: Path, sigstruct: SigStruct, target: Path) -> None:
    """Make `target` a copy of the bundle `source` with this signature: whole or not at all.

    The key's name in the manifest was the builder's word for it and is left out. Raises
    `DiagnosticError` if `target` exists or cannot be written.
    """
    if target.exists():
        raise DiagnosticError(
            error(
                "OB0566",
                f"`{target}` is there already",
                helps=("a bundle is written into a directory that is not there yet",),
            )
        )
    if target.resolve().is_relative_to(source.resolve()):
        raise DiagnosticError(
            error(
                "OB0566",
                f"`{target}` would lie in the bundle that is signed",
                helps=("the bundle would have a part more than its manifest names",),
            )
        )
    manifest = _manifest(source / MANIFEST)
    temporary = temporary_beside(target)
    try:
        temporary.mkdir()  # not its parents: a name that is mistyped is no wish for a directory
        shutil.copytree(source, temporary, copy_function=_copy, symlinks=True, dirs_exist_ok=True)
        temporary.chmod(_PROGRAM_MODE)
        for name, content in {
            SIGNATURE: sigstruct.pack(),
            MANIFEST: _resigned(manifest, sigstruct),
        }.items():
            path = temporary / name
            path.unlink(missing_ok=True)
            path.write_bytes(content)
            path.chmod(_FILE_MODE)
        temporary.rename(target)
    except OSError as problem:
        raise unwritable(target, _first(problem)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _first(problem: OSError) -> OSError:
    """What went wrong: of a tree `shutil` tells in a list of its own."""
    if isinstance(problem, shutil.Error) and isinstance(problem.args[0], list):
        _, _, why = problem.args[0][0]
        return OSError(0, str(why).partition("] ")[2].partition(":")[0] or str(why))
    return problem


def _manifest(path: Path) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        manifest = json.loads(read_file(path))
        if isinstance(manifest, dict) and isinstance(manifest.get("files"), list):
            return manifest
    raise DiagnosticError(error("OB0567", "this is no manifest of a bundle", Span(str(path))))


def _resigned(manifest: dict[str, Any], sigstruct: SigStruct) -> bytes:
    packed, identity = sigstruct.pack(), sigstruct.identity
    described = {"path": SIGNATURE, "sha256": sha256(packed).hexdigest(), "size": len(packed)}
    files = [
        {**one, **described} if one.get("path") == SIGNATURE else one for one in manifest["files"]
    ]
    facts = {
        "files": files,
        "mrsigner": sigstruct.mrsigner.hex(),
        "isv_prod_id": identity.isv_prod_id,
        "isv_svn": identity.isv_svn,
    }
    kept = {name: value for name, value in manifest.items() if name != "signing_key"}
    return canonical({**kept, **facts})


def _copy(source: str, target: str) -> str:
    """Copy a file, and its mode as far as it says what runs."""
    shutil.copyfile(source, target)
    Path(target).chmod(_PROGRAM_MODE if os.access(source, os.X_OK) else _FILE_MODE)
    return target
