"""Tests begin in the order that ends them soonest: the longest first."""

from tests.support.workspace import Workspace

BUILD = """
shell_test(name = "a", cmd = "sleep 0.1", timeout = 10)
shell_test(name = "b", cmd = "sleep 1.5", timeout = 20)
shell_test(name = "c", cmd = "sleep 0.6", timeout = 30)
"""
NEW = 'shell_test(name = "%s", cmd = "true", timeout = %d)\n'


def order(workspace: Workspace, build_file: str) -> list[str]:
    """The tests of the file, as they ran one after the other."""
    workspace.build_file(build_file)
    said = workspace.run("test", "//...", "--jobs=1")
    assert said.status == 0, said.err
    lines = [line for line in said.err.splitlines() if "] Test //app:" in line]
    return [line.split("//app:")[1].split()[0] for line in lines]


def test_a_test_of_which_nothing_is_known_may_take_all_its_time(workspace: Workspace) -> None:
    assert order(workspace, BUILD) == ["c", "b", "a"]


def test_what_took_longest_the_last_time_begins_first(workspace: Workspace) -> None:
    order(workspace, BUILD)

    again = BUILD.replace("sleep", "true; sleep") + NEW % ("d", 60)

    assert order(workspace, again) == ["d", "b", "c", "a"]
