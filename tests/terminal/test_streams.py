"""Standard streams of an enclave whose other end does nothing."""

import subprocess
import time

import pytest

from tests.support.built import built_bundle

PATIENCE_SECONDS = 60
FOREVER = "while :; do echo 0123456789abcdef; done"


def run(*program: str) -> subprocess.Popen[bytes]:
    """A program in the enclave of the example, whose streams are pipes."""
    bundle = built_bundle("shell")
    words = [str(bundle / "bin" / "occlum-run"), "--platform", "sim", str(bundle), "--", *program]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def errors_of(script: str) -> list[str]:
    """What bash says on standard error, while nobody reads its standard output."""
    with run("/usr/bin/bash", "-c", script) as process:
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()
        assert process.stderr
        return process.stderr.read().decode().splitlines()


@pytest.mark.parametrize(("signal", "status"), [("TERM", 143), ("INT", 130), ("ALRM", 142)])
def test_a_program_that_waits_for_a_reader_dies_of_a_signal(signal: str, status: int) -> None:
    script = f"timeout --preserve-status -s {signal} 1 cat /dev/zero; echo $? >&2"

    assert errors_of(script) == [str(status)]


def test_a_child_that_waits_for_a_reader_does_not_hold_up_its_parent() -> None:
    script = f"( {FOREVER} ) & sleep 1; echo on >&2; kill $!; wait $!; echo $? >&2"

    assert errors_of(script)[-2:] == ["on", "143"]


def test_a_write_goes_on_where_the_reader_left_it() -> None:
    with run("/usr/bin/seq", "1", "200000") as process:
        time.sleep(1)
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert output.split() == [b"%d" % number for number in range(1, 200001)]
