"""The promise: two people who share nothing but the sources and a key build the same bytes."""

import filecmp
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from occlum_build.audit.build import Request, build, machine_downloads
from occlum_build.audit.circumstances import twins
from occlum_build.audit.source import Source
from tests.support.checkout import ROOT, make_key

EXAMPLES = (
    "compiler",
    "custom_rule",
    "hello_c",
    "hello_cpp",
    "hello_glibc",
    "hello_go",
    "hello_rust",
    "python",
    "shell",
    "tools",
)
PACKAGED = ("compiler", "debian", "python", "shell", "tools")
"""Where what Debian compiled is packed."""
LEFT_OUT = {
    "debian": "only names packages",
    "golden_measurement": "its measurement is compared with one that is kept, in every run",
}
"""Examples that need no second look."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The outputs of all examples, built as `audit --twice` builds them."""
    base = tmp_path_factory.mktemp("audit")
    key = base / "key.pem"
    make_key(key)
    labels = tuple(f"//examples/{one}:enclave" for one in EXAMPLES)
    request = Request(labels, "default", {"development": key})
    source = Source.find(str(ROOT), ROOT)
    first, second = (
        build(source, ROOT, request, one, machine_downloads(ROOT)) for one in twins(base, 4)
    )
    yield first, second
    shutil.rmtree(base, ignore_errors=True)


def entries(root: Path) -> dict[str, int]:
    """Each entry below a directory, with its mode."""
    found = sorted(root.rglob("*"))
    return {one.relative_to(root).as_posix(): stat.S_IMODE(one.lstat().st_mode) for one in found}


def test_each_example_is_built_twice_or_left_out_for_a_reason() -> None:
    found = {one.parent.name for one in (ROOT / "examples").glob("*/BUILD")}

    assert found == {*EXAMPLES, *LEFT_OUT}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_file_of_a_bundle_is_the_same(outputs: tuple[Path, Path], example: str) -> None:
    first, second = (one / f"examples/{example}/enclave.bundle" for one in outputs)

    assert entries(first) == entries(second)
    files = [name for name in entries(first) if (first / name).is_file()]
    assert {"manifest.json", "enclave.sgxs", "enclave.sig", "images/root.erofs"} <= set(files)
    assert filecmp.cmpfiles(first, second, files, shallow=False)[1:] == ([], [])


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_step_on_the_way_is_the_same(outputs: tuple[Path, Path], example: str) -> None:
    first, second = (one / f"examples/{example}" for one in outputs)

    modes = [
        {name: mode for name, mode in entries(root).items() if (root / name).is_file()}
        for root in (first, second)
    ]
    assert modes[0] == modes[1]
    assert filecmp.cmpfiles(first, second, list(modes[0]), shallow=False)[1:] == ([], [])


def test_the_libos_and_the_runner_are_the_same(outputs: tuple[Path, Path]) -> None:
    first, second = (one / "libos_src" for one in outputs)

    for name in ("libos.elf", "occlum_run"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_no_output_names_a_place_of_the_machine(outputs: tuple[Path, Path]) -> None:
    first, second = outputs
    for root, other in ((first, None), (second, first)):
        base = next(one.parent for one in root.parents if one.name == "source")
        for file in root.rglob("*"):
            if file.is_symlink() or not file.is_file() or file.suffix == ".whl":
                continue
            inside = file.relative_to(root).parts
            # What the other build made, too, names no place of this one.
            if other is not None and is_same(file, other.joinpath(*inside)):
                continue
            # Packages may well speak of `/root/`, and of other users' homes.
            is_packaged = inside[0] == "examples" and inside[1] in PACKAGED
            places = (base,) if is_packaged else (base, Path.home())
            content = file.read_bytes()
            assert not [one for one in places if f"{one}/".encode() in content], file


def is_same(file: Path, other: Path) -> bool:
    """Whether both are files with the same bytes."""
    return other.is_file() and filecmp.cmp(file, other, shallow=False)
