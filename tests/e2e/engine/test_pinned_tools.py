"""A tool of the machine that is not the one that is pinned is refused."""

from pathlib import Path

import pytest

from tests.support.workspace import Workspace

RULES = """\
from occlum_build.api import Attrs, DefaultInfo, ExternalTool, Field, Rule

class A(Attrs):
    sha256: str = Field(description="Its digest.")

def _use(ctx):
    tool = ExternalTool(
        name="t", locate=("locate-t",), program="bin/t", digest_of=("bin/*",),
        install="make it", sha256=ctx.attrs.sha256,
    )
    out = ctx.declare_file("o")
    ctx.run(mnemonic="Use", argv=[tool], outputs=[], stdout=out)
    return [DefaultInfo((out,))]

use = Rule(attrs=A, analyze=_use)
"""


@pytest.fixture
def path(workspace: Workspace) -> str:
    """A PATH that leads to a tool outside of the workspace."""
    home = workspace.root.parent / "tool"
    for name, text in (("bin/t", "echo made"), ("locate-t", f"echo {home}")):
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)
    return f"{home}:/usr/bin:/bin"


def build(workspace: Workspace, path: str, sha256: str) -> tuple[int, str]:
    """Build with the tool pinned; the status and what was said."""
    workspace.write("tools/use.py", RULES)
    workspace.write(
        "app/BUILD", f'load("//tools:use.py", "use")\nuse(name = "u", sha256 = "{sha256}")'
    )
    outcome = workspace.run("build", "//app:u", env={"PATH": path})
    return outcome.status, outcome.err


def test_a_tool_with_another_digest_is_refused_and_the_digest_is_told(
    workspace: Workspace, path: str
) -> None:
    status, said = build(workspace, path, "0" * 64)

    assert status == 1
    assert "error[OB0406]: `t` is not the one that is pinned" in said
    found = said.partition("have the digest ")[2].split()[0]
    assert build(workspace, path, found)[0] == 0
    Path(path.partition(":")[0], "bin/t").write_text("#!/bin/sh\necho another\n")
    assert "OB0406" in build(workspace, path, found)[1]


def test_a_tool_that_is_missing_is_told_without_a_backtrace(
    workspace: Workspace, path: str
) -> None:
    locate = Path(path.partition(":")[0], "locate-t")
    locate.write_text("#!/bin/sh\nprintf 'no such toolchain\n\n   0: main\n' >&2; exit 1\n")

    status, said = build(workspace, path, "0" * 64)

    assert status == 1
    assert "= note: `locate-t` fails: no such toolchain\n  = help: install it" in said
