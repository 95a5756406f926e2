"""What many sources cost: counted in calls of functions, which no busy machine changes."""

import cProfile
from pathlib import Path

import pytest

from occlum_build.analysis.analysis import analyze
from occlum_build.execution.signing_keys import KeyRing
from occlum_build.label import Label
from occlum_build.loading.loader import Loader
from occlum_build.loading.workspace import find_workspace

ROOT = Path(__file__).resolve().parents[3]
TARGETS = {
    "a filegroup": 'filegroup(name = "a", srcs = {names})',
    "a filegroup of files that are missing": 'filegroup(name = "a", srcs = ["x"] + {names}[1:])',
    "a genrule that asks where each of them is": (
        'genrule(name = "a", srcs = {names}, outs = ["o"], tool = ":t",'
        ' args = ["$(location %s)" % name for name in {names}])'
    ),
}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_twice_as_many_sources_cost_twice_as_much(tmp_path: Path, target: str) -> None:
    once, twice = (_calls(tmp_path / str(count), target, count) for count in (500, 1000))

    assert twice / once < 2.2


def _calls(root: Path, target: str, count: int) -> int:
    """How many functions are called until a target of `count` sources is analysed."""
    names = [f"f{number}" for number in range(count)]
    root.mkdir()
    for name in ("WORKSPACE.occlum", "t.py", *names):
        (root / name).touch()
    (root / "BUILD").write_text(
        'load("@occlum//rules:defs.bzl", "filegroup", "genrule", "python_script")\n'
        'python_script(name = "t", main = "t.py")\n' + target.format(names=names)
    )
    workspace = find_workspace(root, ROOT)
    loader = Loader(workspace, workspace.configuration("default"))
    profile = cProfile.Profile()
    profile.enable()
    found = analyze([Label("", "", "a")], loader, KeyRing({}).find)
    profile.disable()
    assert Label("", "", "a") in found.targets or loader.problems
    return sum(one.callcount for one in profile.getstats())
