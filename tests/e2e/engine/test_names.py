"""Names of files and targets in any script: built the same under every locale."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.workspace import Workspace

BUILD = """
shell(name = "größe", srcs = glob(["*.txt"]), outs = ["日本.out"], cmd = "cat $IN > $OUT")
shell_test(name = "prüfung", cmd = "true")
"""
WRONG_INPUT = 2


@pytest.fixture
def turkish(tmp_path: Path) -> dict[str, str]:
    """A locale whose characters are bytes, and whose `i` is no `I`."""
    locale = "tr_TR.ISO-8859-9"
    command = ["localedef", "-c", "-f", "ISO-8859-9", "-i", "tr_TR", str(tmp_path / locale)]
    if shutil.which(command[0]) is not None:
        subprocess.run(command, check=False, capture_output=True)
    if not (tmp_path / locale).is_dir():
        pytest.skip("this machine cannot make locales")
    return {"LOCPATH": str(tmp_path), "LC_ALL": locale}


@pytest.fixture
def foreign(workspace: Workspace) -> Workspace:
    workspace.build_file(BUILD, "ä/öü")
    for name in ("z.txt", "straße.txt", "日.txt", "A.txt"):
        workspace.write(f"ä/öü/{name}", f"{name}\n")
    return workspace


def test_a_locale_changes_no_name_and_no_order(
    foreign: Workspace, turkish: dict[str, str]
) -> None:
    for env in ({"LC_ALL": "C"}, turkish):
        tested = foreign.run("test", "//...", env=env)
        assert tested.status == 0, tested.err
        built = foreign.run("build", "//ä/öü:größe", env=env)
        assert built.status == 0, built.err

        made = foreign.output("ä/öü/日本.out")
        assert made.read_text() == "A.txt\nstraße.txt\nz.txt\n日.txt\n"
        listed = foreign.run("query", "kind('source file', '//ä/öü:*')", env=env).out
        assert listed.split("\n")[1] == "//ä/öü:BUILD"
        shutil.rmtree(foreign.root / "out")


@pytest.mark.parametrize("sign", ["\u2028", "\u202e", "\u200b", "\ue000"])
def test_a_sign_that_nobody_sees_is_in_no_name(workspace: Workspace, sign: str) -> None:
    workspace.build_file(f'write(name = "a{sign}b", text = "")\n')

    outcome = workspace.run("build", "//...")

    assert outcome.status == WRONG_INPUT
    assert f"`\\u{ord(sign):04x}` cannot be in a name" in outcome.err
