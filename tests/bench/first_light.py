"""How long the whole thread takes: clean build, null build, one-line edit, start of an enclave.

Run it from a checkout whose downloads are in place:

    .occlum-build/venv-*/bin/python tests/bench/first_light.py

Every figure is a ratio of two times of this one run; the seconds are there to be compared with
each other, not with those of another machine.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = "//examples/hello_c:enclave"
PYTHON = (os.path.realpath(sys.executable), "-I", "-S")


def main() -> int:
    """Measure in a fresh clone and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often short things are run")
    rounds: int = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="first-light-") as folder:
        checkout = Path(folder) / "checkout"
        _run(["git", "clone", "--quiet", str(ROOT), str(checkout)])
        _share_downloads(checkout)
        clean = _seconds(lambda: _build(checkout, TARGET))
        app_only = _clean_application_build(checkout)
        edit = _one_line_edit(checkout)
        null = _median(lambda: _build(checkout, TARGET), rounds)
        ninja = _median(lambda: _bare_ninja(checkout), rounds)
        python = _median(lambda: _run([*PYTHON, "-c", "pass"]), rounds)
        enclave = _median(lambda: _run_in_enclave(checkout), rounds)
        native = _median(lambda: _run([_output(checkout, "hello")]), rounds)
    _table(
        [
            ("clean build of hello_c, downloads in place", clean, "1"),
            ("the same with LibOS and runner built", app_only, _ratio(app_only, clean)),
            ("one-line edit of hello.c, to a signed enclave", edit, _ratio(edit, clean)),
            ("null build", null, f"{_ratio(null, ninja)} of bare ninja"),
            ("bare ninja, nothing to do", ninja, "1"),
            ("python that does nothing", python, f"{_ratio(python, ninja)} of bare ninja"),
            (
                "hello in an enclave, start to finish",
                enclave,
                f"{_ratio(enclave, native)} of native",
            ),
            ("hello on the host", native, "1"),
        ]
    )
    return 0


def _share_downloads(checkout: Path) -> None:
    """Bring over what was fetched, but nothing that was compiled."""
    source, target = ROOT / ".occlum-build", checkout / ".occlum-build"
    compiled = shutil.ignore_patterns("cargo", "*.partial", "*.lock-*")
    shutil.copytree(source, target, symlinks=True, ignore=compiled)


def _clean_application_build(checkout: Path) -> float:
    """Delete everything that belongs to the example, and make it again."""
    shutil.rmtree(checkout / "out" / "default" / "bin" / "examples")
    return _seconds(lambda: _build(checkout, TARGET))


def _one_line_edit(checkout: Path) -> float:
    source = checkout / "examples" / "hello_c" / "hello.c"
    text = source.read_text(encoding="utf-8")
    added = 'static const char edit[] __attribute__((used)) = "one line";\n'
    source.write_text(text + added, encoding="utf-8")
    return _seconds(lambda: _build(checkout, TARGET))


def _build(checkout: Path, target: str) -> None:
    """Through the launcher, and by the interpreter itself: a shim would be measured too."""
    _run([*PYTHON, "./occlum-build", "build", target], cwd=checkout)


def _bare_ninja(checkout: Path) -> None:
    ninja = Path(sys.executable).with_name("ninja")
    _run([str(ninja), "-f", "out/default/build.ninja"], cwd=checkout)


def _run_in_enclave(checkout: Path) -> None:
    bundle = _output(checkout, "enclave.bundle")
    _run([f"{bundle}/bin/occlum-run", "--platform", "sim", bundle])


def _output(checkout: Path, name: str) -> str:
    return str(checkout / "out" / "default" / "bin" / "examples" / "hello_c" / name)


def _run(argv: Sequence[str], cwd: Path | None = None) -> None:
    done = subprocess.run(
        argv,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CI": "true"},
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {done.returncode}\n{done.stderr}")


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _median(work: Callable[[], None], rounds: int) -> float:
    work()
    return statistics.median(_seconds(work) for _ in range(rounds))


def _ratio(value: float, base: float) -> str:
    return f"{value / base:.2f}"


def _table(rows: Sequence[tuple[str, float, str]]) -> None:
    print("| what | ms | ratio |\n|---|---:|---|")
    for name, seconds, ratio in rows:
        print(f"| {name} | {seconds * 1000:.1f} | {ratio} |")


if __name__ == "__main__":
    raise SystemExit(main())
