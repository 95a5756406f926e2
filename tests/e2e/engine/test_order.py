"""The order of a set of strings is the same in every build: Python's hashes have a fixed seed."""

from tests.support.workspace import Workspace

RULES = """\
from occlum_build.api import Attrs, DefaultInfo, Rule

def _hashes(ctx):
    out = ctx.declare_file(f"{ctx.label.name}.txt")
    ctx.write(out, f"{hash('a')}")
    return [DefaultInfo((out,))]

def _module(ctx):
    out = ctx.declare_file(f"{ctx.label.name}.txt")
    argv = [ctx.python_tool("timeit"), "-n1", "-r1", "print(hash('a'))"]
    ctx.run(mnemonic="Time", argv=argv, outputs=[], stdout=out)
    return [DefaultInfo((out,))]

hashes = Rule(attrs=Attrs, analyze=_hashes)
module = Rule(attrs=Attrs, analyze=_module)
"""
LOADS = """\
load("//tools:hashes.py", "hashes", "module")
load("@occlum//rules:defs.bzl", "genrule", "python_script")
"""
SCRIPT = 'import sys; open(sys.argv[1], "w").write(str(hash("a")))\n'


def first_lines(workspace: Workspace, build_file: str, env: dict[str, str]) -> set[str]:
    """The first lines of two outputs, each made by a command of its own."""
    workspace.write("tools/hashes.py", RULES)
    workspace.write("app/hash.py", SCRIPT)
    workspace.write("app/BUILD", LOADS + build_file)
    for one in ("a", "b"):
        outcome = workspace.run("build", f"//app:{one}", env=env)
        assert outcome.status == 0, outcome.err
    return {
        workspace.output(f"app/{one}.txt").read_text().partition("\n")[0] for one in ("a", "b")
    }


def test_a_script_has_the_same_hashes_in_each_build(workspace: Workspace) -> None:
    calls = [
        f'genrule(name = "{one}", outs = ["{one}.txt"], tool = ":hash", args = ["$(outs)"])\n'
        for one in ("a", "b")
    ]
    script = 'python_script(name = "hash", main = "hash.py")\n'

    assert len(first_lines(workspace, script + "".join(calls), {})) == 1


def test_a_module_has_the_same_hashes_in_each_build(workspace: Workspace) -> None:
    assert len(first_lines(workspace, 'module(name = "a")\nmodule(name = "b")', {})) == 1


def test_a_rule_file_has_the_same_hashes_in_each_build(workspace: Workspace) -> None:
    build_file = 'hashes(name = "a")\nhashes(name = "b")'

    assert len(first_lines(workspace, build_file, {})) == 1
    assert len(first_lines(workspace, build_file, {"PYTHONHASHSEED": "7"})) == 1


def test_no_variable_of_the_user_reaches_the_engine(workspace: Workspace) -> None:
    workspace.build_file('write(name = "w", text = "#!/bin/sh\\nenv\\n", executable = True)')
    workspace.write("app/starlark.py", "raise SystemExit(9)")
    mine = {"PYTHONPATH": str(workspace.root / "app"), "PYTHONHASHSEED": "7"}

    outcome = workspace.run("build", "//app:w", env=mine)

    assert outcome.status == 0, outcome.err


def test_what_is_run_gets_the_variables_of_its_user(workspace: Workspace) -> None:
    rule = (
        "from occlum_build.api import Attrs, DefaultInfo, Rule, RunInfo\n"
        "def _env(ctx):\n    return [DefaultInfo(), RunInfo(('/usr/bin/env',))]\n"
        "env = Rule(attrs=Attrs, analyze=_env)\n"
    )
    workspace.write("tools/env.py", rule)
    workspace.write("app/BUILD", 'load("//tools:env.py", "env")\nenv(name = "e")')

    said = workspace.run("run", "//app:e", env={"PYTHONPATH": "/mine"}).out.splitlines()

    variables = [one for one in said if "PYTHON" in one]
    assert variables == ["PYTHONPATH=/mine"]
