"""How gdb is started on the runner of an enclave."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from occlum_build.debugging.symbols import demangled
from occlum_build.diagnostic import DiagnosticError, error
from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import ElfFile

# What software SGX and the LibOS make of the host's own signals is none of the user's business.
_SIGNALS: Final = "SIGSYS SIGSEGV SIGILL SIGBUS SIGFPE nostop noprint pass"
_TOLD: Final = "kernel::memory::listing::code_was_told"
_LIBOS: Final = "libos.elf"
_ARGUMENTS: Final = "OCCLUM_GDB_ARGUMENTS"


@dataclass(frozen=True, slots=True)
class Session:
    """What gdb needs to know of an enclave."""

    libos: Path
    libos_start: int
    mappings: Path
    """Where the runner writes what code is mapped."""
    place: tuple[str, ...]
    """A command that takes mapped files out of the image."""
    directory: Path
    """For files that may go when gdb has ended."""


def command(runner: list[str], session: Session) -> list[str]:
    """The words that start gdb; raises `DiagnosticError` if there is none here.

    More options for gdb may stand in the variable `OCCLUM_GDB_ARGUMENTS`, separated by blanks
    as a shell would.
    """
    import shlex

    program = shutil.which("gdb")
    if program is None:
        raise DiagnosticError(
            error(
                "OB0581",
                "`--gdb` needs gdb, and there is none on the PATH",
                helps=("install it: the package `gdb` of most distributions",),
            )
        )
    more = shlex.split(os.environ.get(_ARGUMENTS, ""))
    # A name that needs no quotes, wherever the enclave was built.
    (session.directory / _LIBOS).symlink_to(session.libos.resolve())
    script = session.directory / "enclave.gdb"
    script.write_text(_script(session), encoding="utf-8")
    return [program, "-q", "-x", str(script), *more, "--args", *runner]


def _script(session: Session) -> str:
    elf = ElfFile(FileBytes(str(session.libos)))
    functions = {
        demangled(name): session.libos_start + symbol.address for symbol, name in elf.functions()
    }
    told = functions.get(_TOLD)
    if told is None:
        raise DiagnosticError(
            error(
                "OB0582",
                f"`{session.libos}` has no symbol `{_TOLD}`",
                notes=("gdb waits there to read the symbols of what the enclave maps",),
                helps=("build the LibOS with its symbols: cargo's `strip` must not be set",),
            )
        )
    facts = {
        "told": told,
        "functions": functions,
        "mappings": str(session.mappings),
        "place": [
            *session.place,
            *("--directory", str(session.directory), "--mappings", str(session.mappings)),
        ],
    }
    commands = Path(__file__).with_name("gdb_commands.py").read_text(encoding="utf-8")
    return "\n".join(
        [
            "set pagination off",
            "set confirm off",
            "set breakpoint pending on",
            "set debuginfod enabled off",
            "starti",
            f"handle {_SIGNALS}",
            f'add-symbol-file "{session.directory / _LIBOS}" -o {session.libos_start:#x}',
            "set confirm on",
            "python",
            f"FACTS = {json.dumps(facts)}",
            commands,
            "end",
            "",
        ]
    )
