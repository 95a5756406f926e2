"""The program behind `enclave_test`: it passes only what is exactly as the test says."""

from pathlib import Path

import pytest

from tests.unit.toolchain.conftest import Program


def test_a_program_that_does_what_the_test_says_passes(tmp_path: Path, program: Program) -> None:
    (tmp_path / "expected").write_text("hello\n", encoding="utf-8")

    ended = program("check_run.py", "--stdout", "expected", "--", "/bin/echo", "hello")

    assert (ended.status, ended.stderr) == (0, "")


@pytest.mark.parametrize("printed", ["hallo", "hello ", ""])
def test_another_output_fails_and_shows_the_difference(
    tmp_path: Path, program: Program, printed: str
) -> None:
    (tmp_path / "expected").write_text("hello\n", encoding="utf-8")

    ended = program("check_run.py", "--stdout", "expected", "--", "/bin/echo", printed)

    assert ended.status == 1
    assert "-hello\n" in ended.stderr


@pytest.mark.parametrize(("wanted", "found"), [("0", "3"), ("3", "0")])
def test_another_status_fails(program: Program, wanted: str, found: str) -> None:
    ended = program("check_run.py", "--status", wanted, "--", "/bin/sh", "-c", f"exit {found}")

    assert ended.status == 1
    assert ended.stderr.startswith(f"it ended with status {found}, not {wanted}\n")


def test_a_program_that_must_fail_passes_when_it_does(program: Program) -> None:
    ended = program("check_run.py", "--status", "3", "--", "/bin/sh", "-c", "exit 3")

    assert ended.status == 0


def test_a_program_reads_the_given_file_and_nothing_of_ours(
    tmp_path: Path, program: Program
) -> None:
    (tmp_path / "in").write_bytes(b"\xff\n")

    ended = program("check_run.py", "--stdin", "in", "--stdout", "in", "--", "/bin/cat")

    assert (ended.status, ended.stderr) == (0, "")


def test_output_that_is_no_text_is_shown_escaped(tmp_path: Path, program: Program) -> None:
    (tmp_path / "expected").write_bytes(b"\xfe\n")

    ended = program("check_run.py", "--stdout", "expected", "--", "/bin/echo", "x")

    assert ended.status == 1
    assert r"-\xfe" in ended.stderr


@pytest.mark.parametrize(
    ("calls", "exits", "told"),
    [
        (0, 0, ""),
        (2, 0, "2 system calls of the program reached"),
        (0, 3, "3 exits of the enclave left something"),
    ],
)
def test_what_gets_out_of_an_enclave_fails(
    tmp_path: Path, program: Program, calls: int, exits: int, told: str
) -> None:
    # Its words are `--stats FILE bundle`.
    counts = f'{{"host_syscalls_from_enclave": {calls}, "unclean_exits": {exits}}}'
    (tmp_path / "runner").write_text(f"#!/bin/sh\necho '{counts}' > \"$2\"\n", encoding="utf-8")
    (tmp_path / "runner").chmod(0o755)

    ended = program("check_run.py", "--contained", "--", "./runner", "bundle")

    assert ended.status == bool(told)
    assert told in ended.stderr


def test_a_run_that_counts_nothing_fails(program: Program) -> None:
    ended = program("check_run.py", "--contained", "--", "/bin/true")

    assert ended.status == 1
    assert "before anything was counted" in ended.stderr


@pytest.mark.parametrize(("written", "status"), [("seen", 0), ("other", 1)])
def test_what_a_program_leaves_on_the_host_is_compared(
    tmp_path: Path, program: Program, written: str, status: int
) -> None:
    (tmp_path / "given").write_text("seen", encoding="utf-8")
    runner = tmp_path / "runner"
    runner.write_text(f'#!/bin/sh -e\ncat "$2/in/a"\nprintf {written} > "$2/out"\n')
    runner.chmod(0o755)
    files = ("--host-file", "in/a", "given", "--host-result", "out", "given")

    ended = program("check_run.py", *files, "--stdout", "given", "--", "./runner", "bundle")

    assert ended.status == status
    assert ("`out` on the host is not what it should be" in ended.stderr) == bool(status)
