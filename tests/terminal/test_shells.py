"""Interactive shells of the distribution, in an enclave, on a terminal of the host."""

import os
import signal
from collections.abc import Sequence

from tests.support.built import built_bundle
from tests.support.terminal import CONTROL_C, CONTROL_Z, ERASE, Person

BASH = ("/usr/bin/bash", "--norc", "-i")
PROMPT = "# "


def at(program: Sequence[str]) -> Person:
    """A person in front of a program in the enclave of the example."""
    bundle = built_bundle("shell")
    words = ["--platform", "sim", str(bundle), "--", *program]
    return Person(bundle / "bin" / "occlum-run", words, rows=33, columns=101)


def test_a_line_can_be_edited_before_it_is_sent() -> None:
    with at(BASH) as person:
        person.expect(PROMPT)
        person.type(f"echo abX{ERASE}c\r")
        person.expect("abc\r\n")


def test_a_program_learns_the_size_of_the_window() -> None:
    with at(BASH) as person:
        person.expect(PROMPT)
        person.type("stty size\r")
        person.expect("33 101")


def test_the_terminal_has_a_name_and_is_that_of_the_session() -> None:
    with at(BASH) as person:
        person.expect(PROMPT)
        person.type("tty\r")
        person.expect("/dev/console\r\n")
        person.type("echo through it > /dev/tty; echo $?\r")
        person.expect("\nthrough it\r\n0\r\n")
        person.type("stty tostop; (sleep 1; echo late) &\r")
        person.expect(PROMPT)
        person.type("sleep 2; jobs\r")
        person.expect("Stopped ")


def test_control_c_ends_the_program_in_the_foreground_and_not_the_shell() -> None:
    for shell in (BASH, ("/usr/bin/busybox", "sh", "-i")):
        with at(shell) as person:
            person.expect(PROMPT)
            person.type("sleep 100\r")
            person.expect("sleep 100")
            person.type(CONTROL_C)
            person.expect(PROMPT)
            person.type("echo status=$?\r")
            person.expect("status=130")


def test_a_job_stops_goes_on_in_the_foreground_and_can_be_killed() -> None:
    with at(BASH) as person:
        person.expect(PROMPT)
        person.type("sleep 100\r")
        person.expect("sleep 100")
        person.type(CONTROL_Z)
        person.expect("Stopped")
        person.expect(PROMPT)
        person.type("fg\r")
        person.expect("sleep 100")
        person.type(CONTROL_Z)
        person.expect("Stopped")
        person.expect(PROMPT)
        person.type("kill %1; wait %1; echo gone=$?\r")
        person.expect("gone=143")


def test_a_job_in_the_background_that_reads_is_stopped() -> None:
    with at(BASH) as person:
        person.expect(PROMPT)
        person.type("cat &\r")
        person.expect(PROMPT)
        person.type("\r")
        person.expect("Stopped")


def test_the_terminal_is_as_it_was_when_the_shell_has_ended() -> None:
    with at(BASH) as person:
        before = person.settings()
        person.expect(PROMPT)
        assert person.settings() != before
        person.type("exit 7\r")
        assert person.status() == 7
        assert person.settings() == before


def test_a_signal_to_the_runner_reaches_the_first_program() -> None:
    with at(
        ("/usr/bin/bash", "-c", "trap 'echo caught; exit 4' TERM; echo ready; while :; do :; done")
    ) as person:
        person.expect("ready")
        os.kill(person.pid, signal.SIGTERM)
        person.expect("caught")
        assert person.status() == 4
