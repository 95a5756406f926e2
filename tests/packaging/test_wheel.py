"""The wheel: what is in it, and that it works in an empty environment for another monorepo."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.workspace import ROOT, RULES

pytestmark = pytest.mark.slow

MONOREPO = {
    "WORKSPACE.occlum": "name: shop\n",
    "till/BUILD": """\
load("@occlum//rules:defs.bzl", "alias", "filegroup", "test_suite")
load("//tools:shell.py", "shell", "shell_test")

filegroup(name = "texts", srcs = glob(["*.txt"]))
alias(name = "papers", actual = "@shop//till:texts")
shell(name = "sum", srcs = [":papers"], outs = ["sum"], cmd = "cat $IN > $OUT")
shell_test(name = "sum_test", data = [":sum"], cmd = "test $(cat $IN) = 42")
test_suite(name = "tests", tests = [":sum_test"])
""",
    "till/receipt.txt": "42\n",
    "tools/BUILD": "",
    "tools/shell.py": (RULES / "shell.py").read_text(),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script in an environment that holds the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-I", "-m", "pip", "install", "-q", "--no-deps"]
    locked = ["--require-hashes", "--only-binary=:all:", "-r", str(ROOT / "requirements.lock")]
    subprocess.run([*pip, *locked], check=True)
    subprocess.run([*pip, str(wheel)], check=True)
    return folder / "bin/occlum-build"


@pytest.fixture
def monorepo(tmp_path: Path) -> Path:
    for name, text in MONOREPO.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_wheel_installs_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"occlum_build"}


def test_the_wheel_holds_what_labels_of_the_tool_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    for part in ("rules", "toolchain", "libos_src"):
        assert f"occlum_build/_occlum/{part}/BUILD" in names
    assert "occlum_build/_occlum/requirements.lock" in names
    assert not {name for name in names if "/target/" in name or "/tests/" in name[:30]}


def test_another_monorepo_is_built_and_tested(program: Path, monorepo: Path) -> None:
    result = subprocess.run(
        [program, "test", "//..."], cwd=monorepo, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "1 passed, 0 failed"
    assert (monorepo / "out/default/bin/till/sum").read_text() == "42\n"


def test_labels_of_the_tool_lead_into_the_wheel(program: Path, monorepo: Path) -> None:
    result = subprocess.run(
        [program, "query", "deps(@occlum//libos_src:libos)"],
        cwd=monorepo,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert "@occlum//libos_src:Cargo.lock\n" in result.stdout


def test_each_package_of_the_tool_can_be_named(program: Path, monorepo: Path) -> None:
    for label in ("//:requirements-dev.lock", "//:engine", "//rules:sources", "//toolchain:zig"):
        result = subprocess.run(
            [program, "query", f"@occlum{label}"],
            cwd=monorepo,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr


def test_the_version_is_that_of_the_project(program: Path, monorepo: Path) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    said = subprocess.run(
        [program, "version"], cwd=monorepo, capture_output=True, text=True, check=True
    )

    assert said.stdout == f"occlum-build {project['version']}\n"
