"""Debuggers of the host on an enclave: they know its functions, and change no measurement."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
    for (int turn = 1; turn < TURNS; turn++) twice(turn);
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


@pytest.mark.parametrize("model", ["sgx1", "edmm"])
@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb on this machine")
def test_gdb_stops_in_a_function_of_the_program_and_knows_who_called(
    checkout: Checkout, model: str
) -> None:
    words = "-batch -ex 'break twice' -ex continue -ex backtrace -ex delete -ex continue"
    with_words = replace(checkout, env={"OCCLUM_GDB_ARGUMENTS": words})

    with memory_model(checkout, model):
        before = measurement(checkout)
        text = with_words.run("run", "--gdb", _ENCLAVE).text
        after = measurement(checkout)

    assert "hit Breakpoint 1, twice (a=3) at named.c:3" in text
    assert "in main (argc=3," in text
    assert "twice: 6\n" in text
    assert "exited normally" in text
    assert after == before


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


@pytest.mark.parametrize("model", ["sgx1", "edmm"])
@pytest.mark.skipif(shutil.which("gdb") is None, reason="there is no gdb on this machine")
def test_a_defect_of_the_libos_is_told_with_the_functions_that_led_there(
    checkout: Checkout, model: str
) -> None:
    # A defect that no release has: the host's debugger makes pointers of the LibOS wrong.
    function = "kernel::program::loader::map_image"
    wrong = " ".join(f"-ex 'set ${one}=16'" for one in ("rdi", "rsi", "rdx", "rcx"))
    words = f"-batch -ex 'break-libos {function}' -ex continue {wrong} -ex delete -ex continue"
    with_words = replace(checkout, env={"OCCLUM_GDB_ARGUMENTS": words})

    with memory_model(checkout, model):
        text = with_words.run("run", "--gdb", "--symbolize", _ENCLAVE).text

    assert "the LibOS stopped: " in text, text
    assert re.search(r"exception 1[34] in the LibOS at offset 0x", text), text
    at, *callers = [line for line in text.splitlines() if " libos+0x" in line]
    assert at.startswith("  at  libos+0x"), text
    assert re.search(r" in \w+(::\w+)*", at), text
    assert any(function in line for line in (at, *callers)), text


@pytest.mark.skipif(shutil.which("perf") is None, reason="there is no perf on this machine")
def test_perf_names_functions_of_the_program(checkout: Checkout, tmp_path: Path) -> None:
    compile_program(checkout, crashes=False, turns=400_000_000)
    try:
        checkout.run("build", _ENCLAVE)
        before = set(_PERF_MAPS.glob("perf-*.map"))
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-o", str(tmp_path / "perf.data")]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        environment["OCCLUM_BUILD_CACHE"] = str(checkout.cache)
        launcher = [sys.executable, "-m", "occlum_build.cli", "run", "--perf-map", _ENCLAVE]
        done = subprocess.run(
            [*record, *launcher],
            cwd=checkout.root,
            env=environment,
            capture_output=True,
            check=False,
        )
        if b"No permission" in done.stderr or b"not supported" in done.stderr:
            pytest.skip("this machine does not let perf count")
        assert done.returncode == 0, done.stderr
        report = ["perf", "report", "--stdio", "-i", str(tmp_path / "perf.data")]
        said = subprocess.run(
            [*report, "--comm", "occlum_run", "--sort", "symbol"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    finally:
        compile_program(checkout, crashes=False)
    for written in set(_PERF_MAPS.glob("perf-*.map")) - before:
        written.unlink()

    hottest = [line for line in said.splitlines() if "%" in line][:3]
    assert any("[.] twice" in line for line in hottest), said


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


@pytest.mark.parametrize("model", ["sgx1", "edmm"])
def test_a_crash_report_has_registers_and_names_functions(checkout: Checkout, model: str) -> None:
    compile_program(checkout, crashes=True)
    try:
        with memory_model(checkout, model):
            said = checkout.run("run", "--symbolize", _ENCLAVE, status=139).text
    finally:
        compile_program(checkout, crashes=False)

    registers = re.findall(r"\b(r[a-z0-9]{1,2}) +[0-9a-f]{16}\b", said)
    assert {"rax", "rsp", "r15"} <= set(registers), said
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


@contextmanager
def memory_model(checkout: Checkout, model: str) -> Iterator[None]:
    """The example with this memory model, for as long as the block lasts."""
    config = checkout.root / "examples/hello_c/Occlum.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(f"{text}feature:\n  memory_model: {model}\n", encoding="utf-8")
    try:
        yield
    finally:
        config.write_text(text, encoding="utf-8")


def compile_program(checkout: Checkout, *, crashes: bool, turns: int = 1) -> None:
    """Build the program as the user's own compiler does."""
    folder = checkout.root / "examples/hello_c"
    (folder / "named.c").write_text(_SOURCE, encoding="utf-8")
    facts = [f"-DCRASHES={int(crashes)}", f"-DTURNS={turns}"]
    command = ["gcc", "-g", "-O0", "-static-pie", *facts, "-o", "named", "named.c"]
    subprocess.run(command, cwd=folder, check=True)


def measurement(checkout: Checkout) -> str:
    """The MRENCLAVE of the example."""
    checkout.run("build", _ENCLAVE)
    stream = checkout.output("examples/hello_c/enclave.bundle") / "enclave.sgxs"
    return sha256(stream.read_bytes()).hexdigest()
