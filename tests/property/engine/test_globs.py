"""Globs: the same files in the same order, never from outside the package."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.loading.glob import BadGlobError, PackageFiles, compiled

NAME = st.text("ab.", min_size=1, max_size=3).filter(lambda text: set(text) != {"."})
FILE = st.lists(NAME, min_size=1, max_size=3).map("/".join)
PART = st.text("ab.*?", min_size=1, max_size=3).filter(
    lambda text: set(text) != {"."} and "**" not in text
)
PATTERN = st.lists(PART | st.just("**"), min_size=1, max_size=3).map("/".join)


@given(FILE)
def test_a_file_matches_its_own_name(file: str) -> None:
    assert compiled(file).fullmatch(file)


@given(FILE)
def test_two_stars_match_every_file_without_a_hidden_part(file: str) -> None:
    is_hidden = any(part.startswith(".") for part in file.split("/"))

    assert bool(compiled("**").fullmatch(file)) != is_hidden
    assert bool(compiled("**/*").fullmatch(file)) != is_hidden


@given(PATTERN, FILE)
def test_a_pattern_matches_what_a_walk_over_its_parts_matches(pattern: str, file: str) -> None:
    assert bool(compiled(pattern).fullmatch(file)) == _matches(pattern.split("/"), file.split("/"))


def _matches(pattern: list[str], parts: list[str]) -> bool:
    """The definition, written a second time: part by part."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(parts) and not any(one.startswith(".") for one in parts)
        skipped = [_matches(pattern[1:], parts)]
        if parts and not parts[0].startswith("."):
            skipped.append(_matches(pattern, parts[1:]))
        return any(skipped)
    if not parts:
        return False
    if parts[0].startswith(".") and not pattern[0].startswith("."):
        return False
    text = re.escape(pattern[0]).replace(r"\*", ".*").replace(r"\?", ".")
    return bool(re.fullmatch(text, parts[0])) and _matches(pattern[1:], parts[1:])


@pytest.mark.parametrize("pattern", ["/a", "../a", "a/../b", "./a", "a//b", "", "a**", "**b/c"])
def test_a_pattern_that_could_leave_the_package_is_refused(pattern: str) -> None:
    with pytest.raises(BadGlobError):
        compiled(pattern)


def test_files_come_sorted_and_each_once(tmp_path: Path) -> None:
    for name in ("b.c", "a.c", "d/c.c", "d.c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = PackageFiles(tmp_path, is_root=False).glob(["**/*.c", "*.c"], ["d.c"])

    assert found == ["a.c", "b.c", "d/c.c"]


def test_other_packages_and_workspaces_and_linked_directories_are_left_out(
    tmp_path: Path,
) -> None:
    for name in ("in/x", "package/BUILD", "package/x", "space/WORKSPACE.occlum", "space/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "file").symlink_to("in/x")

    assert PackageFiles(tmp_path, is_root=False).glob(["**"]) == ["file", "in/x"]
    assert PackageFiles(tmp_path, is_root=False).glob(["package/x", "link/x"]) == []


def test_the_tools_own_directories_are_no_sources(tmp_path: Path) -> None:
    for name in ("out/x", ".occlum-build/x", "a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert PackageFiles(tmp_path, is_root=True).glob(["**", ".occlum-build/*"]) == ["a"]


def test_only_directories_that_can_match_are_listed(tmp_path: Path) -> None:
    for name in ("src/a", "target/deep/b"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    listed: list[str] = []

    def note(path: Path) -> None:
        listed.append(os.path.relpath(path, tmp_path))

    assert PackageFiles(tmp_path, is_root=False, note=note).glob(["src/**"]) == ["src/a"]
    assert listed == [".", "src"]
