"""One build of an audit: the real tool, in a copy of the source, with nothing of the user's."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from occlum_build.audit.circumstances import Circumstances, prepare, set_times
from occlum_build.audit.source import MARKER, Source
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.network_variables import network_variables

_PACKAGE_PARENT: Final = Path(__file__).parents[2]
_LAUNCHER: Final = "occlum-build"
_START: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from occlum_build.cli.start import main; sys.exit(main())"
)
_CACHE: Final = "OCCLUM_BUILD_CACHE"
_STATE: Final = ".occlum-build"
_LAST_LINES: Final = 40


@dataclass(frozen=True)
class Request:
    """What is built: labels, in a configuration, with keys by name."""

    targets: tuple[str, ...]
    configuration: str
    keys: Mapping[str, Path]


def build(
    source: Source, here: Path, request: Request, circumstances: Circumstances, downloads: Path
) -> Path:
    """Copy the source, build the target there, and return the directory of its outputs.

    `downloads` is a store of an earlier build. Files come from it by their digest, which is
    checked, so that it can save time and change nothing.

    Raises:
        DiagnosticError: the source cannot be copied, or does not build.
    """
    old = os.umask(circumstances.umask)
    try:
        prepare(circumstances)
        source.copy_to(circumstances.source, here, backwards=circumstances.backwards)
    finally:
        os.umask(old)
    set_times(circumstances)
    _share(downloads, circumstances.cache)
    status, output = _run(
        [
            *circumstances.wrapper,
            *_tool(circumstances, downloads),
            *_words(request, circumstances),
        ],
        circumstances,
    )
    if status:
        said = output.decode(errors="replace").rstrip().splitlines()
        raise DiagnosticError(
            error(
                "OB0812",
                f"`{source.title}` does not build `{' '.join(request.targets)}` here",
                notes=("\n".join(["its last lines:", *said[-_LAST_LINES:]]),),
            )
        )
    return circumstances.source / "out" / request.configuration / "bin"


def _run(argv: Sequence[str], circumstances: Circumstances) -> tuple[int, bytes]:
    """Run the tool; its status and what it said. Whoever stops the audit stops it, too."""
    with subprocess.Popen(
        argv,
        cwd=circumstances.source,
        env=_environment(circumstances),
        umask=circumstances.umask,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.terminate()  # killed, it would leave its actions behind
            process.communicate()
            raise
        return process.returncode, output


def _tool(circumstances: Circumstances, downloads: Path) -> Sequence[str]:
    """How the tool is started: a source that ships its own tool is built by that one."""
    launcher = circumstances.source / _LAUNCHER
    lock = circumstances.source / "requirements.lock"
    if not launcher.is_file() or not lock.is_file():
        return (sys.executable, "-I", "-c", _START, str(_PACKAGE_PARENT))
    name = _environment_name(lock)
    for folder in (downloads / name, Path(sys.prefix)):
        if folder.name == name and (folder / "bin/python").exists():
            (circumstances.cache / name).symlink_to(folder)
            break
    return (sys.executable, "-I", "-S", str(launcher))


def _environment_name(lock: Path) -> str:
    """The name that the launcher gives to the packages of a lock file."""
    digest = hashlib.sha256(lock.read_bytes())
    digest.update(sys.version.encode())
    return f"venv-{digest.hexdigest()[:16]}"


def _words(request: Request, circumstances: Circumstances) -> list[str]:
    words = ["build", "--configuration", request.configuration]
    words += [word for name, file in request.keys.items() for word in ("--key", f"{name}={file}")]
    words += ["--jobs", str(circumstances.jobs)] if circumstances.jobs else []
    return [*words, *request.targets]


def _environment(circumstances: Circumstances) -> dict[str, str]:
    """A home of its own; rustup is a prerequisite, so where it lies is kept."""
    real_home = os.environ.get("HOME", "/")
    return {
        "PATH": f"{os.environ.get('PATH', os.defpath)}:{real_home}/.cargo/bin",
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{real_home}/.rustup"),
        **network_variables(os.environ),
        "HOME": str(circumstances.home),
        "TMPDIR": str(circumstances.temporary),
        "PYTHONDONTWRITEBYTECODE": "1",
        _CACHE: str(circumstances.cache),
        **circumstances.env,
    }


def _share(downloads: Path, cache: Path) -> None:
    """Give a cache the files that were downloaded before, each under its true digest."""
    kept = downloads / "sha256"
    for file in sorted(kept.iterdir()) if kept.is_dir() else ():
        copy = cache / "sha256" / file.name
        try:
            shutil.copyfile(file, copy)
        except OSError:
            copy.unlink(missing_ok=True)
            continue
        with copy.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        if digest != file.name:
            copy.unlink()


def machine_downloads(here: Path) -> Path:
    """Where this machine keeps what it has downloaded.

    It is where the user says, or with the workspace here, or with the tool's own checkout.
    """
    chosen = os.environ.get(_CACHE)
    if chosen:
        return Path(chosen)
    places = [one / _STATE for one in (here, *here.parents) if (one / MARKER).is_file()]
    return next((one for one in places if one.is_dir()), _PACKAGE_PARENT / _STATE)
