"""The enclave that a suite runs in, made by the same command that everybody types."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from occlum_build.conformance.outcome import Outcome, Runs
from occlum_build.conformance.suite import Suite
from occlum_build.diagnostic import DiagnosticError, error

_BUILD: Final = """\
load("@occlum//rules:defs.bzl", "enclave_signature", "erofs_image", "occlum_bundle")
load("@occlum//rules:defs.bzl", "occlum_enclave", "tar_archive")

tar_archive(
    name = "tree",
    archive = "tree.tar",
)

# No rootfs: that one refuses programs whose libraries are not there, and a suite may have some.
erofs_image(
    name = "root",
    tree = ":tree",
)

occlum_enclave(
    name = "measured",
    config = "Occlum.yaml",
    images = {"root": ":root"},
)

enclave_signature(
    name = "signature",
    enclave = ":measured",
    key = "development",
)

occlum_bundle(
    name = "enclave",
    enclave = ":measured",
    signature = ":signature",
)
"""

SHELL: Final = os.path.realpath("/bin/sh")
"""The host's shell, by a path without links, as entry points have it."""

SESSION: Final = os.path.realpath("/usr/bin/setsid")
"""What starts a session, likewise (util-linux)."""

_CONFIG: Final = """\
# What a suite gets that brings no configuration of its own.
resource_limits:
  kernel_space_heap_size: {heap}
  user_space_size: {memory}
  max_num_of_threads: 128
process:
  host_arguments: replace
  working_directory: {root}
  default_stack_size: 8MB
  default_heap_size: 128MB
entry_points: [{root}, {shell}]
env:
  default: [{env}]
metadata:
  debuggable: true
feature:
  memory_model: {memory_model}
mount:
  - type: unionfs
    target: /
    options:
      layers:
        - {{type: erofs, image: root}}
        - {{type: tmpfs, size: {files}}}
"""

_SIZES: Final = {
    # What is not touched costs nothing.
    "edmm": {"heap": "1GB", "memory": "2GB", "files": "400MB"},
    # Every page is added before the first program starts.
    "sgx1": {"heap": "256MB", "memory": "1GB", "files": "96MB"},
}


@dataclass(frozen=True, slots=True)
class Enclave:
    """A bundle, and the runner that starts it."""

    bundle: Path
    enclu: str
    has_parent: bool
    """Whether a shell starts the programs, see `command`."""
    runs: Runs

    def run(
        self, words: Sequence[str], *, directory: Path, env: Mapping[str, str], seconds: float
    ) -> Outcome:
        """Run a program of the suite with its arguments, and count what escapes."""
        with TemporaryDirectory() as scratch:
            counted = Path(scratch) / "counted.json"
            argv = self._argv(words, counted)
            ended = self.runs.run(argv, directory=directory, env=env, seconds=seconds)
            return replace(ended, escapes=_escapes(counted))

    def _argv(self, words: Sequence[str], counted: Path) -> list[str]:
        runner = self.bundle / "bin/occlum-run"
        options = ["--enclu", self.enclu, "--stats", str(counted)]
        # A session of its own: `kill(-1)` is for everybody, and not for group 1. The first
        # process is another shell, for that one gets the orphans.
        session = command((SESSION,), has_parent=True) if self.has_parent else ()
        started = (*session, *command(words, has_parent=self.has_parent))
        return [str(runner), *options, str(self.bundle), "--", *started]


def command(words: Sequence[str], *, has_parent: bool) -> list[str]:
    """What to start, on either side, for a program with its arguments.

    The first program of an enclave is process 1, and what a suite starts takes a parent with that
    number for the end of its real one: then a shell is its parent, on the host as well, since a
    shell puts something into the environment.
    """
    parent = (SHELL, "-c", '"$@"; exit', SHELL) if has_parent else ()
    return [*parent, *words]


def _escapes(counted: Path) -> int | None:
    """What the platform counted, which the runner writes at the very end."""
    try:
        return int(json.loads(counted.read_bytes())["host_syscalls_from_enclave"])
    except FileNotFoundError:
        return None


def configuration(suite: Suite, env: Mapping[str, str], memory_model: str) -> str:
    """The Occlum.yaml of a suite that brings none."""
    quoted = ", ".join(f'"{name}={value}"' for name, value in sorted(env.items()))
    facts = {"root": suite.root, "shell": SHELL, "env": quoted}
    return _CONFIG.format(**facts, **_SIZES[memory_model], memory_model=memory_model)


def build(workspace: Path, config: str, cache: Path) -> Path:
    """Make the enclave of the tree at `tree.tar` of `workspace`; the bundle.

    The workspace may be there already: what has not changed is not made again.

    Raises:
        DiagnosticError: it cannot be built; what the build said is on standard error.
    """
    _write(workspace / "WORKSPACE.occlum", "")
    _write(workspace / "BUILD", _BUILD)
    _write(workspace / "Occlum.yaml", config)
    source = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "occlum_build.cli", "build", "//:enclave"],
        cwd=workspace,
        env={**os.environ, "PYTHONPATH": str(source), "OCCLUM_BUILD_CACHE": str(cache)},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
    )
    if done.returncode:
        raise DiagnosticError(
            error(
                "OB0414",
                "the suite's enclave cannot be built",
                notes=(f"the build ended with status {done.returncode}; it said why above",),
            )
        )
    return workspace / "out/default/bin/enclave.bundle"


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
