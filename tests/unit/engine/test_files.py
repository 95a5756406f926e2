"""Files: nobody ever sees half of one."""

import os
from pathlib import Path

import pytest

from occlum_build.execution.files import (
    make_parents,
    remove,
    tree_digest,
    write_atomically,
    write_if_different,
)


def test_writing_what_is_there_does_not_touch_the_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomically(str(path), b"x")
    os.utime(path, (1, 1))

    assert not write_if_different(str(path), b"x")
    assert path.stat().st_mtime == 1
    assert write_if_different(str(path), b"y")


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(str(path), b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_tree_digest_sees_names_contents_links_and_execute_bits(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    (tree / "d").mkdir(parents=True)
    (tree / "d/f").write_text("x")
    (tree / "l").symlink_to("d/f")
    seen = {tree_digest(str(tree))}

    (tree / "d/f").chmod(0o755)
    seen.add(tree_digest(str(tree)))
    (tree / "d/f").write_text("y")
    seen.add(tree_digest(str(tree)))
    (tree / "l").unlink()
    (tree / "l").symlink_to("d")
    seen.add(tree_digest(str(tree)))
    (tree / "e").mkdir()
    seen.add(tree_digest(str(tree)))

    assert len(seen) == 5


def test_a_tree_digest_does_not_see_times_and_other_mode_bits(tmp_path: Path) -> None:
    tree = tmp_path / "t"
    tree.mkdir()
    (tree / "f").write_text("x")
    before = tree_digest(str(tree))
    (tree / "f").chmod(0o600)
    os.utime(tree / "f", (1, 1))

    assert tree_digest(str(tree)) == before


def test_removing_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/f").touch()
    (tmp_path / "t").mkdir()
    (tmp_path / "t/link").symlink_to("../kept")

    remove(str(tmp_path / "t"))
    remove(str(tmp_path / "nothing"))

    assert (tmp_path / "kept/f").exists()
    assert not (tmp_path / "t").exists()


def test_a_file_in_the_way_of_a_directory_goes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("file")

    make_parents(str(tmp_path / "a/b/c"))

    assert (tmp_path / "a/b").is_dir()
