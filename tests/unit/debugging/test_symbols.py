"""Names, mappings and perf's map, judged by `nm` and `c++filt`."""

import subprocess
from pathlib import Path

import pytest

from occlum_build.debugging.crash_report import CrashReport
from occlum_build.debugging.image_files import ImageFiles, bias
from occlum_build.debugging.mapped import Mapped, read_mapped
from occlum_build.debugging.perf_map import perf_map
from occlum_build.debugging.symbols import demangled
from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import ElfFile
from occlum_build.fs.content import HostContent
from occlum_build.fs.image import pack
from occlum_build.fs.tree import Tree, regular_file, symlink

_SOURCE = """
__attribute__((noinline)) int twice(int a) { return a + a; }
int main(int argc, char **argv) { (void)argv; return twice(argc); }
"""
_AT = 0x5000_0000


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with symbols."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "app.c").write_text(_SOURCE, encoding="utf-8")
    subprocess.run(["cc", "-O1", "-o", "app", "app.c"], cwd=folder, check=True)
    return folder / "app"


@pytest.mark.parametrize(
    "symbol",
    [
        "_ZN6kernel6memory3map17h0123456789abcdefE",
        "_ZN59_$LT$a..b..C$u20$as$u20$d..E$LT$$RF$T$C$U$GT$$u20$$GT$4read17h0123456789abcdefE",
        "_ZN1a28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
        "main",
        "_ZN3",
        "_RNvCs1234_7mycrate3foo",
    ],
)
def test_a_legacy_name_of_rust_is_read_as_binutils_read_it(symbol: str) -> None:
    judge = subprocess.run(
        ["c++filt", "--format=rust", symbol], capture_output=True, text=True, check=True
    ).stdout.strip()

    expected = symbol if symbol.startswith("_R") else judge.removesuffix("::h0123456789abcdef")
    assert demangled(symbol) == expected


def test_lines_of_another_form_and_the_beginning_of_one_are_passed_over() -> None:
    line = "00013000-00018000 r-xp 00002000 00:01 53                  /bin/a b"
    text = f"{line}\nnonsense\n{line}\nzz-1 r-xp 0 00:01 1 /x\n{line[:30]}"

    assert list(read_mapped(text)) == [Mapped(0x13000, 0x5000, 0x2000, "/bin/a b")]


def test_a_map_for_perf_has_the_functions_that_nm_finds_at_their_new_places(
    program: Path, tmp_path: Path
) -> None:
    elf = ElfFile(FileBytes(str(program)))
    (text,) = (one for one in elf.segments if one.kind == 1 and one.flags & 1)
    mapped = Mapped(_AT, 0x1000, text.offset, "/bin/link")

    printed = perf_map(elf, 0x1_0000_0000, [mapped], files_with(program, tmp_path))

    moved = _AT - text.address
    lines = [line.split(maxsplit=2) for line in printed.splitlines()]
    found = {
        name: (int(start, 16), int(size, 16)) for start, size, name in lines if "+" not in name
    }
    places = {(int(start, 16), name) for start, _, name in lines}
    for name in ("main", "twice"):
        start, size = nm(program)[name]
        assert (start + moved, name) in places
        assert (start + 0x1_0000_0000, name) in places, "as if it were the LibOS"
        assert found[name][1] == size
    inside = sorted((int(at, 16), int(size, 16)) for at, size, _ in lines if int(at, 16) < 1 << 32)
    assert inside[0][0] == _AT
    ends = [start + size for start, size in inside]
    assert ends == [*(start for start, _ in inside[1:]), _AT + 0x1000], "no gap, no overlap"


def test_a_file_that_is_not_in_the_image_is_named_with_its_offset(
    program: Path, tmp_path: Path
) -> None:
    elf = ElfFile(FileBytes(str(program)))
    mapped = Mapped(_AT, 0x1000, 0x3000, "/var/made")

    printed = perf_map(elf, 0, [mapped], files_with(program, tmp_path))

    assert f"{_AT:x} 1000 /var/made+0x3000\n" in printed


def test_a_crash_report_names_the_function_that_a_call_is_in(
    program: Path, tmp_path: Path
) -> None:
    report = CrashReport(ElfFile(FileBytes(str(program))), files_with(program, tmp_path))
    start, size = nm(program)["twice"]

    def said(number: int, place: str, distance: int) -> bytes:
        line = b"note:   #%d  0x00001 %s+%#x" % (number, place.encode(), distance)
        return report.named(line + b"\n").removeprefix(line)

    assert said(0, "/bin/link", start) == b" in twice\n"
    assert said(1, "/bin/app", start + size) == b" in twice\n"
    assert said(1, "/bin/app", start) != b" in twice\n", "no call ends there"
    assert said(0, "libos", start + size) == b" in twice\n"
    assert said(0, "/bin/other", start) == b"\n"
    assert said(0, "/bin/app", 1 << 40) == b"\n"


def test_what_no_segment_holds_is_nowhere(program: Path) -> None:
    assert bias(ElfFile(FileBytes(str(program))), 0, 1 << 40) is None


def files_with(program: Path, folder: Path) -> ImageFiles:
    """A bundle with one program, which has a second name behind a link."""
    images = folder / "bundle/images"
    images.mkdir(parents=True)
    content = HostContent(bytes(program), program.stat().st_size)
    node = regular_file(0o755, content, "the test")
    tree = Tree([(b"bin/app", node), (b"bin/link", symlink(b"../bin/app", "the test"))])
    pack(tree, images / "root.erofs")
    return ImageFiles(folder / "bundle", folder)


def nm(program: Path) -> dict[str, tuple[int, int]]:
    """Address and size of each function, by name."""
    command: list[str | Path] = ["nm", "-S", "--defined-only", program]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in printed.splitlines()]
    return {row[3]: (int(row[0], 16), int(row[1], 16)) for row in rows if len(row) == 4}
