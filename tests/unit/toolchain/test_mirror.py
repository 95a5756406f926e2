"""The copy that cargo works on: written by content, so that modification times can be believed."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.unit.toolchain.conftest import TOOLCHAIN

sys.path.insert(0, str(TOOLCHAIN))
import mirror  # a program's module: it is found by the line above


def refresh(tmp_path: Path, contents: Mapping[str, str]) -> dict[str, int]:
    """Refresh the copy from files with these contents; gives their times in the copy."""
    sources = {}
    for name, content in contents.items():
        path = tmp_path / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        os.utime(path, (1, 1))
        sources[name] = path
    copy = tmp_path / "copy"
    mirror.refresh(copy, sources, products=tmp_path / "target")
    found = [one for one in copy.rglob("*") if one.is_file()]
    assert {one.relative_to(copy).as_posix(): one.read_text() for one in found} == contents
    return {one.relative_to(copy).as_posix(): one.stat().st_mtime_ns for one in found}


def test_an_unchanged_file_keeps_its_time(tmp_path: Path) -> None:
    first = refresh(tmp_path, {"a": "1", "b": "1"})

    second = refresh(tmp_path, {"a": "1", "b": "2"})

    assert second["a"] == first["a"]
    assert second["b"] > first["b"]


def test_a_file_that_is_gone_from_the_sources_is_gone_from_the_copy(tmp_path: Path) -> None:
    refresh(tmp_path, {"a/b/c": "1", "d": "1"})

    refresh(tmp_path, {"d": "1"})

    assert not (tmp_path / "copy/a").exists()


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b", "a")])
def test_a_file_and_a_directory_can_change_places(tmp_path: Path, first: str, second: str) -> None:
    refresh(tmp_path, {first: "1"})
    (tmp_path / "from" / first).unlink()
    if first != "a":
        (tmp_path / "from/a").rmdir()

    refresh(tmp_path, {second: "1"})


def test_products_from_the_future_are_dropped(tmp_path: Path) -> None:
    refresh(tmp_path, {"a": "1"})
    mirror.mark_used(tmp_path / "target")
    tomorrow = time.time() + 86400
    os.utime(tmp_path / "target/.last-use", (tomorrow, tomorrow))

    refresh(tmp_path, {"a": "1"})

    assert not (tmp_path / "target").exists()


def test_products_of_the_past_are_kept(tmp_path: Path) -> None:
    mirror.mark_used(tmp_path / "target")

    refresh(tmp_path, {"a": "1"})

    assert (tmp_path / "target").exists()
