"""What an action sees, and what becomes of what it makes."""

import os
import subprocess
from pathlib import Path

from tests.support.workspace import Workspace


def test_an_action_sees_only_what_it_declares(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", srcs = ["a"], outs = ["o"],'
        ' cmd = ": > $OUT; find . -type f | sort > $OUT")'
    )
    workspace.write("app/a", "")
    workspace.write("app/secret", "")
    workspace.build("//app:t")

    assert workspace.output("app/o").read_text().splitlines() == [
        "./app/a",
        "./out/default/bin/app/o",
    ]


def test_no_variable_of_the_caller_reaches_an_action(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "env | sort > $OUT")')
    workspace.run("build", "//app:t", env={"SECRET": "1", "LANG": "de_DE", "TZ": "Asia/Tokyo"})

    lines = workspace.output("app/o").read_text().splitlines()

    names = {line.partition("=")[0] for line in lines}
    own = {"HOME", "LC_ALL", "PATH", "PYTHONHASHSEED", "TMPDIR", "TZ"}
    assert names - {"_", "OLDPWD", "PWD", "SHLVL"} == own
    assert "TZ=UTC" in lines


def test_an_action_with_network_keeps_the_proxy(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", network = True, outs = ["o"], cmd = "echo $https_proxy > $OUT")'
    )
    workspace.run("build", "//app:t", env={"https_proxy": "http://proxy:1"})

    assert workspace.output("app/o").read_text() == "http://proxy:1\n"


def test_the_umask_of_the_caller_decides_nothing(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", outs = ["o"], out_dirs = ["d"],'
        ' cmd = "umask > out/default/bin/app/o; mkdir -p out/default/bin/app/d/e;'
        ' touch out/default/bin/app/d/e/f; chmod 700 out/default/bin/app/d/e")'
    )
    old = os.umask(0o077)
    try:
        workspace.build("//app:t")
    finally:
        os.umask(old)

    assert workspace.output("app/o").read_text() == "0022\n"
    modes = {
        path: oct(workspace.output(f"app/{path}").stat().st_mode & 0o777)
        for path in ("o", "d", "d/e", "d/e/f")
    }
    assert modes == {"o": "0o444", "d": "0o755", "d/e": "0o755", "d/e/f": "0o444"}


def test_standard_input_is_empty(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "wc -c > $OUT")')
    workspace.build("//app:t")

    assert workspace.output("app/o").read_text() == "0\n"


def test_an_executable_output_stays_executable(workspace: Workspace) -> None:
    workspace.build_file('write(name = "w", text = "#!/bin/sh\\necho hi\\n", executable = True)')
    workspace.build("//app:w")

    said = subprocess.run([workspace.output("app/w")], capture_output=True, text=True, check=True)
    assert said.stdout == "hi\n"


def test_a_process_left_behind_is_ended(workspace: Workspace, tmp_path: Path) -> None:
    mark = tmp_path / "alive"
    workspace.build_file(
        f'shell(name = "t", outs = ["o"], cmd = "(sleep 1; touch {mark}) & echo > $OUT")'
    )
    workspace.build("//app:t")
    subprocess.run(["sleep", "1.5"], check=True)

    assert not mark.exists()


def test_an_output_may_be_named_as_the_standard_output_too(workspace: Workspace) -> None:
    workspace.write(
        "tools/said.py",
        "from occlum_build.api import Attrs, DefaultInfo, Rule\n"
        "def _said(ctx):\n"
        "    o = ctx.declare_file('o')\n"
        "    ctx.run(mnemonic='Say', argv=['/bin/echo', 'a'], outputs=[o], stdout=o)\n"
        "    return [DefaultInfo((o,))]\n"
        "said = Rule(attrs=Attrs, analyze=_said)\n",
    )
    workspace.write("app/BUILD", 'load("//tools:said.py", "said")\nsaid(name = "s")')
    workspace.build("//app:s")

    assert workspace.output("app/o").read_text() == "a\n"


def test_two_configurations_do_not_share_outputs(workspace: Workspace) -> None:
    workspace.write("WORKSPACE.occlum", "configurations:\n  fast: {speed: high}\n")
    workspace.build_file(
        'write(name = "w", text = select({"speed=high": "fast", "default": "slow"}))'
    )
    workspace.build("//app:w")
    workspace.build("-c", "fast", "//app:w")

    assert workspace.output("app/w").read_text() == "slow"
    assert workspace.output("app/w", "fast").read_text() == "fast"


def test_the_private_key_is_in_no_file_of_the_workspace(workspace: Workspace) -> None:
    workspace.build_file('sign(name = "s", src = "a")')
    workspace.write("app/a", "text")
    workspace.build("//app:s")

    key = workspace.config / "occlum-build/development.pem"
    secret = key.read_text().splitlines()[1]
    assert key.stat().st_mode & 0o777 == 0o600
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or secret not in path.read_text(errors="replace")


def test_a_directory_that_moves_is_not_built_again(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["o"], cmd = "echo > $OUT")')
    workspace.build("//app:t")
    moved = workspace.root.rename(workspace.root.with_name("moved"))

    assert Workspace(moved).executed("//app:t") == []
