"""Whatever goes wrong: one diagnostic, the documented status, nothing half-written."""

import os
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from tests.support.workspace import Workspace

FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 130


def test_a_failing_command_is_shown_with_what_it_said(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", outs = ["o"], cmd = "echo partly > $OUT; echo oops; exit 3")'
    )

    outcome = workspace.run("build", "//app:t")

    assert outcome.status == FAILED
    assert (
        "error[OB0401]: `Shell` of `//app:t` failed: the command ended with status 3"
        in outcome.err
    )
    assert "--> app/BUILD:2:1" in outcome.err
    assert "oops" in outcome.err
    assert "runner" in outcome.err
    assert not workspace.output("app/o").exists()


def test_only_the_last_lines_of_a_long_output_are_shown(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "seq 1000; exit 1")')

    err = workspace.run("build", "//app:t").err

    assert "1000" in err
    assert "980" not in err
    assert "its last 20 lines" in err


def test_a_missing_output_is_named(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", outs = ["a", "b"], cmd = "echo > out/default/bin/app/a")'
    )

    outcome = workspace.run("build", "//app:t")

    assert outcome.status == FAILED
    assert "did not make its output `out/default/bin/app/b`" in outcome.err
    assert not workspace.output("app/a").exists()


def test_a_failure_leaves_the_output_of_before(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo good > $OUT")')
    workspace.build("//app:t")
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo bad > $OUT; false")')

    assert workspace.run("build", "//app:t").status == FAILED
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo good > $OUT")')
    workspace.build("//app:t")
    assert workspace.output("app/o").read_text() == "good\n"


def test_a_program_that_does_not_exist_is_named(workspace: Workspace) -> None:
    rules = workspace.root / "tools/shell.py"
    rules.write_text(rules.read_text().replace('"/bin/sh", "-ec"', '"/bin/no-such", "-ec"'))
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "")')

    err = workspace.run("build", "//app:t").err

    assert "`/bin/no-such` cannot be executed: No such file or directory" in err


def test_a_command_that_takes_too_long_is_ended(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], timeout = 1, cmd = "sleep 60")')

    outcome = workspace.run("build", "//app:t")

    assert outcome.status == FAILED
    assert "the time of 1 s is over" in outcome.err


def test_a_test_that_said_nothing_is_not_given_an_empty_line(workspace: Workspace) -> None:
    workspace.build_file('shell_test(name = "t", cmd = "exit 1")')

    assert "" not in workspace.run("test", "//app:t").out.splitlines()


def test_a_command_that_a_signal_ends_is_a_failure(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "kill -SEGV $$")')

    assert "ended by signal 11" in workspace.run("build", "//app:t").err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_group", [True, False], ids=["from a terminal", "to the tool alone"])
def test_an_interrupt_leaves_nothing_half_written(
    workspace: Workspace, number: signal.Signals, *, is_group: bool
) -> None:
    workspace.build_file(
        'shell(name = "t", outs = ["o"], cmd = "echo half > $OUT; sleep 60; echo >> $OUT")'
    )
    with subprocess.Popen(
        workspace.command("build", "//app:t"),
        cwd=workspace.root,
        env=workspace.environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        _wait_for(workspace, "sandbox")
        if is_group:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, err = process.communicate(timeout=20)

    assert process.returncode == INTERRUPTED
    assert err.count("error[OB0404]: interrupted") == 1
    assert "Traceback" not in err
    assert not workspace.output("app/o").exists()
    assert not list(workspace.root.rglob("*.sandbox"))


def test_a_full_disk_is_one_diagnostic(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", outs = ["o"], cmd = "head -c 20000000 /dev/zero > $OUT")'
    )
    out = workspace.root / "out"
    out.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", out], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        outcome = workspace.run("build", "//app:t")
    finally:
        subprocess.run(["umount", out], check=True)

    assert outcome.status == FAILED
    assert outcome.err.count("error[") == 1
    assert "error[OB0403]: no space is left on the device" in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("nr_inodes=1", "help: make room"),
        ("ro", "help: copy the workspace to where a build can write"),
    ],
)
def test_a_state_that_cannot_be_written_says_what_to_do(
    workspace: Workspace, options: str, said: str
) -> None:
    workspace.build_file('write(name = "t", text = "x")')
    state = workspace.root / ".occlum-build"
    state.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(state)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        outcome = workspace.run("build", "//app:t")
        queried = workspace.run("query", "//app:t")
    finally:
        subprocess.run(["umount", state], check=True)

    assert (outcome.status, queried.status) == (FAILED, 0)
    assert said in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize("verb", ["build", "run", "test"])
def test_what_is_done_but_cannot_be_remembered_is_done(workspace: Workspace, verb: str) -> None:
    workspace.build_file(
        'shell(name = "build", outs = ["o"], cmd = "echo made > $OUT")\n'
        'shell(name = "run", outs = ["r"], cmd = "echo made > $OUT")\n'
        'shell_test(name = "test", cmd = "true")\n'
    )
    target = f"//app:{verb}"
    words = [verb, target, *(["--", workspace.write("made", "made")] if verb == "run" else [])]
    time.sleep(0.1)  # files that are brand new keep a command from being remembered
    state = workspace.root / ".occlum-build"
    state.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(state)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    try:
        first = workspace.run(*map(str, words))
        fingerprints = state / "fingerprints"
        for one in fingerprints.iterdir():
            one.unlink()
        with suppress(OSError), (state / "fill").open("wb", buffering=0) as fill:
            while fill.write(bytes(4096)):
                pass
        again = workspace.run(*map(str, words))
        kept = list(fingerprints.iterdir())
    finally:
        subprocess.run(["umount", state], check=True)

    assert (first.status, first.err.count("warning")) == (0, 0), first.err
    assert (again.status, kept) == (0, []), again.err
    assert again.out.splitlines()[-1] == first.out.splitlines()[-1]
    assert "warning[OB0403]: this command will not be remembered" in again.err


