"""What an audit costs against a clean build: `python tests/bench/audit.py`.

Both start from a copy of the source and from downloads alone, so both unpack zig, compile its
C library, the LibOS, the runner and the example. An audit adds the comparison.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from occlum_build.audit.build import Request, build, machine_downloads
from occlum_build.audit.circumstances import plain
from occlum_build.audit.source import Source
from occlum_build.sgx.__main__ import main as sgx

ROOT = Path(__file__).resolve().parents[2]
TARGET = "//examples/hello_c:enclave"


def main() -> None:
    """Measure one after the other, in one run."""
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as folder:
        base = Path(folder).resolve()
        sgx(["development-key", "--output", str(base / "key.pem")])
        request = Request((TARGET,), "default", {"development": base / "key.pem"})
        source = Source.find(str(ROOT), ROOT)
        started = time.monotonic()
        outputs = build(
            source, ROOT, request, plain(base / "clean", None), machine_downloads(ROOT)
        )
        clean = time.monotonic() - started
        bundle = outputs / "examples/hello_c/enclave.bundle"
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "occlum_build.cli", "audit", bundle, "--source", ROOT],
            cwd=ROOT,
            check=False,
        )
        audit = time.monotonic() - started
    print(f"clean build  {clean:7.1f} s  1.00")
    print(f"audit        {audit:7.1f} s  {audit / clean:.2f}  (exit status {done.returncode})")


if __name__ == "__main__":
    main()
