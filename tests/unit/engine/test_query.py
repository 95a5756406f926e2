"""The language of `query`: what Bazel's users write, and what it says."""

from pathlib import Path

import pytest

from occlum_build.cli.entry import main

WRONG_INPUT = 2
BUILD = """
load("@occlum//rules:defs.bzl", "alias", "filegroup", "genrule", "python_script")

filegroup(name = "a", srcs = ["s"], tags = ["x", "yy"])

filegroup(name = "b", srcs = [":a"], testonly = True)

alias(name = "c", actual = ":b", testonly = True)

alias(name = "d", actual = ":a")

python_script(name = "tool", main = "t.py")

genrule(name = "g", srcs = [":a"], outs = ["o+1"], tool = ":tool")

filegroup(name = "with +", srcs = ["t.py"])
"""

ANSWERS = {
    "p:a": "a",
    "@//p:a": "a",
    "//...:all - //p/...": "",
    "p:a + //p:b": "a b",
    "//p:b union //p:a union //p:a": "a b",
    "//p:all - //p:g - '//p:with +'": "a b c d tool",
    "//p:all except (//p:a + //p:b + //p:tool)": "c d g with +",
    "//p:all ^ set(//p:a //p:b)": "a b",
    "deps(//p:c) intersect deps(//p:d)": "a s",
    "let x = deps(//p:b) in $x - //p:a": "b s",
    "let x = //p:a in let y = //p:b in $x + $y": "a b",
    "deps(//p:c)": "a b c s",
    "deps(//p:c, 0)": "c",
    "deps(//p:c, 1)": "b c",
    "deps(//p:s)": "s",
    "rdeps(//p:all, //p:b)": "b c",
    "rdeps(//p:all, //p:s, 1)": "a s",
    "rdeps(//p:d, //p:b)": "",
    "rdeps(//p:d, //p:s)": "a d s",
    "allpaths(//p:c + //p:d, //p:a)": "a b c d",
    "allpaths(//p:a, //p:c)": "",
    "somepath(//p:c, //p:s)": "c b a s",
    "somepath(//p:tool + //p:c, //p:b)": "c b",
    "path(//p:a, //p:c)": "",
    "kind(filegroup, //p:all)": "a b with +",
    "kind('^(alias|source file)$', deps(//p:d))": "d s",
    "filter('//p:[ab]$', //p:all)": "a b",
    "attr(tags, yy, //p:all)": "a",
    "attr(tags, '^\\[x, yy\\]$', //p:all)": "a",
    "attr(testonly, 1, //p:all)": "b c",
    "attr(actual, ':b$', //p:all)": "c",
    "attr(nothing, '', //p:all)": "",
    "labels(srcs, //p:b + //p:g)": "a",
    "labels(tool, //p:g)": "tool",
    "some(//p:all)": "a",
    "some(//p:all, 2)": "a b",
    "set()": "",
    '"//p:with +"': "with +",
    "((//p:a))": "a",
}

REFUSALS = {
    "deps(//p:a": "it ends where `)` is expected",
    "deps(//p:a))": "`)` stands where an operator or the end is expected",
    "deps()": "it is `deps(SET, [NUMBER])`",
    "deps(//p:a, x)": "`x` is no number",
    "deps(//p:a, 1, 2)": "`,` stands where `)` is expected",
    "//p:a //p:b": "`//p:b` stands where an operator or the end is expected",
    "//p:a +": "it ends where a target pattern is expected",
    "+ //p:a": "`+` stands where a target pattern is expected",
    "": "it ends where a target pattern is expected",
    "'//p:a": "a quotation mark has no partner",
    "nonsense(//p:a)": "there is no function `nonsense`",
    "$x": "no `let` gives `$x` a value",
    "let x = //p:a": "it ends where `in` is expected",
    "kind('(', //p:a)": "`(` is no regular expression",
    "somepath(set(), //p:a)": "a path needs a target on either side",
    "some(set())": "`some` is asked of nothing",
    "(" * 5000: "it is nested too deeply",
    "//p:nope": "no target `//p:nope`",
}


@pytest.fixture(autouse=True)
def _workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").mkdir()
    for name, text in (("WORKSPACE.occlum", ""), ("p/BUILD", BUILD), ("p/s", ""), ("p/t.py", "")):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", ANSWERS)
def test_a_query_is_answered_as_bazel_answers_it(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["query", text])

    names = [line.removeprefix("//p:") for line in capsys.readouterr().out.splitlines()]
    assert (status, " ".join(names)) == (0, ANSWERS[text])


def test_a_query_may_stand_behind_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "--output", "kind", "--", "//p:a"]) == 0

    assert capsys.readouterr().out == "filegroup //p:a\n"


def test_no_query_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query"]) == WRONG_INPUT

    assert "`query` needs a target" in capsys.readouterr().err


@pytest.mark.parametrize("text", REFUSALS)
def test_what_is_no_query_is_refused_and_said_why(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", text]) == WRONG_INPUT

    assert REFUSALS[text] in capsys.readouterr().err
