"""The conformance runner on programs of the host, in a real enclave."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from occlum_build.conformance.suite import Suite
from tests.support.checkout import Checkout, copy_project, machine_cache

pytestmark = pytest.mark.slow

COPIED = ("echo", "false", "ls", "true")
PROGRAMS = (*COPIED, "harness", "orphan", "script", "without_library")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that shares the machine's cache."""
    root = tmp_path_factory.mktemp("conformance") / "source"
    copy_project(root)
    return Checkout(root, machine_cache())


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of programs that the distribution built, one of which cannot agree."""
    folder = tmp_path_factory.mktemp("suite")
    for name in COPIED:
        shutil.copy(f"/bin/{name}", folder / name)
    # It prints the name and the version of the kernel: the LibOS has its own.
    shutil.copy("/bin/uname", folder / "uname")
    (folder / "note").write_text("read by ls")
    # A harness that sees process 1 above its test takes the test for an orphan.
    (folder / "harness").write_text("#!/bin/sh\nsh -c 'test $PPID != 1'\n")
    (folder / "harness").chmod(0o755)
    # What it leaves behind ends before it does, and is nobody's business.
    (folder / "orphan").write_text("#!/bin/sh\n(sleep 0.1 &)\nsleep 0.5\nexit 7\n")
    (folder / "orphan").chmod(0o755)
    # It starts on neither side, and that is no reason not to run the others.
    without = Path("/bin/ls").read_bytes().replace(b"libselinux.so.1", b"libnowhere.so.1")
    (folder / "without_library").write_bytes(without)
    (folder / "without_library").chmod(0o755)
    # Nobody can say what it ought to print.
    (folder / "random").write_text("#!/bin/sh\ndate +%s%N\n")
    (folder / "random").chmod(0o755)
    # It fails the second time, which is no reason to believe that it fails now and then.
    (folder / "leaves").write_text("#!/bin/sh\nmkdir made && ! uname -r | grep -q occlum\n")
    (folder / "leaves").chmod(0o755)
    # Its interpreter is none of the tools that suites like to start.
    (folder / "script").write_text('#!/usr/bin/env -S awk -f\nBEGIN { print "awk" }\n')
    (folder / "script").chmod(0o755)
    return folder


def test_what_agrees_passes_and_what_differs_fails_with_the_line(
    checkout: Checkout, suite: Path, tmp_path: Path
) -> None:
    ended = checkout.run(
        *("conformance", str(suite), "--argument=-a", "--json", str(tmp_path / "cases.json")),
        status=1,
    )

    assert "failed: uname: line 1 of its output is `" in ended.text
    assert ended.text.endswith("8 passed, 2 failed, 1 without a judge\n")
    cases = json.loads((tmp_path / "cases.json").read_bytes())["cases"]
    assert {one["name"]: one["verdict"] for one in cases} == {
        "echo": "passed",
        "false": "passed",
        "harness": "passed",
        "leaves": "failed",
        "ls": "passed",
        "orphan": "passed",
        "random": "no judge",
        "script": "passed",
        "true": "passed",
        "uname": "failed",
        "without_library": "passed",
    }
    assert "warning[OB0610]: no library `libnowhere.so.1` for" in ended.text


def test_a_pass_list_grows_and_a_case_of_it_that_is_lost_fails(
    checkout: Checkout, suite: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "pass.list"
    words = ("conformance", str(suite), "--argument=-a", "--pass-list", str(listed))

    checkout.run(*words, "--update")
    grown = listed.read_text(encoding="utf-8")
    checkout.run(*words)
    listed.write_text(grown + "uname\n", encoding="utf-8")
    lost = checkout.run(*words, "--update", status=1)

    assert grown.splitlines()[1:] == sorted(PROGRAMS)
    assert f"lost: uname is in {listed}\n" in lost.text
    assert "uname" in listed.read_text(encoding="utf-8"), "a list only grows"


def test_control_c_ends_what_runs_and_leaves_nothing_behind(
    checkout: Checkout, tmp_path: Path
) -> None:
    suite = Suite(tmp_path.resolve())
    for name in ("one", "two"):
        (tmp_path / name).write_text("#!/bin/sh\necho $$ > pid.${0##*/}\nexec sleep 600\n")
        (tmp_path / name).chmod(0o755)

    with checkout.start("conformance", str(tmp_path), "--jobs=2") as process:
        while process.poll() is None and len(list(suite.root.glob("pid.*"))) < 2:
            time.sleep(0.1)
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate()

    assert process.returncode == 130
    assert said.endswith("error[OB0404]: interrupted\n  = note: nothing is left half-written\n\n")
    assert time.monotonic() - begun < 60
    assert not suite.root.exists()
    left = [one for one in Path("/proc").glob("[0-9]*/cmdline") if _names(one, suite.root)]
    assert left == []


def _names(line: Path, root: Path) -> bool:
    """Whether a process was started by a path below `root`."""
    try:
        return os.fsencode(root) in line.read_bytes()
    except OSError:
        return False
