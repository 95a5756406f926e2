"""The list of programs beside an image."""

import json
from pathlib import Path

from occlum_build.config.programs import read_programs
from occlum_build.fs.content import BytesContent
from occlum_build.fs.image import pack
from occlum_build.fs.programs import programs_path, render_programs
from occlum_build.fs.tree import Tree, directory, regular_file, symlink

NOTHING = BytesContent(b"")


def tree() -> Tree:
    return Tree(
        [
            (b"usr/bin/tool", regular_file(0o755, NOTHING, "test")),
            (b"usr/bin/mine", regular_file(0o100, NOTHING, "test")),
            (b"usr/bin/text", regular_file(0o644, NOTHING, "test")),
            (b"usr/bin/\xff", regular_file(0o755, NOTHING, "test")),
            (b"bin", symlink(b"usr/bin", "test")),
            (b"t", symlink(b"bin/u", "test")),
            (b"usr/bin/u", symlink(b"tool", "test")),
            (b"top", symlink(b"/", "test")),
            (b"lost", symlink(b"nowhere", "test")),
            (b"round", symlink(b"round", "test")),
            (b"tmp", directory(0o777, "test")),
        ]
    )


def test_it_names_what_may_be_executed_and_where_links_end() -> None:
    document = json.loads(render_programs(tree()))

    assert document == {
        "version": 1,
        "programs": ["/usr/bin/mine", "/usr/bin/tool", "/usr/bin/\udcff"],
        "links": {
            "/bin": "/usr/bin",
            "/t": "/usr/bin/tool",
            "/usr/bin/u": "/usr/bin/tool",
            "/top": "/",
        },
    }


def test_it_lies_beside_the_image_and_the_configuration_reads_it(tmp_path: Path) -> None:
    pack(tree(), tmp_path / "root.erofs")

    listed = read_programs(programs_path(tmp_path / "root.erofs").read_bytes(), "list")

    assert listed.resolved("/t") == ("/usr/bin/tool", True)
    assert "/usr/bin/tool" in listed.paths
