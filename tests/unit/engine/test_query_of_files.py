"""Queries about files, packages and tests, and which of them a wildcard means."""

from pathlib import Path

import pytest

from occlum_build.cli.entry import main

WRONG_INPUT = 2
FILES = {
    "WORKSPACE.occlum": "",
    "lib/BUILD": 'load(":names.bzl", "NAME")\nexports_files(["notes.txt"])\n',
    "lib/names.bzl": 'NAME = "a"\n',
    "lib/notes.txt": "",
    "lib/nobody_names_it.txt": "",
    "app/BUILD": """
load("//lib:macro.bzl", "both")
load("@occlum//rules:defs.bzl", "enclave_test", "pytest_test", "test_suite")

both(name = "a")

pytest_test(name = "quick", srcs = ["quick.py"], tags = ["manual"])

pytest_test(name = "slow", srcs = ["slow.py"])

test_suite(name = "inner", tests = [":slow", ":outer_too"])

test_suite(name = "outer_too", tests = [":quick"])

test_suite(name = "outer", tests = [":inner"])
""",
    "lib/macro.bzl": """
load("//lib:names.bzl", "NAME")
load("@occlum//rules:defs.bzl", "filegroup")

def both(name):
    filegroup(name = name, srcs = ["s", "//lib:notes.txt"])
""",
    "rule/BUILD": 'load(":rule.py", "rule")\nrule(name = "r")\n',
    "rule/rule.py": "from .parts.shared import RULE as rule\n",
    "rule/parts/shared.py": """
from occlum.rules.providers import BinaryInfo
from occlum_build.api import Attrs, DefaultInfo, Rule
RULE = Rule(attrs=Attrs, analyze=lambda ctx: [DefaultInfo()])
""",
    "app/s": "",
    "app/quick.py": "",
    "app/slow.py": "",
}
TARGETS = "//app:a //app:inner //app:outer //app:outer_too //app:quick //app:slow"
APP_FILES = "//app:BUILD //app:quick.py //app:s //app:slow.py"
RULE_FILES = "//rule:rule.py //rule/parts:shared.py @occlum//rules:providers.py"
LIB_FILES = "//lib:BUILD //lib:notes.txt"


def everything(*labels: str) -> str:
    return " ".join(sorted(" ".join(labels).split()))


ANSWERS = {
    "//app:all": TARGETS,
    "//app:*": everything(TARGETS, APP_FILES),
    "//app:all-targets": everything(TARGETS, APP_FILES),
    "//lib:*": LIB_FILES,
    "//...:*": everything(TARGETS, APP_FILES, LIB_FILES, "//rule:BUILD //rule:r"),
    "//lib/...:all-targets": LIB_FILES,
    "lib:*": LIB_FILES,
    "siblings(//app:a)": everything(TARGETS, APP_FILES),
    "siblings(//lib:notes.txt)": LIB_FILES,
    "siblings(set())": "",
    "tests(//app:all)": "//app:quick //app:slow",
    "tests(//app:outer)": "//app:quick //app:slow",
    "tests(//app:outer_too + //app:a)": "//app:quick",
    "buildfiles(//lib:notes.txt)": "//lib:BUILD //lib:names.bzl",
    "filter('^//', buildfiles(//app:a))": "//app:BUILD //lib:BUILD //lib:macro.bzl "
    "//lib:names.bzl",
    "filter('^//', loadfiles(//app:a))": "//lib:macro.bzl //lib:names.bzl",
    "buildfiles(//rule:r)": "//rule:BUILD //rule:rule.py //rule/parts:shared.py "
    "@occlum//rules:BUILD @occlum//rules:providers.py",
    "loadfiles(//rule:r)": RULE_FILES,
    "filter('^//', deps(buildfiles(//app:a)))": "//app:BUILD //lib:BUILD //lib:macro.bzl "
    "//lib:names.bzl",
    "rbuildfiles(rule/parts/shared.py)": "//rule:BUILD",
    "rbuildfiles(lib/names.bzl)": "//app:BUILD //lib:BUILD",
    "rbuildfiles(lib/macro.bzl, lib/BUILD)": "//app:BUILD //lib:BUILD",
    "rbuildfiles(lib/notes.txt)": "",
    "allrdeps(//lib:notes.txt)": "//app:a //lib:notes.txt",
    "allrdeps(//app:quick)": "//app:inner //app:outer //app:outer_too //app:quick",
    "allrdeps(//app:quick, 1)": "//app:outer_too //app:quick",
}


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", ANSWERS)
def test_a_query_about_files_is_answered_as_bazel_answers_it(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["query", text])

    printed = capsys.readouterr()
    assert (status, printed.err) == (0, "")
    assert " ".join(printed.out.split()) == ANSWERS[text]


def test_a_wildcard_alone_is_that_of_the_package_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("lib")

    for text in ("*", ":*", "all-targets", "...:*"):
        assert main(["query", text]) == 0
        assert " ".join(capsys.readouterr().out.split()) == LIB_FILES


def test_a_list_of_words_has_one_at_least(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "rbuildfiles()"]) == WRONG_INPUT

    assert "`)` stands where `rbuildfiles` expects a word" in capsys.readouterr().err
