"""Fetching: what is in the store is not fetched again, and nothing unexpected comes out."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.toolchain.conftest import Program, pin

FETCHERS = ("fetch_wheel.py", "fetch_deb.py")


@pytest.mark.parametrize("fetcher", FETCHERS)
def test_a_file_in_the_store_needs_no_network(
    tmp_path: Path, program: Program, stored: Callable[[bytes], str], fetcher: str
) -> None:
    lock = pin(tmp_path / "a.lock", "thing", "1", stored(b"content"))

    ended = program(fetcher, "--lock", lock, "--package", "thing", "--store", "store",
                    "--output", "out/thing")  # fmt: skip

    assert (ended.status, ended.stderr) == (0, "")
    assert (tmp_path / "out/thing").read_bytes() == b"content"


@pytest.mark.parametrize("fetcher", FETCHERS)
def test_a_package_that_the_lock_file_does_not_name_is_wrong_input(
    tmp_path: Path, program: Program, fetcher: str
) -> None:
    lock = pin(tmp_path / "a.lock", "thing", "1", "0" * 64)

    ended = program(fetcher, "--lock", lock, "--package", "other", "--store", "store",
                    "--output", "out")  # fmt: skip

    assert ended.status == 2
    assert ended.stderr == f"error: `{lock}` does not name package `other`\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[package", "is no lock file"),
        ('[[package]]\nname = "thing"\nversion = "1"\n', "without a name, a version"),
        ('[[package]]\nname = "thing"\nversion = "1"\nsha256 = "AB"\n', "lower-case SHA-256"),
        ("[[package]]\nname = 1\n", "without a name"),
    ],
)
def test_a_broken_lock_file_is_wrong_input(
    tmp_path: Path, program: Program, text: str, message: str
) -> None:
    (tmp_path / "a.lock").write_text(text, encoding="utf-8")

    ended = program("fetch_deb.py", "--lock", "a.lock", "--package", "thing", "--store", "store",
                    "--output", "out")  # fmt: skip

    assert ended.status == 2
    assert message in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_in_the_store_is_never_delivered(
    tmp_path: Path, program: Program, stored: Callable[[bytes], str]
) -> None:
    digest = stored(b"content")
    (tmp_path / "store/sha256" / digest).write_bytes(b"contend")
    lock = pin(tmp_path / "a.lock", "thing", "1", digest)

    ended = program("fetch_deb.py", "--lock", lock, "--package", "thing", "--store", "store",
                    "--output", "out", env={"PATH": "/nothing"})  # fmt: skip

    assert ended.status == 1
    assert "fetching `thing` needs apt, which this machine does not have" in ended.stderr
    assert f"put it at `{tmp_path}/store/sha256/{digest}`" in ended.stderr
    assert not (tmp_path / "out").exists()


def fake_apt(folder: Path, content: str) -> dict[str, str]:
    """An environment whose apt has one package, of one version, with this content."""
    folder.mkdir()
    (folder / "apt-cache").write_text(
        "#!/bin/sh\nprintf 'Package: thing\\nVersion: 1.0\\nSHA256: 12ab\\n'\n", encoding="utf-8"
    )
    (folder / "apt-get").write_text(
        f"#!/bin/sh\nprintf '%s' '{content}' > thing_1.0_amd64.deb\n", encoding="utf-8"
    )
    for one in folder.iterdir():
        one.chmod(one.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_package_with_another_digest_is_refused_and_not_kept(
    tmp_path: Path, program: Program
) -> None:
    lock = pin(tmp_path / "a.lock", "thing", "1.0", "0" * 64)

    ended = program("fetch_deb.py", "--lock", lock, "--package", "thing", "--store", "store",
                    "--output", "out", env=fake_apt(tmp_path / "bin", "evil"))  # fmt: skip

    assert ended.status == 1
    assert "but the lock file says 0000" in ended.stderr
    assert not (tmp_path / "out").exists()
    assert not any((tmp_path / "store/sha256").iterdir())
    assert not any((tmp_path / "store/scratch").iterdir())


def test_a_version_that_no_source_has_names_those_that_exist(
    tmp_path: Path, program: Program
) -> None:
    lock = pin(tmp_path / "a.lock", "thing", "2.0", "0" * 64)

    ended = program("fetch_deb.py", "--lock", lock, "--package", "thing", "--store", "store",
                    "--output", "out", env=fake_apt(tmp_path / "bin", "x"))  # fmt: skip

    assert ended.status == 1
    assert "no source of this machine's apt has `thing` version `2.0`" in ended.stderr
    assert "= help: they have `1.0` with SHA-256 12ab; pin one of these" in ended.stderr
