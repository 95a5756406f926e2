"""The text of build.ninja."""

import subprocess
from pathlib import Path

from occlum_build.execution.ninja_file import Edge, ninja_text
from occlum_build.execution.ninja_process import ninja_program

EDGES = (
    Edge(("out/a b", "out/c:d"), "k/1.stamp", ("out/x$y", "out/x$y"), "k/1.json", "Shell //a:b"),
    Edge(("out/x$y",), "k/2.stamp", (), "k/2.json", "Shell //a:c"),
)


def test_edges_depend_on_stamps_and_on_what_other_actions_make() -> None:
    assert ninja_text(EDGES, "out/.ninja", "/p/python", "/r/it's").splitlines()[2:] == [
        "builddir = out/.ninja",
        "",
        "rule action",
        "  command = '/p/python' -I -S -B '/r/it'\\''s' $spec",
        "  description = $spec",
        "  restat = 1",
        "",
        "# Shell //a:b",
        "build out/a$ b out/c$:d: action k/1.stamp | out/x$$y",
        "  spec = k/1.json",
        "",
        "# Shell //a:c",
        "build out/x$$y: action k/2.stamp",
        "  spec = k/2.json",
    ]


def test_ninja_reads_back_the_names_that_were_meant(tmp_path: Path) -> None:
    (tmp_path / "build.ninja").write_text(ninja_text(EDGES, "b", "python", "runner"))

    said = subprocess.run(
        [ninja_program(), "-t", "targets", "all"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert {line.rpartition(":")[0] for line in said.stdout.splitlines()} == {
        "out/a b",
        "out/c:d",
        "out/x$y",
    }
