"""Run cargo's tests: all of them, or those whose names hold what TESTBRIDGE_TEST_ONLY says.

cargo calls it a success if no test has such a name; here that is a status of its own.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from program import say, start

NO_CASE: Final = 5
_COUNT: Final = re.compile(rb"running (\d+) tests?\s*")


def main() -> int:
    """Run the command after `--`, which ends with the arguments of `cargo test`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", nargs="+")
    command: list[str] = parser.parse_args().command
    chosen = os.environ.get("TESTBRIDGE_TEST_ONLY", "")
    sys.stdout.flush()
    if not chosen:
        return subprocess.run(command).returncode  # noqa: PLW1510  # it is ours too
    # What stands behind `--` goes to the program that has the tests.
    between = [] if "--" in command else ["--"]
    status, count = _counted([*command, *between, chosen])
    if status == 0 and count == 0:
        say(f"no test has a name with `{chosen}` in it")
        return NO_CASE
    return status


def _counted(command: Sequence[str]) -> tuple[int, int]:
    """How the command ended, and how many tests it said that it runs."""
    count = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            found = _COUNT.fullmatch(line)
            count += int(found[1]) if found else 0
    return process.returncode, count


if __name__ == "__main__":
    start(main)
