"""A small workspace on disk, and the real tool run in it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = Path(__file__).parent / "engine_rules"
LOAD = (
    'load("//tools:shell.py", "golden_test", "lineage", "needs_test", "shell", "shell_test",'
    ' "sign", "write")\n'
)
_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from occlum_build.cli.start import main; sys.exit(main())"
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str


class Workspace:
    """A directory with a marker and the rules of `engine_rules` in `//tools`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root.parent / f"{root.name}.config"
        root.mkdir(parents=True, exist_ok=True)
        self.write("WORKSPACE.occlum", "")
        self.write("tools/BUILD", "")
        self.write("tools/shell.py", (RULES / "shell.py").read_text())

    def write(self, path: str, text: str) -> Path:
        """Write a file; every file named BUILD may use the test rules."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def build_file(self, text: str, package: str = "app") -> Path:
        """Write a BUILD file that has loaded the test rules."""
        return self.write(f"{package}/BUILD" if package else "BUILD", LOAD + text)

    def run(
        self, *words: str, directory: str = "", env: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run the tool."""
        result = subprocess.run(
            self.command(*words),
            cwd=self.root / directory,
            env=self.environment(env),
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(result.returncode, result.stdout, result.stderr)

    def build(self, *words: str) -> Outcome:
        """Run `build`, which must succeed."""
        outcome = self.run("build", *words)
        assert outcome.status == 0, outcome.err
        return outcome

    def executed(self, *words: str) -> list[str]:
        """Run `build` and tell which actions ran, sorted."""
        lines = self.build(*words).err.splitlines()
        return sorted(line.split("] ")[1].rpartition(" (")[0] for line in lines if line[:1] == "[")

    def output(self, path: str, configuration: str = "default") -> Path:
        """A file that the tool made."""
        return self.root / "out" / configuration / "bin" / path

    def command(self, *words: str) -> list[str]:
        """The command line of the tool."""
        return [sys.executable, "-I", "-c", _START, str(ROOT), *words]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """An environment in which a test leaves nothing of its user's."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, "XDG_CONFIG_HOME": str(self.config), **(more or {})}
