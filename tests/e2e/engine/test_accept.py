"""`test --accept`: what is becomes what is expected, and nothing else is written."""

import pytest

from tests.support.workspace import Workspace

BUILD = (
    'shell(name = "made", srcs = ["in.txt"], outs = ["made.out"], cmd = "cat $IN > $OUT")\n'
    'golden_test(name = "t", golden = "golden.txt", found = ":made")\n'
    'shell_test(name = "other", cmd = "true")\n'
)


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    workspace.build_file(BUILD)
    workspace.write("app/in.txt", "new")
    workspace.write("app/golden.txt", "old")
    return workspace


def golden(workspace: Workspace) -> str:
    return (workspace.root / "app/golden.txt").read_text()


def test_a_test_alone_writes_nothing(filled: Workspace) -> None:
    assert filled.run("test", "//app:t").status == 1
    assert golden(filled) == "old"


def test_accepting_writes_what_is_and_the_test_passes(filled: Workspace) -> None:
    outcome = filled.run("test", "--accept", "//app:t")

    assert outcome.status == 0
    assert outcome.out.splitlines()[0] == "accepted app/golden.txt"
    assert golden(filled) == "new"
    assert filled.run("test", "//app:t").status == 0


def test_accepting_what_is_expected_already_says_nothing(filled: Workspace) -> None:
    filled.run("test", "--accept", "//app:t")
    before = (filled.root / "app/golden.txt").stat().st_mtime_ns

    outcome = filled.run("test", "--accept", "//app:t", "//app:other")

    assert "accepted" not in outcome.out
    assert "2 passed, 0 failed" in outcome.out
    assert (filled.root / "app/golden.txt").stat().st_mtime_ns == before


def test_accepting_where_there_is_nothing_to_accept_is_wrong(filled: Workspace) -> None:
    outcome = filled.run("test", "--accept", "//app:other")

    assert outcome.status == 2
    assert "OB0127" in outcome.err


def test_what_cannot_be_made_is_not_accepted(filled: Workspace) -> None:
    filled.build_file(BUILD.replace("cat $IN > $OUT", "false"))

    outcome = filled.run("test", "--accept", "//app:t")

    assert outcome.status == 1
    assert golden(filled) == "old"


def test_what_an_action_makes_cannot_be_accepted(filled: Workspace) -> None:
    filled.build_file(
        'shell(name = "made", outs = ["made.out"], cmd = "echo 1 > $OUT")\n'
        'shell(name = "more", outs = ["more.out"], cmd = "echo 2 > $OUT")\n'
        'golden_test(name = "t", golden = ":more", found = ":made")\n'
    )

    outcome = filled.run("test", "--accept", "//app:t")

    assert outcome.status == 2
    assert "is no source file of this workspace" in outcome.err
