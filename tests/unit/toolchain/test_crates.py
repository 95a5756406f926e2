"""Crates: the lock file alone decides which, and what is fetched is what is unpacked."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.toolchain.conftest import TOOLCHAIN, Program

REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def crate(members: dict[str, bytes], link: str = "") -> bytes:
    """A `.crate` file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    return buffer.getvalue()


def lock_of(path: Path, *crates: tuple[str, str, str], source: str = REGISTRY) -> Path:
    """A Cargo.lock with a package of the workspace and these crates."""
    entries = ['version = 4\n\n[[package]]\nname = "mine"\nversion = "0.1.0"\n']
    entries += [
        f'\n[[package]]\nname = "{name}"\nversion = "{version}"\n'
        f'source = "{source}"\nchecksum = "{digest}"\n'
        for name, version, digest in crates
    ]
    path.write_text("".join(entries), encoding="utf-8")
    return path


def test_crates_in_the_store_need_neither_network_nor_cargo(
    tmp_path: Path, program: Program, stored: Callable[[bytes], str]
) -> None:
    first, second = stored(b"first"), stored(b"second")
    lock = lock_of(tmp_path / "Cargo.lock", ("b", "2.0.0", second), ("a", "1.0.0", first))

    ended = program("fetch_crates.py", "--cargo", "/nowhere/cargo", "--lock", lock,
                    "--store", "store", "--output", "crates.tar")  # fmt: skip

    assert ended.status == 0, ended.stderr
    with tarfile.open(tmp_path / "crates.tar") as archive:
        members = archive.getmembers()
    assert [one.name for one in members] == ["a-1.0.0.crate", "b-2.0.0.crate"]
    assert {(one.mtime, one.uid, one.gid, one.uname) for one in members} == {(0, 0, 0, "")}


def test_a_lock_file_without_crates_gives_an_empty_archive(
    tmp_path: Path, program: Program
) -> None:
    ended = program("fetch_crates.py", "--cargo", "/nowhere/cargo",
                    "--lock", lock_of(tmp_path / "Cargo.lock"),
                    "--store", "store", "--output", "crates.tar")  # fmt: skip

    assert ended.status == 0
    with tarfile.open(tmp_path / "crates.tar") as archive:
        assert archive.getnames() == []


def test_a_crate_from_a_git_repository_is_refused(tmp_path: Path, program: Program) -> None:
    source = "git+https://example.org/a.git#0123456789"
    lock = lock_of(tmp_path / "Cargo.lock", ("a", "1.0.0", ""), source=source)

    ended = program("fetch_crates.py", "--cargo", "/nowhere/cargo", "--lock", lock,
                    "--store", "store", "--output", "crates.tar")  # fmt: skip

    assert ended.status == 2
    assert f"takes crate `a` from `{source}`" in ended.stderr


def unpack(program: Program, tmp_path: Path, content: bytes) -> tuple[int, str]:
    """Unpack an archive of one crate `a-1.0.0` through `vendor`."""
    with tarfile.open(tmp_path / "crates.tar", "w") as archive:
        member = tarfile.TarInfo("a-1.0.0.crate")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    script = tmp_path / "unpack.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(TOOLCHAIN)!r})\n"
        "import vendor; from store import Store; from pathlib import Path\n"
        "from program import start\n"
        "start(lambda: print(vendor.unpacked(Store.at('store'), Path('crates.tar'))) or 0)\n",
        encoding="utf-8",
    )
    ended = program(str(script))
    return ended.status, ended.stdout.strip() or ended.stderr


def test_an_unpacked_crate_keeps_the_digest_of_its_archive(
    tmp_path: Path, program: Program
) -> None:
    content = crate({"a-1.0.0/src/lib.rs": b"// hi\n"})

    status, folder = unpack(program, tmp_path, content)

    assert status == 0
    assert (Path(folder) / "a-1.0.0/src/lib.rs").read_bytes() == b"// hi\n"
    checksum = json.loads((Path(folder) / "a-1.0.0/.cargo-checksum.json").read_text())
    assert checksum["package"] == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "content",
    [
        crate({"../evil": b""}),
        crate({"/etc/evil": b""}),
        crate({"a-1.0.0/../../evil": b""}),
        crate({"b-1.0.0/src/lib.rs": b""}),
        crate({"a-1.0.0/Cargo.toml": b""}, link="a-1.0.0/link"),
    ],
    ids=["parent", "absolute", "inner parent", "other crate", "link"],
)
def test_a_crate_cannot_write_outside_itself(
    tmp_path: Path, program: Program, content: bytes
) -> None:
    status, message = unpack(program, tmp_path, content)

    assert status == 1
    assert "crate `a-1.0.0` has" in message
    assert not (tmp_path / "store/crates").exists() or not any(
        (tmp_path / "store/crates").iterdir()
    )
