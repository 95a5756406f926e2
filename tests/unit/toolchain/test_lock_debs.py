"""Locking: real apt resolves against an archive on disk, and what it says is written down."""

import hashlib
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.unit.toolchain.conftest import Program

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="needs apt")

PACKAGES = {
    "shell": "Depends: base (>= 1.0), mta | editor\nPre-Depends: libc\nRecommends: manual",
    "base": "Depends: shell",
    "libc": "",
    "nano": "Provides: editor\nDepends: libc",
    "manual": "",
    "other": "Depends: nothing-has-this",
}


@pytest.fixture
def archive(tmp_path: Path) -> dict[str, str]:
    """An environment whose apt has one source: an archive of small packages, on disk."""
    place = tmp_path / "archive"
    place.mkdir()
    stanzas = []
    for name, relations in PACKAGES.items():
        control = (
            f"Package: {name}\nVersion: 1:2.0-1\nArchitecture: amd64\nMaintainer: n <n@e.org>\n"
            f"Description: one\n{relations}".rstrip()
        )
        folder = tmp_path / name
        (folder / "DEBIAN").mkdir(parents=True)
        (folder / "DEBIAN/control").write_text(control + "\n", encoding="utf-8")
        file = place / f"{name}.deb"
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", folder, file],
            check=True,
            capture_output=True,
        )
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        stanzas.append(
            f"{control}\nFilename: ./{name}.deb\nSize: {file.stat().st_size}\nSHA256: {digest}\n"
        )
    (place / "Packages").write_text("\n".join(stanzas), encoding="utf-8")
    (tmp_path / "sources.list").write_text(
        f"deb [trusted=yes] file:{place} ./\n", encoding="utf-8"
    )
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n',
        encoding="utf-8",
    )
    return {"PATH": os.environ["PATH"], "APT_CONFIG": f"{tmp_path}/apt.conf"}


def test_a_package_is_locked_with_all_that_it_depends_on_and_no_more(
    tmp_path: Path, program: Program, archive: dict[str, str]
) -> None:
    ended = program("lock_debs.py", "--package", "shell", "--output", "a.lock",
                    "--target", "//app:lock", "--store", "store", env=archive)  # fmt: skip

    assert ended.status == 0, ended.stderr
    text = (tmp_path / "a.lock").read_text(encoding="utf-8")
    assert text.startswith(
        "# Debian packages with all that they depend on.\n"
        "# Written by `occlum-build run //app:lock`; do not edit.\n"
    )
    pins = {one["name"]: one for one in tomllib.loads(text)["package"]}
    assert {name: pin["depends"] for name, pin in pins.items()} == {
        "base": ["shell"],
        "libc": [],
        "nano": ["libc"],
        "shell": ["base", "libc", "nano"],
    }
    assert pins["shell"]["version"] == "1:2.0-1"
    content = (tmp_path / "archive/shell.deb").read_bytes()
    assert pins["shell"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_what_is_locked_can_be_fetched_by_name_with_its_dependencies(
    tmp_path: Path, program: Program, archive: dict[str, str]
) -> None:
    program("lock_debs.py", "--package", "shell", "--output", "a.lock",
            "--target", "//app:lock", "--store", "store", env=archive)  # fmt: skip

    ended = program("fetch_deb.py", "--lock", "a.lock", "--package", "nano",
                    "--store", "store", "--directory", "debs", env=archive)  # fmt: skip

    assert ended.status == 0, ended.stderr
    assert sorted(one.name for one in (tmp_path / "debs").iterdir()) == ["libc.deb", "nano.deb"]
    for name in ("libc.deb", "nano.deb"):
        fetched = (tmp_path / "debs" / name).read_bytes()
        assert fetched == (tmp_path / "archive" / name).read_bytes()


@pytest.mark.parametrize("name", ["unknown", "other"])
def test_what_apt_cannot_resolve_leaves_the_lock_file_as_it_was(
    tmp_path: Path, program: Program, archive: dict[str, str], name: str
) -> None:
    (tmp_path / "a.lock").write_text("old", encoding="utf-8")

    ended = program("lock_debs.py", "--package", name, "--output", "a.lock",
                    "--target", "//app:lock", "--store", "store", env=archive)  # fmt: skip

    assert ended.status == 2
    assert f"error: apt cannot resolve {name}: " in ended.stderr
    assert (tmp_path / "a.lock").read_text(encoding="utf-8") == "old"


def test_a_dependency_that_the_lock_file_lacks_says_how_to_mend_it(
    tmp_path: Path, program: Program
) -> None:
    (tmp_path / "a.lock").write_text(
        f'[[package]]\nname = "shell"\nversion = "1"\nsha256 = "{"0" * 64}"\ndepends = ["libc"]\n',
        encoding="utf-8",
    )

    ended = program("fetch_deb.py", "--lock", "a.lock", "--package", "shell",
                    "--store", "store", "--directory", "debs")  # fmt: skip

    assert ended.status == 2
    assert "`a.lock` does not name package `libc`" in ended.stderr
    assert "= help: resolve the lock file anew: its first lines say how" in ended.stderr
    assert not (tmp_path / "debs").exists()
