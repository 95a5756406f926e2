"""Debuggers of the host on an enclave: they know its functions, and change no measurement."""

import shutil
import subprocess
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.checkout import Checkout, copy_project, machine_cache

_ENCLAVE = "//examples/hello_c:enclave"
_PERF_MAPS = Path("/tmp")  # noqa: S108 - where perf looks
_BUILD = """
load("@occlum//rules:defs.bzl", "enclave_app")
enclave_app(
    name = "enclave",
    config = "Occlum.yaml",
    files = {"/bin/hello": "named"},
    directories = ["/tmp"],
)
"""
_SOURCE = """
#include <stdio.h>
__attribute__((noinline)) int twice(int a) { return a + a; }
__attribute__((noinline)) int crash(volatile int *at) { return *at; }
int main(int argc, char **argv) {
    (void)argv;
    if (CRASHES) return crash(0);
    printf("twice: %d\\n", twice(argc));
    return 0;
}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose first example runs a program that has symbols."""
    root = tmp_path_factory.mktemp("debugging") / "a source"
    copy_project(root)
    made = Checkout(root, machine_cache())
    (root / "examples/hello_c/BUILD").write_text(_BUILD, encoding="utf-8")
    compile_program(made, crashes=False)
    return made


@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb on this machine")
def test_gdb_stops_in_a_function_of_the_program_and_knows_who_called(checkout: Checkout) -> None:
    before = measurement(checkout)
    words = "-batch -ex 'break twice' -ex continue -ex backtrace -ex delete -ex continue"
    with_words = replace(checkout, env={"OCCLUM_GDB_ARGUMENTS": words})

    text = with_words.run("run", "--gdb", _ENCLAVE).text

    assert "hit Breakpoint 1, twice (a=3) at named.c:3" in text
    assert "in main (argc=3," in text
    assert "twice: 6\n" in text
    assert "exited normally" in text
    assert measurement(checkout) == before


@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb on this machine")
def test_gdb_stops_in_the_libos_whatever_directories_are_called(
    checkout: Checkout, tmp_path: Path
) -> None:
    (tmp_path / "t m p").mkdir()
    words = (
        "-batch -ex 'break-libos kernel::program::loader::map_image' -ex continue -ex backtrace"
    )
    directory = str(tmp_path / "t m p")
    with_words = replace(checkout, env={"OCCLUM_GDB_ARGUMENTS": words, "TMPDIR": directory})

    text = with_words.run("run", "--gdb", _ENCLAVE).text

    innermost, caller = text[text.index("#0  ") :].splitlines()[:2]
    assert "kernel::program::loader::map_image" in innermost
    assert "kernel::program::" in caller


def test_without_gdb_the_answer_says_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    checkout.run("build", _ENCLAVE)
    for name in ("cargo", "rustc", "rustup", "git", "apt-get", "cc"):
        program = shutil.which(name)
        if program is not None:
            (tmp_path / name).symlink_to(program)
    without = replace(checkout, env={"PATH": str(tmp_path)})

    text = without.run("run", "--gdb", _ENCLAVE, status=2).text

    assert "error[OB0581]: `--gdb` needs gdb" in text


def test_a_map_for_perf_names_functions_of_the_program_and_of_the_libos(
    checkout: Checkout,
) -> None:
    before = set(_PERF_MAPS.glob("perf-*.map"))

    checkout.run("run", "--perf-map", _ENCLAVE)

    (written,) = set(_PERF_MAPS.glob("perf-*.map")) - before
    names = [line.split(maxsplit=2)[2] for line in written.read_text("utf-8").splitlines()]
    written.unlink()
    assert {"main", "twice", "kernel::program::loader::map_image"} <= set(names)


def test_a_crash_report_names_functions(checkout: Checkout) -> None:
    compile_program(checkout, crashes=True)
    try:
        said = checkout.run("run", "--symbolize", _ENCLAVE, status=139).text
    finally:
        compile_program(checkout, crashes=False)

    lines = [line for line in said.splitlines() if "#" in line and "/bin/hello+0x" in line]
    assert lines[0].endswith(" in crash"), said
    assert any(line.endswith(" in main") for line in lines[1:]), said


def test_an_enclave_that_may_not_be_debugged_does_not_tell_its_mappings(
    checkout: Checkout,
) -> None:
    config = checkout.root / "examples/hello_c/Occlum.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("debuggable: true", "debuggable: false"), encoding="utf-8")
    try:
        said = checkout.run("run", "--perf-map", _ENCLAVE, status=126).text
    finally:
        config.write_text(text, encoding="utf-8")

    assert "the host wants to know what code is mapped" in said
    assert "twice" not in said


def compile_program(checkout: Checkout, *, crashes: bool) -> None:
    """Build the program as the user's own compiler does."""
    folder = checkout.root / "examples/hello_c"
    (folder / "named.c").write_text(_SOURCE, encoding="utf-8")
    crash = f"-DCRASHES={int(crashes)}"
    command = ["gcc", "-g", "-O0", "-static-pie", crash, "-o", "named", "named.c"]
    subprocess.run(command, cwd=folder, check=True)


def measurement(checkout: Checkout) -> str:
    """The MRENCLAVE of the example."""
    checkout.run("build", _ENCLAVE)
    stream = checkout.output("examples/hello_c/enclave.bundle") / "enclave.sgxs"
    return sha256(stream.read_bytes()).hexdigest()
