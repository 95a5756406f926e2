"""Exit codes: what a script can rely on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    FAILED = 1
    """An action or a test failed: the sources are at fault."""
    WRONG_INPUT = 2
    """Arguments, BUILD files or configuration are wrong: nothing was executed."""
    BUG = 70
    """The tool is at fault (EX_SOFTWARE of sysexits)."""
    INTERRUPTED = 130
    """The user stopped it, as a shell reports SIGINT."""