def test_a_key_of_the_wrong_size_is_refused(workspace: Workspace) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    workspace.build_file('sign(name = "s", src = "a")')
    workspace.write("app/a", "")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    workspace.write("bad.pem", pem.decode())

    outcome = workspace.run("build", "//app:s", "--key", "development=bad.pem")

    assert outcome.status == WRONG_INPUT
    assert "error[OB0410]: the key `development` cannot sign an enclave" in outcome.err
    assert "it has 2048 bits and the exponent 65537" in outcome.err
    assert "openssl genrsa -3" in outcome.err


@pytest.mark.parametrize(
    "text", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(workspace: Workspace, text: str) -> None:
    workspace.build_file('sign(name = "s", src = "a")')
    workspace.write("app/a", "")
    workspace.write("bad.pem", text)

    outcome = workspace.run("build", "//app:s", "--key", "development=bad.pem")

    assert (outcome.status, outcome.err.count("error[OB0410]")) == (WRONG_INPUT, 1)


def test_one_failure_does_not_hide_another_if_asked_to_go_on(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "a", outs = ["a"], cmd = "false")\n'
        'shell(name = "b", outs = ["b"], cmd = "false")'
    )

    err = workspace.run("build", "//...", "--keep-going").err

    assert err.count("error[OB0401]") == 2


def test_a_workspace_that_cannot_be_written_is_one_diagnostic(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "a", outs = ["a"], cmd = "true")')
    workspace.write("out", "a file where a directory should be")

    outcome = workspace.run("build", "//...")

    assert outcome.status == FAILED
    assert "Traceback" not in outcome.err


def _wait_for(workspace: Workspace, suffix: str) -> None:
    deadline = time.monotonic() + 20
    while not list(workspace.root.rglob(f"*.{suffix}/root/out/*/bin/app/o")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_keep_going_builds_what_needs_no_wrong_target(workspace: Workspace) -> None:
    workspace.build_file('write(name = "w", text = "")\nshell_test(name = "t", cmd = "true")')
    workspace.build_file('write(name = "x", text = 1)', "bad")
    workspace.build_file('shell(name = "y", srcs = ["//bad:x"], outs = ["o"], cmd = "")', "needs")
    workspace.build_file("syntax(", "worse")

    assert workspace.run("build", "//...").status == WRONG_INPUT
    assert not workspace.output("app/w").exists()

    built = workspace.run("build", "-k", "//...")
    tested = workspace.run("test", "-k", "//...")

    assert (built.status, built.out) == (WRONG_INPUT, "built 2 targets\n")
    assert workspace.output("app/w").exists()
    assert (tested.status, tested.out.splitlines()[-1]) == (WRONG_INPUT, "1 passed, 0 failed")
    for one in (built, tested):
        assert "error[OB0112]" in one.err
        assert "worse/BUILD" in one.err
    assert workspace.run("build", "-k", "//bad:x").status == WRONG_INPUT


def test_a_development_key_in_the_workspace_is_refused(workspace: Workspace) -> None:
    workspace.build_file('sign(name = "s", src = "BUILD")')
    place = {"XDG_CONFIG_HOME": str(workspace.root / "config")}

    outcome = workspace.run("build", "//app:s", env=place)

    assert outcome.status == WRONG_INPUT
    assert "error[OB0410]: the development key cannot be made" in outcome.err
    assert "OB0552" in outcome.err
    assert not (workspace.root / "config").exists()


def test_a_key_file_that_others_can_read_is_a_warning(workspace: Workspace) -> None:
    key = workspace.write("../key.pem", "no key")
    workspace.build_file('sign(name = "s", src = "BUILD")')
    words = ("build", "//app:s", "--key", f"development={key}")

    key.chmod(0o644)
    assert "warning[OB0555]: everybody can read this private key" in workspace.run(*words).err
    key.chmod(0o600)
    assert "OB0555" not in workspace.run(*words).err


def test_a_key_that_no_target_asks_for_is_refused(workspace: Workspace) -> None:
    workspace.write("../key.pem", "no key").chmod(0o600)
    workspace.build_file('sign(name = "s", src = "BUILD", key = "provenance")')
    words = [
        f"--key={one}={workspace.config.parent}/key.pem" for one in ("provenance", "provenence")
    ]

    outcome = workspace.run("build", "//app:s", *words)

    assert outcome.status == WRONG_INPUT
    assert outcome.err == (
        "error[OB0129]: no target of this run has a use for the key `provenence`\n"
        "  = note: they ask for `provenance`\n"
        "  = help: a key `provenance` is asked for\n\n"
    )


def test_a_key_file_that_does_not_exist_is_refused(workspace: Workspace) -> None:
    workspace.build_file('write(name = "w", text = "")')

    outcome = workspace.run("build", "//app:w", "--key", "development=missing.pem")

    assert outcome.status == WRONG_INPUT
    assert "names a file that does not exist" in outcome.err
