"""What changes an output rebuilds it, and nothing else is rebuilt."""

import os
import time
from pathlib import Path

import pytest

from tests.support.workspace import Workspace

CHAIN = """
shell(name = "first", srcs = glob(["*.txt"]), outs = ["first.out"], cmd = "cat $IN > $OUT")
shell(name = "second", srcs = [":first"], outs = ["second.out"], cmd = "wc -l < $IN > $OUT")
shell(name = "third", srcs = [":second"], outs = ["third.out"], cmd = "cat $IN $IN > $OUT")
shell(name = "other", outs = ["other.out"], cmd = "echo other > $OUT")
"""
ALL = ["Shell //app:first", "Shell //app:other", "Shell //app:second", "Shell //app:third"]


@pytest.fixture
def chain(workspace: Workspace) -> Workspace:
    workspace.build_file(CHAIN)
    workspace.write("app/a.txt", "one\n")
    assert workspace.executed("//...") == ALL
    return workspace


def test_nothing_runs_when_nothing_changed(chain: Workspace) -> None:
    assert chain.executed("//...", "--keep-going") == []


def test_touching_every_file_runs_nothing(chain: Workspace) -> None:
    for path in chain.root.rglob("*"):
        if ".occlum-build" not in path.parts and path.is_file():
            os.utime(path, (time.time() + 100, time.time() + 100))

    assert chain.executed("//...") == []


def test_a_changed_source_runs_what_depends_on_it(chain: Workspace) -> None:
    chain.write("app/a.txt", "one\ntwo\n")

    assert chain.executed("//...") == [
        "Shell //app:first",
        "Shell //app:second",
        "Shell //app:third",
    ]
    assert chain.output("app/third.out").read_text() == "2\n2\n"


def test_a_change_that_makes_no_difference_stops_there(chain: Workspace) -> None:
    chain.write("app/a.txt", "uno\n")

    assert chain.executed("//...") == ["Shell //app:first", "Shell //app:second"]


def test_a_change_with_an_old_time_stamp_is_seen(chain: Workspace) -> None:
    file = chain.write("app/a.txt", "two\nlines\n")
    os.utime(file, (978_307_200, 978_307_200))

    assert "Shell //app:first" in chain.executed("//...")


def test_a_new_file_that_a_glob_matches_is_seen(chain: Workspace) -> None:
    chain.write("app/b.txt", "more\n")

    assert "Shell //app:first" in chain.executed("//...")


def test_a_deleted_file_that_a_glob_matched_is_seen(chain: Workspace) -> None:
    chain.write("app/b.txt", "more\n")
    chain.build("//...")
    (chain.root / "app/b.txt").unlink()

    assert "Shell //app:first" in chain.executed("//...")
    assert chain.output("app/first.out").read_text() == "one\n"


def test_a_changed_command_runs_its_action_only(chain: Workspace) -> None:
    chain.build_file(CHAIN.replace("echo other", "echo  other"))

    assert chain.executed("//...") == ["Shell //app:other"]


def test_a_changed_environment_runs_its_action(chain: Workspace) -> None:
    chain.build_file(CHAIN.replace('cmd = "echo', 'env = {"A": "1"}, cmd = "echo'))

    assert chain.executed("//...") == ["Shell //app:other"]


def test_a_comment_in_a_build_file_runs_nothing(chain: Workspace) -> None:
    chain.build_file(CHAIN + "# a comment\n")

    assert chain.executed("//...") == []


def test_an_execute_bit_runs_what_depends_on_it(chain: Workspace) -> None:
    (chain.root / "app/a.txt").chmod(0o755)

    assert chain.executed("//...") == ["Shell //app:first"]


def test_other_mode_bits_run_nothing(chain: Workspace) -> None:
    (chain.root / "app/a.txt").chmod(0o600)

    assert chain.executed("//...") == []


