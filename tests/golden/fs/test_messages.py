"""The text of every diagnostic of `occlum_build.fs`, as a person sees it."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.fs.__main__ import main
from occlum_build.fs.archive import write_archive
from occlum_build.fs.content import BytesContent
from occlum_build.fs.image import pack
from occlum_build.fs.problem import Code
from occlum_build.fs.tree import Tree, regular_file
from occlum_build.output_file import UNWRITABLE
from tests.support.python_tree import INTERPRETER, python_tree
from tests.support.shared_object import program

HERE = Path(__file__).parent
ROOTFS = ["rootfs", "--spec", "spec.json", "--output", "out"]
UNPACK = ["unpack-deb", "a.deb", "--output", "out"]
PACK_TAR = ["erofs", "--tree", "tree.tar", "--output", "out"]
BYTECODE = ["bytecode", "--interpreter", "/usr/bin/python3", "--output", "out"]
PACK_DIRECTORY = ["erofs", "--tree", "tree", "--output", "out"]


def specification(**parts: Any) -> None:
    Path("spec.json").write_text(json.dumps({"version": 1, "label": "//app:rootfs"} | parts))


def layer(name: str, **files: bytes) -> dict[str, Any]:
    tree = Tree(
        (path.replace("__", "/").encode(), regular_file(0o644, BytesContent(data), "test"))
        for path, data in files.items()
    )
    with Path(f"{name}.tar").open("wb") as file:
        write_archive(tree, file)
    return {"tar": f"{name}.tar", "label": f"//deb:{name}"}


def tar_file(path: str, *names: str, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    Path(path).write_bytes(buffer.getvalue())
    return buffer.getvalue()


def package(data: bytes, name: str = "data.tar") -> None:
    control = tar_file("c", "./control", data=b"Package: a\nVersion: 1\nArchitecture: all\n")
    members = {"debian-binary": b"2.0\n", "control.tar": control, name: data}
    Path("a.deb").write_bytes(
        b"!<arch>\n"
        + b"".join(f"{n:<48}{len(b):<10}`\n".encode() + b for n, b in members.items()),
    )


def image() -> Path:
    pack(Tree([(b"x", regular_file(0o644, BytesContent(b"x" * 9000), "test"))]), Path("image"))
    return Path("image")


def bad_path() -> list[str]:
    tar_file("tree.tar", "../up")
    return PACK_TAR


def duplicate_path() -> list[str]:
    tar_file("tree.tar", "a", "./a")
    return PACK_TAR


def file_below_a_file() -> list[str]:
    tar_file("tree.tar", "a", "a/b")
    return PACK_TAR


def bad_node() -> list[str]:
    specification(symlinks=[{"path": "/x", "target": ""}])
    return ROOTFS


def escaping_symlink() -> list[str]:
    specification(symlinks=[{"path": "/bin/x", "target": "../../etc/passwd"}])
    return ROOTFS


def broken_archive() -> list[str]:
    whole = tar_file("tree.tar", "a", data=b"x" * 900)
    Path("tree.tar").write_bytes(whole[:700])
    return PACK_TAR


def archive_in_another_form() -> list[str]:
    tar_file("tree.tar", "b", "a")
    return PACK_TAR


def broken_package() -> list[str]:
    Path("a.deb").write_bytes(b"PK\x03\x04")
    return UNPACK


def package_compressed_with_zstd() -> list[str]:
    package(b"", "data.tar.zst")
    return UNPACK


def other_package() -> list[str]:
    package(tar_file("t", "./a"))
    return [*UNPACK, "--version", "2"]


def conflict() -> list[str]:
    layers = [layer("one", etc__hosts=b"one"), layer("two", etc__hosts=b"two")]
    specification(layers=layers)
    return ROOTFS


def broken_elf() -> list[str]:
    Path("app").write_bytes(program("libx.so")[:100])
    specification(files=[{"path": "/bin/app", "source": "app"}], closure=True)
    return ROOTFS


def missing_library() -> list[str]:
    Path("app").write_bytes(program("libgone.so.1", runpath="$ORIGIN/../lib"))
    specification(files=[{"path": "/bin/app", "source": "app", "mode": "0755"}], closure=True)
    return ROOTFS


def bad_specification() -> list[str]:
    specification(files=[{"path": "/x", "source": "x", "mdoe": "0644"}])
    return ROOTFS


def missing_source() -> list[str]:
    specification(files=[{"path": "/bin/app", "source": "out/app"}])
    return ROOTFS


def broken_image() -> list[str]:
    image().write_bytes(bytes(8192))
    return ["list", "image"]


def altered_image() -> list[str]:
    data = bytearray(image().read_bytes())
    data[5000] ^= 1
    Path("image").write_bytes(data)
    return ["verify", "image"]


def other_root_hash() -> list[str]:
    image()
    return ["verify", "image", "--root-hash", "00" * 32]


def unwritable() -> list[str]:
    Path("tree").mkdir()
    return [*PACK_DIRECTORY[:-1], "no/such/directory/out"]


def too_large() -> list[str]:
    Path("tree").mkdir()
    for number in range(3):
        with Path(f"tree/{number}").open("wb") as file:
            file.truncate(6 << 40)
    return PACK_DIRECTORY


def unused_pattern() -> list[str]:
    specification(layers=[layer("one", usr__lib__a=b"") | {"include": ["/usr/lbi/a"]}])
    return ROOTFS


def no_interpreter() -> list[str]:
    layer("python", usr__local__bin__python3=b"")
    return [*BYTECODE, "--python", "python.tar", "--tree", "python.tar"]


def not_compiled() -> list[str]:
    with Path("python.tar").open("wb") as file:
        write_archive(python_tree(), file)
    files = {b"srv/a.py": b"x = 1\ny = 2 +\n", b"srv/b.py": b"\nbreak\n", b"srv/c.py": b"x = 1\n"}
    tree = Tree(
        (path, regular_file(0o644, BytesContent(data), "t")) for path, data in files.items()
    )
    with Path("app.tar").open("wb") as file:
        write_archive(tree, file)
    interpreter = ["--interpreter", f"/{INTERPRETER.decode()}"]
    return [*BYTECODE, *interpreter, "--python", "python.tar", "--tree", "app.tar"]


CASES: dict[Callable[[], list[str]], tuple[str, int]] = {
    bad_path: (Code.BAD_PATH, 2),
    duplicate_path: (Code.DUPLICATE_PATH, 2),
    file_below_a_file: (Code.DUPLICATE_PATH, 2),
    bad_node: (Code.BAD_NODE, 2),
    escaping_symlink: (Code.ESCAPING_SYMLINK, 2),
    broken_archive: (Code.BAD_ARCHIVE, 2),
    archive_in_another_form: (Code.BAD_ARCHIVE, 2),
    broken_package: (Code.BAD_PACKAGE, 2),
    package_compressed_with_zstd: (Code.BAD_PACKAGE, 2),
    other_package: (Code.OTHER_PACKAGE, 1),
    conflict: (Code.CONFLICT, 2),
    broken_elf: (Code.BAD_ELF, 2),
    missing_library: (Code.MISSING_LIBRARY, 2),
    bad_specification: (Code.BAD_SPECIFICATION, 2),
    missing_source: (Code.UNREADABLE, 2),
    broken_image: (Code.BAD_IMAGE, 2),
    altered_image: (Code.ALTERED_IMAGE, 1),
    other_root_hash: (Code.ALTERED_IMAGE, 1),
    unwritable: (UNWRITABLE, 1),
    too_large: (Code.TOO_LARGE, 2),
    unused_pattern: (Code.UNUSED_PATTERN, 2),
    no_interpreter: (Code.NO_INTERPRETER, 2),
    not_compiled: (Code.NOT_COMPILED, 2),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_text_is_what_was_agreed(
    case: Callable[[], list[str]],
    golden: Callable[[Path, str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, status = CASES[case]
    try:
        words = case()
    except OSError as failure:
        pytest.skip(f"this file system cannot hold the case: {failure}")
    before = sorted(Path().iterdir())

    assert main(words) == status

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error[{code}]: ")
    assert sorted(Path().iterdir()) == before
    golden(HERE / f"{case.__name__}.txt", said.err)


def test_every_code_has_a_case() -> None:
    assert {code for code, _ in CASES.values()} == {*Code, UNWRITABLE}
