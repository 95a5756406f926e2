"""A checkout of the project in a place of its own, built by the real command."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "BUILD",
    "WORKSPACE.occlum",
    "configs",
    "examples",
    "libos_src",
    "occlum_build",
    "requirements-dev.lock",
    "requirements.lock",
    "rules",
    "toolchain",
)
_LEFT_OUT = {"__pycache__", "target", "out", ".occlum-build"}
_STEP = re.compile(r"^\[\d+/\d+\] (?P<mnemonic>\w+) (?P<label>\S+) \(")


@dataclass(frozen=True)
class Ended:
    """How a command ended, and which actions it ran."""

    status: int
    text: str
    steps: tuple[tuple[str, str], ...]

    @property
    def mnemonics(self) -> set[str]:
        """The kinds of the actions that ran."""
        return {mnemonic for mnemonic, _ in self.steps}


@dataclass(frozen=True)
class Checkout:
    """A copy of the project, and the circumstances in which its commands run."""

    root: Path
    cache: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `occlum-build` with these words, as the first of a group; all it says is piped."""
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "OCCLUM_BUILD_CACHE": str(self.cache),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{name: os.environ[name] for name in _MACHINE if name in os.environ},
            **self.env,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "occlum_build.cli", *words],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def run(self, *words: str, status: int = 0) -> Ended:
        """Run `occlum-build` with these words; it must end with `status`."""
        with self.start(*words) as process:
            text, _ = process.communicate()
        assert process.returncode == status, text
        found = (_STEP.match(line) for line in text.splitlines())
        steps = tuple((one["mnemonic"], one["label"]) for one in found if one)
        return Ended(process.returncode, text, steps)

    def output(self, name: str) -> Path:
        """The path of an output, such as `examples/hello_c/hello`."""
        return self.root / "out/default/bin" / name


# Where a machine keeps its proxy, certificates and Rust toolchains.
_MACHINE = (
    "http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "SSL_CERT_FILE", "PIP_CERT",
    "PIP_INDEX_URL", "RUSTUP_HOME", "CARGO_HOME",
)  # fmt: skip


def copy_project(root: Path) -> None:
    """Copy what a build reads to `root`."""
    for name in sorted(_files()):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        if os.access(ROOT / name, os.X_OK):
            target.chmod(target.stat().st_mode | 0o111)


def _files() -> Iterator[str]:
    for part in PARTS:
        if (ROOT / part).is_file():
            yield part
        for folder, folders, names in os.walk(ROOT / part):
            folders[:] = [one for one in folders if one not in _LEFT_OUT and one[0] != "."]
            yield from (os.path.relpath(Path(folder, name), ROOT) for name in names)


def make_key(path: Path) -> None:
    """Make a key that enclaves can be signed with."""
    subprocess.run(
        [sys.executable, "-m", "occlum_build.sgx", "development-key", "--output", path],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )


def machine_cache() -> Path:
    """Where this machine keeps what earlier builds downloaded and unpacked."""
    chosen = os.environ.get("OCCLUM_BUILD_CACHE")
    return Path(chosen) if chosen else ROOT / ".occlum-build"
