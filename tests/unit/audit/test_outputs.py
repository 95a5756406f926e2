"""Outputs of two builds: bytes, modes, links and presence all count."""

from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.audit.outputs import compare_outputs


def made(root: Path) -> Path:
    (root / "app").mkdir(parents=True)
    (root / "app/out").write_text("x")
    (root / "app/link").symlink_to("out")
    return root


def test_equal_outputs_do_not_differ(tmp_path: Path) -> None:
    assert compare_outputs(made(tmp_path / "a"), made(tmp_path / "b")) == (3, [])


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda root: (root / "app/out").write_text("y"), "app/out"),
        (lambda root: (root / "app/out").chmod(0o700), "app/out"),
        (lambda root: (root / "app/new").touch(), "app/new"),
        (lambda root: (root / "app/link").unlink(), "app/link"),
        (lambda root: ((root / "app/link").unlink(), (root / "app/link").symlink_to("x")),
         "app/link"),
        (lambda root: (root / "empty").mkdir(), "empty"),
    ],
)  # fmt: skip
def test_whatever_differs_is_named(
    tmp_path: Path, change: Callable[[Path], object], path: str
) -> None:
    first, second = made(tmp_path / "a"), made(tmp_path / "b")
    change(second)

    _, found = compare_outputs(first, second)

    assert [one.path for one in found] == [path]
