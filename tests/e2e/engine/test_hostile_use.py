"""Closed streams, wrong clocks, killed builds, actions that misbehave: no surprise follows."""

import os
import signal
import subprocess
import time

import pytest

from tests.support.workspace import Workspace

FAILED = 1
INTERRUPTED = 130
DAY_NS = 86_400_000_000_000


@pytest.fixture
def copied(workspace: Workspace) -> Workspace:
    workspace.build_file(
        """
shell(name = "one", srcs = ["f"], outs = ["o"], cmd = "cat $IN > $OUT")
shell(name = "two", srcs = [":one"], outs = ["p"], cmd = "cat $IN > $OUT")
"""
    )
    workspace.write("app/f", "1")
    return workspace


def test_arguments_of_a_program_are_remembered_with_it(copied: Workspace) -> None:
    other = str(copied.write("other", "2"))
    said = []
    for _ in range(3):
        time.sleep(0.1)  # a build is remembered only if its files are not brand new
        said.append(copied.run("run", "//app:one", "--", other).out)

    assert list((copied.root / ".occlum-build/fingerprints").iterdir())
    assert said == ["12", "12", "12"]


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing(copied: Workspace, closed: str) -> None:
    for _ in range(2):
        shell = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *copied.command("build", "//...")],
            cwd=copied.root,
            env=copied.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert (shell.returncode, "Traceback" in shell.stderr) == (0, False), shell.stderr

    assert copied.output("app/p").read_text() == "1"


