"""Tools on this machine: where they lie, and the digests that stand for them in keys."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from occlum_build.action import ExternalTool, PythonScript, PythonTool, Tool
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error
from occlum_build.execution.environment import INSTALL_RUSTUP, SetUpError, environment
from occlum_build.execution.layout import Layout
from occlum_build.execution.python_sources import python_sources
from occlum_build.execution.source_digests import SourceDigests

_PYTHON_TOOL: Final = Path(__file__).with_name("python_tool.py")
_PACKAGE: Final = Path(__file__).parents[1]
_PACKAGE_PARENT: Final = _PACKAGE.parent
_LOCK: Final = "requirements.lock"
_SECONDS: Final = 60
_FLAGS: Final = ("-s", "-B")
"""How actions start Python. Not `-E` nor `-I`: with those it would ignore the variable that
fixes the order of sets, and the environment of an action has nothing of the user's anyway."""


@dataclass(frozen=True)
class PlacedTool:
    """A tool that was found: the placeholder that means it, its words, and its key line.

    `name`, `version` and `digest` are what the key line says, for people who ask what made
    an artifact; a script's digest is those of its files, which are inputs. `places` are
    where it lies, with all that it needs of this machine beside the system.
    """

    placeholder: str
    words: tuple[str, ...]
    key_line: str
    name: str
    version: str
    digest: str | None = None
    places: tuple[str, ...] = ()


class Tools:
    """Finds each tool of a run once."""

    def __init__(self, digests: SourceDigests, layout: Layout) -> None:
        """Hash tools through `digests`; keep what must be set up in the layout's cache."""
        self._digests = digests
        self._lock = layout.workspace.tool_root / _LOCK
        self._cache = layout.cache
        self._place = layout.source_path
        self._found: dict[Tool, PlacedTool] = {}

    def place(self, tool: Tool) -> PlacedTool:
        """The tool on this machine.

        Raises:
            DiagnosticError: it is missing, or is not what was pinned.
        """
        if tool not in self._found:
            if isinstance(tool, PythonTool):
                self._found[tool] = self._python(tool)
            elif isinstance(tool, PythonScript):
                self._found[tool] = _script(tool)
            elif isinstance(tool, ExternalTool):
                self._found[tool] = self._external(tool)
            else:
                raise TypeError(tool)
        return self._found[tool]

    def _python(self, tool: PythonTool) -> PlacedTool:
        python, lock = sys.executable, self._lock
        if tool.packages is not None:
            lock = self._place(tool.packages)
            python = self._environment(lock)
        sources = python_sources(_PACKAGE_PARENT, tool.module)
        files = [(one.relative_to(_PACKAGE_PARENT).as_posix(), one) for one in sources]
        if lock.is_file():
            files.append((_LOCK, lock))
        files.append(("python_tool.py", _PYTHON_TOOL))
        parent = str(_PACKAGE_PARENT) if sources else "-"
        words = (python, *_FLAGS, "-P", str(_PYTHON_TOOL), parent, tool.module)
        version, digest = _python_version(), self._combined(files)
        line = f"tool python {version} {tool.module} {digest}"
        title = f"python {tool.module}"
        places = (
            *_python_places(python),
            str(_PYTHON_TOOL),
            *([str(_PACKAGE)] if sources else []),
        )
        return PlacedTool(tool.command, words, line, title, version, digest, places)

    def _environment(self, lock: Path) -> str:
        try:
            return environment(str(lock), str(self._cache))
        except SetUpError as problem:
            raise DiagnosticError(
                error("OB0413", problem.message, helps=(problem.help,))
            ) from None

    def _external(self, tool: ExternalTool) -> PlacedTool:
        home = self._home(tool)
        program = home / tool.program
        if not program.is_file():
            raise DiagnosticError(_missing(tool, f"there is no file `{program}`"))
        if tool.version:
            self._check_version(tool, program)
        files = [
            (one.relative_to(home).as_posix(), one)
            for pattern in tool.digest_of
            for one in sorted(home.glob(pattern))
            if one.is_file()
        ]
        if not files:
            raise DiagnosticError(_missing(tool, f"nothing in `{home}` is what was pinned"))
        digest = self._combined(files)
        if tool.sha256 and digest != tool.sha256:
            raise DiagnosticError(
                error(
                    "OB0406",
                    f"`{tool.name}` is not the one that is pinned",
                    notes=(
                        f"the files in `{home}` have the digest {digest}",
                        f"the rules need {tool.sha256}",
                    ),
                    helps=(f"remove it, and install it anew with `{tool.install}`",),
                )
            )
        line = f"tool {tool.name} {digest}"
        words = (str(home),)
        return PlacedTool(tool.home, words, line, tool.name, tool.version, digest, words)

    def _home(self, tool: ExternalTool) -> Path:
        folders = [os.path.expanduser(one) for one in tool.search]  # noqa: PTH111
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), *folders])
        program = shutil.which(tool.locate[0], path=path)
        if program is None:
            problem = _missing(tool, f"`{tool.locate[0]}` is not on the PATH")
            first = f" with `{INSTALL_RUSTUP}`" if tool.locate[0] == "rustup" else ""
            helps = (f"first install `{tool.locate[0]}`{first}", *problem.helps)
            raise DiagnosticError(replace(problem, helps=helps))
        try:
            result = subprocess.run(
                [program, *tool.locate[1:]],
                capture_output=True,
                check=False,
                text=True,
                timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise DiagnosticError(_missing(tool, f"`{program}` fails: {problem}")) from None
        printed = result.stdout.strip()
        if result.returncode or not printed:
            # What comes behind an empty line is a backtrace, and what to do is said below.
            said = result.stderr.strip().partition("\n")[0] or f"status {result.returncode}"
            command = " ".join(tool.locate)
            raise DiagnosticError(_missing(tool, f"`{command}` fails: {said}"))
        home = Path(printed.splitlines()[-1])
        return home.parent.parent if home.is_file() else home

    def _check_version(self, tool: ExternalTool, program: Path) -> None:
        result = subprocess.run(
            [str(program), "--version"],
            capture_output=True,
            check=False,
            text=True,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
        first = (result.stdout or result.stderr).partition("\n")[0]
        if not first.startswith(tool.version):
            raise DiagnosticError(
                error(
                    "OB0406",
                    f"`{tool.name}` is not the pinned version",
                    notes=(f"it says `{first}`, the rules need `{tool.version}`",),
                    helps=(f"install it with `{tool.install}`",),
                )
            )

    def _combined(self, files: Iterable[tuple[str, Path]]) -> str:
        digest = hashlib.sha256()
        for name, path in files:
            digest.update(f"{name}\0{self._digests.line(path)}\n".encode())
        return digest.hexdigest()


def _script(tool: PythonScript) -> PlacedTool:
    """A script sees its own directory and the standard library; its files are inputs."""
    words = (sys.executable, *_FLAGS, "-S", tool.script.path)
    version, path = _python_version(), tool.script.path
    line = f"tool python {version} {path}"
    places = _python_places(sys.executable)
    return PlacedTool(tool.command, words, line, f"python {path}", version, places=places)


def _python_places(python: str) -> tuple[str, ...]:
    """The environment of an interpreter, and the installation below it, the same for all."""
    return (python, str(Path(python).parents[1]), sys.base_prefix, sys.base_exec_prefix)


def _python_version() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def _missing(tool: ExternalTool, why: str) -> Diagnostic:
    return error(
        "OB0405",
        f"the tool `{tool.name}` is missing",
        notes=(why,),
        helps=(f"install it with `{tool.install}`",),
    )
