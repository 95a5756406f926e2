"""What gdb itself runs: reads symbols each time that an enclave has mapped code.

It is pasted into a script behind `FACTS`, and runs in the Python of gdb.
"""

import importlib
import subprocess
from typing import Any

gdb: Any = importlib.import_module("gdb")


class CodeWasTold(gdb.Breakpoint):  # type: ignore[misc]
    """The place in the LibOS behind a mapping that the host was told of.

    It is in hardware: a breakpoint in memory would be gone when the enclave is loaded.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__(f"*{facts['told']:#x}", type=gdb.BP_HARDWARE_BREAKPOINT, internal=True)
        self.silent = True
        self._facts = facts
        self._known: set[str] = set()

    def stop(self) -> bool:
        """Read the symbols of what is new, and go on."""
        told = subprocess.run(
            self._facts["place"], check=True, capture_output=True, text=True
        ).stdout
        for line in told.splitlines():
            bias, path = line.split(maxsplit=1)
            if line not in self._known:
                self._known.add(line)
                quoted = path.replace("\\", "\\\\").replace('"', '\\"')
                gdb.execute(f'add-symbol-file "{quoted}" -o {bias}', to_string=True)
        return False


class BreakLibos(gdb.Command):  # type: ignore[misc]
    """Stop at a function of the LibOS, such as kernel::program::loader::map_image.

    The breakpoint is in hardware. Symbols of the LibOS end with a hash, so its functions have
    names of their own here.
    """

    def __init__(self, functions: dict[str, int]) -> None:
        super().__init__("break-libos", gdb.COMMAND_BREAKPOINTS)
        self._functions = functions

    def invoke(self, argument: str, from_tty: bool) -> None:  # noqa: FBT001 - gdb passes it so
        """Set it."""
        del from_tty
        name = argument.strip()
        if name not in self._functions:
            raise gdb.GdbError(f'The LibOS has no function "{name}".')
        gdb.execute(f"hbreak *{self._functions[name]:#x}")

    def complete(self, text: str, word: str) -> list[str]:
        """Names that begin like this, without what gdb does not replace."""
        kept = len(text) - len(word)
        return [name[kept:] for name in self._functions if name.startswith(text)]


BreakLibos(FACTS["functions"])  # type: ignore[name-defined]  # noqa: F821
CodeWasTold(FACTS)  # type: ignore[name-defined]  # noqa: F821