@pytest.mark.parametrize(
    "verb", ["build //...", "build --help", "audit --help", "help", "version", "query //..."]
)
def test_a_full_or_broken_output_is_a_failure(copied: Workspace, verb: str) -> None:
    copied.build("//...")
    for where, said in ((">/dev/full", "error[OB0412]: standard output"), ("| true", "")):
        command = f'set -o pipefail; sleep 0.1; "$@" {where}'
        shell = subprocess.run(
            ["bash", "-c", command, "sh", *copied.command(*verb.split())],
            cwd=copied.root,
            env=copied.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert shell.returncode in ({FAILED} if said else {0, FAILED})
        assert said in shell.stderr
        assert "Traceback" not in shell.stderr
        assert "Exception ignored" not in shell.stderr


def test_a_deleted_directory_is_no_workspace(workspace: Workspace) -> None:
    shell = subprocess.run(
        [
            "sh",
            "-c",
            'mkdir x; cd x; rmdir ../x; "$@"',
            "sh",
            *workspace.command("build", "//..."),
        ],
        cwd=workspace.root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert shell.returncode == 2
    assert shell.stderr.startswith("error[OB0101]: no workspace: the current directory has been")


def test_a_clock_that_was_set_back_hides_no_change(copied: Workspace) -> None:
    copied.build("//...")
    log = copied.root / "out/default/.ninja/.ninja_log"
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    for fields in lines[1:]:
        fields[2] = str(int(fields[2]) + DAY_NS)
    log.write_text("".join("\t".join(fields) + "\n" for fields in lines))

    copied.write("app/f", "2")

    assert copied.executed("//...") == ["Shell //app:one", "Shell //app:two"]
    assert copied.output("app/p").read_text() == "2"


def test_an_execute_bit_that_someone_gave_an_output_is_taken_away(copied: Workspace) -> None:
    copied.build("//...")
    copied.output("app/p").chmod(0o755)

    copied.build("//...")

    assert not os.access(copied.output("app/p"), os.X_OK)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_any_signal_ends_a_build_with_all_that_it_started(
    workspace: Workspace, number: int
) -> None:
    process = _started(workspace, "sleep 30; echo > $OUT")

    os.kill(process.pid, number)

    _, err = process.communicate(timeout=10)
    assert process.returncode == INTERRUPTED
    assert "error[OB0404]: interrupted" in err
    assert not list(workspace.root.rglob("*.sandbox"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_a_key_of_the_terminal_ends_a_build_with_all_that_it_started(
    workspace: Workspace, number: int
) -> None:
    """The terminal tells the whole group at once: ninja, too."""
    process = _started(workspace, "sleep 30; echo > $OUT")

    os.killpg(process.pid, number)

    _, err = process.communicate(timeout=10)
    assert process.returncode == INTERRUPTED
    assert "error[OB0404]: interrupted" in err
    assert not list(workspace.root.rglob("*.sandbox"))


def test_a_build_waits_for_the_actions_of_one_that_was_killed(workspace: Workspace) -> None:
    process = _started(workspace, "sleep 8; echo done > $OUT")
    process.kill()
    process.communicate()

    outcome = workspace.run("build", "//app:t")

    assert outcome.status == 0, outcome.err
    assert "waiting for the actions of a build that was killed" in outcome.err
    assert workspace.output("app/o").read_text() == "done\n"


@pytest.mark.parametrize("name", ["out", ".occlum-build"])
@pytest.mark.parametrize("leads_to", ["nowhere/at/all", None, "."])
def test_what_is_in_the_way_of_outputs_is_named(
    workspace: Workspace, name: str, leads_to: str | None
) -> None:
    workspace.build_file('shell(name = "t", outs = ["t"], cmd = "echo made > $OUT")')
    place = workspace.root / name
    if leads_to is None:
        place.write_text("mine")
    else:
        place.symlink_to(name if leads_to == "." else leads_to)

    said = workspace.run("build", "//app:t")

    assert said.status == 1
    assert "error[OB0412]: a file cannot be read or written\n  = note: " in said.err
    assert f"workspace/{name}" in said.err
    assert "= help: delete what is in the way" in said.err


def test_a_limit_of_the_size_of_files_is_told(copied: Workspace) -> None:
    shell = subprocess.run(
        ["sh", "-c", 'ulimit -f 0; "$@"', "sh", *copied.command("build", "//...")],
        cwd=copied.root,
        env=copied.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert shell.returncode == FAILED
    assert "error[OB0412]: a file cannot be read or written" in shell.stderr
    assert "= help: lift the limit of the size of a file" in shell.stderr


@pytest.mark.parametrize("text", ["{", "", "[1]"])
def test_a_variable_that_only_the_tool_sets_does_no_harm(copied: Workspace, text: str) -> None:
    said = copied.run("build", "//...", env={"OCCLUM_BUILD_PYTHON_VARIABLES": text})

    assert said.status == 0, said.err


def test_a_pipe_among_the_outputs_is_refused(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", out_dirs = ["o"], cmd = "mkdir -p $OUT; mkfifo $OUT/x")'
    )

    outcome = workspace.run("build", "//app:t")

    assert outcome.status == FAILED
    assert "the output `out/default/bin/app/o/x` is neither a file nor a directory" in outcome.err


def test_an_action_that_writes_into_a_directory_of_another_is_found_out(
    workspace: Workspace,
) -> None:
    made = 'shell(name = "d", out_dirs = ["d"], cmd = "mkdir -p $OUT; echo good > $OUT/x")\n'
    user = 'shell(name = "t", srcs = [":d"], outs = ["o"], cmd = "%s; cat $IN/x > $OUT")\n'
    evil = "chmod u+w $IN/x; echo evil > $IN/x"
    workspace.build_file(made + user % evil)

    outcome = workspace.run("build", "//app:t")

    assert outcome.status == FAILED
    assert "the command changed its input `out/default/bin/app/d`" in outcome.err
    workspace.build_file(made + user % "true")
    workspace.build("//app:t")
    assert workspace.output("app/o").read_text() == "good\n"


@pytest.mark.parametrize(
    "name", ["o^", "a b", "#x", "-rf", "a$b", "a{b}[c]", "it's", "~", "größe", "日本"]
)
def test_any_name_of_a_target_can_be_built(workspace: Workspace, name: str) -> None:
    workspace.build_file(f'write(name = "{name}", text = "x")')

    workspace.build(f"//app:{name}")

    assert workspace.output(f"app/{name}").read_text() == "x"


def test_a_zero_byte_in_a_command_is_named(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo \\0 > $OUT")')

    err = workspace.run("build", "//app:t").err

    assert "`/bin/sh` cannot be executed: Invalid argument" in err


def test_what_a_rule_prints_is_no_result(workspace: Workspace) -> None:
    workspace.write("app/r.py", (workspace.root / "tools/shell.py").read_text() + "print(7)\n")
    workspace.write("app/BUILD", 'load("//app:r.py", "write")\nwrite(name = "a", text = "")\n')

    outcome = workspace.run("query", "//...")

    assert (outcome.out, outcome.err) == ("//app:a\n", "7\n")


def test_a_tool_whose_installer_is_missing_says_how_to_get_that_first(
    workspace: Workspace,
) -> None:
    workspace.write(
        "app/BUILD",
        'load("@occlum//rules:defs.bzl", "rust_binary")\n'
        'rust_binary(name = "r", srcs = ["m.rs"], lock = "Cargo.lock")\n',
    )
    for name in ("m.rs", "Cargo.lock"):
        workspace.write(f"app/{name}", "")

    nowhere = {"PATH": "/usr/bin:/bin", "HOME": str(workspace.root)}
    outcome = workspace.run("build", "//app:r", env=nowhere)

    assert outcome.status == FAILED
    assert "error[OB0405]: the tool `rust` is missing" in outcome.err
    assert "= help: first install `rustup` with `curl " in outcome.err


def _started(workspace: Workspace, command: str) -> "subprocess.Popen[str]":
    """A build of `//app:t` whose action runs."""
    workspace.build_file(f'shell(name = "t", outs = ["o"], cmd = "{command}")')
    process = subprocess.Popen(
        workspace.command("build", "//app:t"),
        cwd=workspace.root,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 20
    while not list(workspace.root.rglob("*.sandbox/root")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    return process
