"""`occlum-build clean`: delete what was made, and nothing that somebody else put there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from occlum_build.cli.command import Command
from occlum_build.cli.exit_code import ExitCode
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.execution.files import remove
from occlum_build.execution.output_directory import is_output_directory
from occlum_build.execution.session import workspace_lock
from occlum_build.loading.workspace import OUTPUT_DIRECTORY

_BLOCK_BYTES: Final = 512  # of `st_blocks`, whatever the file system's own are
_MEBIBYTE: Final = 1 << 20
_KEPT: Final = ("actions.lock", "lock", "sha256")
"""What `--expunge` leaves: downloads, named by their digest, and the locks of other commands."""


def clean(command: Command) -> ExitCode:
    """Run the verb.

    Raises:
        DiagnosticError: `out/` is the user's own.
    """
    layout, arguments = command.session.layout, command.arguments
    if not is_output_directory(layout.root):
        raise DiagnosticError(
            error(
                "OB0130",
                f"`{OUTPUT_DIRECTORY}` holds what occlum-build did not make",
                notes=(f"it has no mark of the tool's: {layout.root / OUTPUT_DIRECTORY}",),
                helps=("delete it yourself if nothing in it is needed",),
            )
        )
    with workspace_lock(layout, command.progress):
        outputs = layout.directory if arguments.is_one_configuration else OUTPUT_DIRECTORY
        doomed = [layout.root / outputs, layout.state / "fingerprints"]
        doomed.append(layout.state / "digests.bin")
        if arguments.expunge:
            kept = [one for one in layout.state.iterdir() if one.name not in _KEPT]
            # What runs this command may be among them: its packages go last.
            doomed += sorted(kept, key=lambda one: (one.name.startswith("venv-"), one.name))
        size_bytes = sum(map(_size_bytes, dict.fromkeys(doomed)))
        for one in doomed:
            remove(str(one))
        command.console.result(f"deleted {size_bytes / _MEBIBYTE:.1f} MiB")
    return ExitCode.DONE


def _size_bytes(path: Path) -> int:
    """How much of the disk a file, or all that is in a directory, takes."""
    return sum(one.lstat().st_blocks * _BLOCK_BYTES for one in (path, *_below(path)) if _is(one))


def _below(path: Path) -> Iterator[Path]:
    return path.rglob("*") if path.is_dir() and not path.is_symlink() else iter(())


def _is(path: Path) -> bool:
    return path.is_symlink() or path.exists()