def test_a_link_that_leads_elsewhere_runs_what_depends_on_it(chain: Workspace) -> None:
    chain.write("data/x", "x\n")
    chain.write("data/y", "y\ny\n")
    link = chain.root / "app/link.txt"
    link.symlink_to("../data/x")
    chain.build("//...")
    link.unlink()
    link.symlink_to("../data/y")

    assert "Shell //app:first" in chain.executed("//...")
    assert chain.output("app/first.out").read_text() == "one\ny\ny\n"


def test_a_deleted_output_is_made_again(chain: Workspace) -> None:
    chain.output("app/second.out").unlink()

    assert chain.executed("//...") == ["Shell //app:second"]


def test_an_output_that_someone_changed_is_made_again(chain: Workspace) -> None:
    output = chain.output("app/first.out")
    output.chmod(0o644)
    output.write_text("forged\n")

    assert chain.executed("//...") == ["Shell //app:first"]
    assert output.read_text() == "one\n"


def test_a_changed_rule_file_runs_what_it_changes(chain: Workspace) -> None:
    rules = chain.root / "tools/shell.py"
    rules.write_text(rules.read_text().replace('"/usr/bin:/bin"', '"/bin:/usr/bin"'))

    assert chain.executed("//...") == ALL


def test_going_back_gives_the_first_output_again(chain: Workspace) -> None:
    before = chain.output("app/third.out").read_text()
    chain.write("app/a.txt", "1\n2\n3\n")
    chain.build("//...")
    chain.write("app/a.txt", "one\n")
    chain.build("//...")

    assert chain.output("app/third.out").read_text() == before


def test_a_lost_ninja_log_runs_no_command_again(chain: Workspace) -> None:
    for log in (chain.root / "out/default/.ninja").iterdir():
        log.unlink()

    assert chain.executed("//...", "--keep-going") == []


def test_a_directory_output_rebuilds_its_users_when_a_member_changes(
    workspace: Workspace,
) -> None:
    text = """
shell(name = "tree", srcs = ["a.txt"], out_dirs = ["tree"],
      cmd = "mkdir -p $OUT/deep && cp $IN $OUT/deep/x && ln -s deep/x $OUT/link")
shell(name = "user", srcs = [":tree"], outs = ["user.out"], cmd = "cat $IN/link > $OUT")
"""
    workspace.build_file(text)
    workspace.write("app/a.txt", "one\n")
    workspace.build("//...")
    workspace.write("app/a.txt", "two\n")

    assert workspace.executed("//...") == ["Shell //app:tree", "Shell //app:user"]
    assert workspace.output("app/user.out").read_text() == "two\n"
    assert workspace.output("app/tree/link").is_symlink()


def test_a_deleted_output_directory_is_made_again(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "t", out_dirs = ["t"], cmd = "mkdir -p $OUT; touch $OUT/a")'
    )
    workspace.build("//...")
    (workspace.output("app/t/a")).unlink()
    workspace.output("app/t").rmdir()

    assert workspace.executed("//...") == ["Shell //app:t"]


def test_an_output_that_becomes_a_directory_replaces_the_file(workspace: Workspace) -> None:
    workspace.build_file('shell(name = "t", outs = ["x"], cmd = "echo 1 > $OUT")')
    workspace.build("//...")
    workspace.build_file('shell(name = "t", outs = ["x/y"], cmd = "echo 2 > $OUT")')
    workspace.build("//...")

    assert workspace.output("app/x/y").read_text() == "2\n"


@pytest.mark.parametrize("kind", ["key", "other_key"])
def test_a_changed_key_signs_again(workspace: Workspace, tmp_path: Path, kind: str) -> None:
    workspace.build_file(
        'sign(name = "s", src = "a")\nshell(name="n", outs=["n"], cmd="echo > $OUT")'
    )
    workspace.write("app/a", "text")
    workspace.build("//...")
    key = tmp_path / f"{kind}.pem"
    _make_key(key)

    assert workspace.executed("//...", "--key", f"development={key}") == ["Sign //app:s"]
    assert workspace.executed("//...") == ["Sign //app:s"]


def _make_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=3, key_size=3072)
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
