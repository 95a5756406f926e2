"""`occlum-build clean`: delete everything that was made."""

from occlum_build.cli.command import Command
from occlum_build.cli.exit_code import ExitCode
from occlum_build.execution.files import remove
from occlum_build.execution.session import workspace_lock
from occlum_build.loading.workspace import OUTPUT_DIRECTORY


def clean(command: Command) -> ExitCode:
    """Run the verb. What set-up made (Python packages) stays."""
    layout = command.session.layout
    with workspace_lock(layout, command.progress):
        remove(str(layout.root / OUTPUT_DIRECTORY))
        remove(str(layout.state / "fingerprints"))
        remove(str(layout.state / "digests.bin"))
    return ExitCode.DONE
