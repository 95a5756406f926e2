"""What an action cannot reach: the network, the name of the host, and files nobody declared."""

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlum_build.execution.runner.process import Command, run
from occlum_build.execution.runner.walls import Walls, spellings, to_hide
from tests.support import refusal
from tests.support.workspace import Workspace

_UNSHARE = 272  # asm/unistd_64.h
_MOUNT = 165
_NOBODY = 65534
_PR_SET_DUMPABLE = 4  # linux/prctl.h

CONNECT = "if (: < /dev/tcp/127.0.0.1/{}) 2> /dev/null; then echo reached; else echo refused; fi"


def has_namespaces() -> bool:
    """Whether this machine lets anybody have namespaces: another program asks the kernel."""
    program = shutil.which("unshare", path="/usr/bin:/bin")
    if program is None:
        return False
    done = subprocess.run([program, "-rnm", "true"], capture_output=True, check=False)
    return done.returncode == 0


needs_namespaces = pytest.mark.skipif(
    not has_namespaces(), reason="this kernel permits no namespaces, so that there are no walls"
)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine's loopback that somebody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def made(workspace: Workspace, command: str, more: str = "", **env: str) -> str:
    """What a command of the shell writes to its output as an action."""
    workspace.build_file(f'shell(name = "t", outs = ["o"], cmd = """{command}"""{more})')
    outcome = workspace.run("build", "//app:t", env=env)
    assert outcome.status == 0, outcome.err
    assert "no wall" not in outcome.err
    return workspace.output("app/o").read_text()


@needs_namespaces
def test_an_action_has_no_network_not_even_the_loopback(workspace: Workspace, port: int) -> None:
    workspace.write("app/connect", CONNECT.format(port))
    command = "bash $IN > $OUT"

    assert made(workspace, command, ', srcs = ["connect"]') == "refused\n"
    assert made(workspace, command, ', srcs = ["connect"], network = True') == "reached\n"


def test_an_action_can_talk_to_itself(workspace: Workspace) -> None:
    workspace.write(
        "app/talk.py",
        "import socket, sys\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    socket.create_connection(server.getsockname())\n"
        "open(sys.argv[1], 'w').write('heard')\n",
    )
    workspace.build_file(
        'load("@occlum//rules:defs.bzl", "genrule", "python_script")\n'
        'python_script(name = "talk", main = "talk.py")\n'
        'genrule(name = "t", outs = ["o"], tool = ":talk", args = ["$(outs)"])'
    )
    workspace.build("//app:t")

    assert workspace.output("app/o").read_text() == "heard"


@needs_namespaces
def test_an_action_does_not_know_the_host(workspace: Workspace) -> None:
    assert made(workspace, "(uname -n; cat /etc/hostname) > $OUT") == "localhost\nlocalhost\n"


@needs_namespaces
def test_no_path_leads_to_a_file_of_the_workspace_that_is_not_declared(
    workspace: Workspace,
) -> None:
    secret = workspace.write("app/secret", "secret")
    up = "find ../../../../.. -name secret > $OUT"

    assert made(workspace, f"! cat {secret} 2>&1 && {up}") == ""
    assert made(workspace, f"cat {secret} > $OUT", ', srcs = ["secret"], network = True') == (
        "secret"
    )


@needs_namespaces
def test_an_action_sees_neither_the_home_nor_the_temporary_files_of_its_user(
    workspace: Workspace, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine").write_text("")
    (tmp_path / "other").write_text("")
    outside = Path(f"/tmp/{tmp_path.name}-{os.getpid()}")  # noqa: S108  # that is the point
    command = f"(ls -A {home} {tmp_path} || true) > $OUT; touch $TMPDIR/x {outside}"

    seen = made(workspace, command, HOME=str(home))

    assert seen == f"{tmp_path}:\nworkspace\n"
    assert not outside.exists()


def test_a_home_that_holds_the_tools_or_the_system_is_not_hidden(tmp_path: Path) -> None:
    inside = tmp_path / "tools" / "home"
    inside.mkdir(parents=True)
    (tmp_path / "link").symlink_to("tools")

    assert to_hide(Walls(["/usr/bin", "/", str(inside)], [str(tmp_path / "link")], "")) == []
    assert to_hide(Walls([str(inside)], [], "")) == [str(inside)]
    assert spellings([str(tmp_path / "link")]) == [
        str(tmp_path / "link"),
        str(tmp_path / "tools"),
    ]


@needs_namespaces
def test_an_input_too_large_to_copy_is_there(workspace: Workspace) -> None:
    (workspace.root / "app").mkdir()
    with (workspace.root / "app/large").open("wb") as file:
        file.truncate(17 << 20)

    assert made(workspace, "wc -c < $IN > $OUT", ', srcs = ["large"]') == f"{17 << 20}\n"


@pytest.mark.parametrize(
    ("number", "missing"), [(_UNSHARE, "network and files: "), (_MOUNT, "files: ")]
)
def test_without_a_wall_that_the_kernel_refuses_a_build_goes_on_and_says_so_once(
    workspace: Workspace, number: int, missing: str
) -> None:
    workspace.build_file(
        'shell(name = "a", outs = ["o"], cmd = "echo yes > $OUT")\n'
        'shell(name = "b", srcs = ["a"], outs = ["p"], cmd = "cat $IN > $OUT")'
    )
    words = [sys.executable, "-S", refusal.__file__, str(number)]

    done = subprocess.run(
        [*words, *workspace.command("build", "//app:b")],
        cwd=workspace.root,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert workspace.output("app/p").read_text() == "yes\n"
    said = [line for line in done.stderr.splitlines() if "no wall" in line]
    assert len(said) == 1
    assert f"({missing}" in said[0]
    assert "Operation not permitted" in said[0]


@needs_namespaces
def test_who_is_not_root_gets_the_same_walls(port: int) -> None:
    base = Path(f"/var/tmp/occlum-build-walls-{os.getpid()}")  # noqa: S108  # for everybody
    (base / "hidden" / "kept").mkdir(parents=True)
    (base / "hidden" / "secret").write_text("")
    (base / "name").write_text("nowhere\n")
    (base / "connect").write_text(CONNECT.format(port))
    kept = [str(base / one) for one in ("hidden/kept", "connect")]
    walls = Walls([str(base / "hidden"), "/var/tmp"], kept, str(base / "name"))  # noqa: S108
    line = f"ls -A {base} {base}/hidden; cat /etc/hostname; uname -n; bash {base}/connect; id -u"
    command = Command(["/bin/sh", "-c", line], {}, "/", str(base / "log"), walls=walls)
    try:
        base.chmod(0o777)
        child = os.fork()
        if not child:
            status = 1
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setgid(_NOBODY)
                    os.setuid(_NOBODY)
                    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after an exec
                status = run(command) or len(command.missing_walls)
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        said = (base / "log").read_text().splitlines()
    finally:
        shutil.rmtree(base)

    assert status == 0
    user = os.geteuid() or _NOBODY
    assert said == [
        f"{base}:", "connect", "hidden", "",
        f"{base}/hidden:", "kept",
        "nowhere", "localhost", "refused", str(user),
    ]  # fmt: skip
