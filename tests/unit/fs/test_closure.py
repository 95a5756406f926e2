import os
import random
import re
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.closure import library_closure
from occlum_build.fs.content import BytesContent, HostContent
from occlum_build.fs.elf import ElfType, read_elf
from occlum_build.fs.tree import Node, Tree, directory, regular_file, symlink
from tests.support.shared_object import GLIBC, elf, program

Judge = Callable[..., subprocess.CompletedProcess[bytes]]
MUSL = "/lib/ld-musl-x86_64.so.1"


def names_of(files: Mapping[str, bytes | str]) -> Mapping[bytes, Node]:
    return Tree(
        (
            path.encode(),
            symlink(data.encode(), "test")
            if isinstance(data, str)
            else regular_file(0o755, BytesContent(data), "test"),
        )
        for path, data in files.items()
    ).names


LOADER = {"lib64/ld-linux-x86-64.so.2": elf(soname="ld-linux-x86-64.so.2")}


def closure(files: Mapping[str, bytes | str], *selected: str) -> set[str]:
    chosen = {path.encode() for path in selected}
    return {path.decode() for path in library_closure(names_of(LOADER | dict(files)), chosen)}


def refused(files: Mapping[str, bytes | str], *selected: str) -> tuple[str, ...]:
    with pytest.raises(DiagnosticError) as caught:
        closure(files, *selected)
    assert {one.code for one in caught.value.diagnostics} == {"OB0610"}
    return tuple(f"{one.message}\n" + "\n".join(one.notes) for one in caught.value.diagnostics)


def test_a_program_takes_its_loader_its_libraries_and_their_libraries() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so.1"),
        "lib/x86_64-linux-gnu/liba.so.1": elf("libb.so.1", soname="liba.so.1"),
        "usr/lib/x86_64-linux-gnu/libb.so.1": elf(soname="libb.so.1"),
        "usr/lib/libunused.so": elf(),
    }

    assert closure(files, "bin/app") == {*LOADER, *list(files)[1:3]}


def test_a_static_program_takes_nothing() -> None:
    assert closure({"bin/app": elf()}, "bin/app") == set()


def test_symlinks_to_a_library_are_taken_too() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("libx.so.1"),
        "lib": "usr/lib",
        "usr/lib/x86_64-linux-gnu/libx.so.1": "libx.so.1.2.3",
        "usr/lib/x86_64-linux-gnu/libx.so.1.2.3": elf(soname="libx.so.1"),
    }

    assert closure(files, "bin/app") == {*LOADER, *list(files)[1:]}


def test_a_missing_library_names_who_needs_it_through_which_chain() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so.1"),
        "lib/liba.so.1": elf("libb.so.1", soname="liba.so.1"),
        "lib/libb.so.1": elf("libc-gone.so.6", soname="libb.so.1"),
    }

    (text,) = refused(files, "bin/app")

    assert text.splitlines() == [
        "no library `libc-gone.so.6` for `/lib/libb.so.1`",
        "`/lib/liba.so.1` needs `libb.so.1`",
        "`/bin/app` needs `liba.so.1`",
        "searched: /lib/x86_64-linux-gnu, /usr/lib/x86_64-linux-gnu, /lib, /usr/lib",
    ]


def test_all_missing_libraries_are_reported_at_once() -> None:
    files = {"bin/a": program("libx.so", "liby.so"), "bin/b": program("libz.so", "libx.so")}

    assert len(refused(files, "bin/a", "bin/b")) == 3


def test_a_plugin_may_need_what_its_program_has_loaded_by_path() -> None:
    files: dict[str, bytes | str] = {
        "opt/java": program(),
        "opt/server/libjvm.so": elf(soname="libjvm.so"),
        "opt/libplugin.so": elf("libjvm.so"),
    }

    assert closure(files, *files) == {*LOADER}
    assert "no library `libjvm.so`" in refused(files, "opt/java", "opt/libplugin.so")[0]


def test_a_program_finds_nothing_that_its_loader_would_not_search() -> None:
    files: dict[str, bytes | str] = {"bin/a": program("liba.so"), "opt/liba.so": elf()}

    assert "no library `liba.so` for `/bin/a`" in refused(files, *files)[0]


def test_a_missing_loader_is_reported() -> None:
    (text,) = refused({"bin/a": program(interpreter="/lib/ld-other.so")}, "bin/a")

    assert text.startswith("no dynamic loader `/lib/ld-other.so` for `/bin/a`")


def test_origin_and_lib_are_expanded() -> None:
    files: dict[str, bytes | str] = {
        "opt/app/bin/app": program("liba.so", "libb.so", runpath="$ORIGIN/../x:/opt/${LIB}"),
        "opt/app/x/liba.so": elf(),
        "opt/lib/x86_64-linux-gnu/libb.so": elf(),
    }

    assert closure(files, "opt/app/bin/app") == {*LOADER, *list(files)[1:]}


def test_runpath_is_not_inherited_and_rpath_is() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so", runpath="/opt"),
        "opt/liba.so": elf("libb.so"),
        "opt/libb.so": elf(),
    }
    assert "no library `libb.so` for `/opt/liba.so`" in refused(files, "bin/app")[0]

    files["bin/app"] = program("liba.so", rpath="/opt")
    assert "opt/libb.so" in closure(files, "bin/app")

    files["opt/liba.so"] = elf("libb.so", runpath="/elsewhere")
    assert "no library `libb.so`" in refused(files, "bin/app")[0]


def test_a_library_that_is_loaded_already_is_not_searched_again() -> None:
    # breadth first: the program has loaded libb before liba asks for it
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so", "libb.so", runpath="/opt"),
        "opt/liba.so": elf("libb.so", "libother-name.so"),
        "opt/libb.so": elf(soname="libother-name.so"),
    }

    assert closure(files, "bin/app") == {*LOADER, "opt/liba.so", "opt/libb.so"}


def test_a_library_is_asked_for_by_the_first_that_needs_it_in_breadth() -> None:
    # liba asks before libb, and has no way to libshared; ld.so gives up there, too
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so", "libb.so", runpath="/opt"),
        "opt/liba.so": elf("libshared.so"),
        "opt/libb.so": elf("libshared.so", runpath="/opt"),
        "opt/libshared.so": elf(),
    }

    assert "no library `libshared.so` for `/opt/liba.so`" in refused(files, "bin/app")[0]


def test_the_rpath_of_a_program_that_has_a_runpath_is_ignored() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so", rpath="/opt", runpath="/mid"),
        "mid/liba.so": elf("libb.so"),
        "opt/libb.so": elf(),
    }

    assert "no library `libb.so`" in refused(files, "bin/app")[0]


def test_a_library_that_wants_no_default_directories_gets_none() -> None:
    no_default_directories = 0x800
    files: dict[str, bytes | str] = {
        "bin/app": elf("liba.so", interpreter=GLIBC, flags_1=no_default_directories),
        "lib/liba.so": elf(),
    }

    assert "searched: nowhere" in refused(files, "bin/app")[0]


def test_a_library_for_another_machine_is_passed_over() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so"),
        "lib/x86_64-linux-gnu/liba.so": elf(machine=183),
        "usr/lib/liba.so": elf(),
    }

    assert closure(files, "bin/app") == {*LOADER, "usr/lib/liba.so"}


def test_a_library_of_the_tree_goes_before_one_that_would_be_added() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so"),
        "lib/x86_64-linux-gnu/liba.so": elf(),
        "usr/lib/liba.so": elf(),
    }

    assert closure(files, "bin/app", "usr/lib/liba.so") == set(LOADER)


def test_a_plugin_is_searched_for_too_with_its_programs_libraries_loaded() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("libhost.so", runpath="/opt"),
        "opt/libhost.so": elf(soname="libhost.so"),
        "plugins/p.so": elf("libhost.so", "libextra.so"),
        "lib/libextra.so": elf(),
    }

    assert "lib/libextra.so" in closure(files, "bin/app", "plugins/p.so")


def test_musl_is_its_own_libc_and_looks_where_musl_looks() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("libc.so", "libpthread.so.0", "liba.so", interpreter=MUSL),
        "lib/ld-musl-x86_64.so.1": elf(),
        "usr/local/lib/liba.so": elf("libc.musl-x86_64.so.1"),
        "lib/x86_64-linux-gnu/liba.so": elf(),
    }

    assert closure(files, "bin/app") == {"lib/ld-musl-x86_64.so.1", "usr/local/lib/liba.so"}


def test_loops_of_symlinks_and_of_libraries_end() -> None:
    files: dict[str, bytes | str] = {
        "bin/app": program("liba.so"),
        "lib/x86_64-linux-gnu": "/lib/x86_64-linux-gnu",
        "lib/liba.so": elf("libb.so"),
        "lib/libb.so": elf("liba.so"),
    }

    assert closure(files, "bin/app") == {*LOADER, "lib/liba.so", "lib/libb.so"}


def test_an_elf_file_tells_what_a_loader_asks() -> None:
    content = BytesContent(program("a", "b", soname="s", rpath="/r", runpath="/u"))

    facts = read_elf(content, "x", "test")

    assert facts is not None
    assert facts.type is ElfType.SHARED
    assert (facts.interpreter, facts.needed) == (GLIBC.encode(), (b"a", b"b"))
    assert (facts.soname, facts.rpath, facts.runpath) == (b"s", b"/r", b"/u")


@pytest.mark.parametrize(
    "data",
    [b"", b"\x7fEL", b"#!/bin/sh", elf(machine=3), b"\x7fELF\x01" + elf()[5:], b"\x7fELF" * 30],
)
def test_what_no_x86_64_linux_loads_is_data(data: bytes) -> None:
    assert read_elf(BytesContent(data), "x", "test") is None


def test_every_cut_of_an_elf_file_is_data_or_refused() -> None:
    good = program("liba.so", runpath="/opt")
    for length in range(len(good)):
        try:
            facts = read_elf(BytesContent(good[:length]), "x", "test")
        except DiagnosticError as caught:
            assert caught.diagnostics[0].code == "OB0609"  # noqa: PT017 (either is right)
        else:
            assert facts is None
            assert length < 4


def test_random_damage_to_an_elf_file_never_surprises() -> None:
    good = program("liba.so", runpath="/opt")
    chance = random.Random(6)
    for _ in range(5000):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            read_elf(BytesContent(bytes(data)), "x", "test")
        except DiagnosticError as caught:
            assert caught.diagnostics[0].code == "OB0609"  # noqa: PT017 (either is right)


class Host(Mapping[bytes, Node]):
    """The host's own files as a tree, looked at when asked for."""

    def __getitem__(self, path: bytes) -> Node:
        host_path = b"/" + path
        try:
            status = os.lstat(host_path)
        except (OSError, ValueError) as failure:
            raise KeyError(path) from failure
        if stat.S_ISLNK(status.st_mode):
            return symlink(os.readlink(host_path), "host")  # noqa: PTH115 (bytes)
        if stat.S_ISREG(status.st_mode):
            return regular_file(0o755, HostContent(host_path, status.st_size), "host")
        return directory(0o755, "host")

    def __iter__(self) -> Iterator[bytes]:
        raise AssertionError

    def __len__(self) -> int:
        raise AssertionError


def listed_by_loader(judge: Judge, path: str | Path) -> set[str]:
    """What the real loader would map for a program."""
    text = judge(GLIBC, "--inhibit-cache", "--list", os.path.realpath(path)).stdout.decode()
    paths = re.findall(r"(/\S+) \(0x", text)
    return {os.path.realpath(one) for one in paths}


def found_by_us(path: str | Path) -> set[str]:
    real = os.path.realpath(path).encode().removeprefix(b"/")
    found = library_closure(Host(), {real})
    return {"/" + one.decode() for one in found if not Path("/" + one.decode()).is_symlink()}


def programs_of_this_machine() -> list[str]:
    found = []
    for path in sorted(Path("/usr/bin").iterdir()):
        if path.is_file() and os.access(path, os.R_OK):
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    found.append(str(path))
    return random.Random(1).sample(found, min(60, len(found)))


def test_the_closure_is_what_the_loader_of_this_machine_maps(judge: Judge) -> None:
    if not Path(GLIBC).exists():
        pytest.skip("this machine has no glibc")
    compared = 0
    for path in programs_of_this_machine():
        facts = read_elf(HostContent(path.encode(), Path(path).stat().st_size), path, "host")
        if facts is None or facts.interpreter != GLIBC.encode():
            continue
        try:
            ours = found_by_us(path)
        except DiagnosticError:
            continue  # it needs ld.so.cache, which enclaves do not have
        assert ours == listed_by_loader(judge, path), path
        compared += 1
    assert compared


@pytest.mark.parametrize("tags", ["--enable-new-dtags", "--disable-new-dtags"])
def test_what_gcc_links_is_found_as_the_loader_finds_it(
    tags: str,
    tmp_path: Path,
    judge: Judge,
) -> None:
    (tmp_path / "x.c").write_text("int x(void) { return 1; }\n")
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    (tmp_path / "deep").mkdir()
    link = ["gcc", "-Wl,--no-as-needed", f"-Wl,{tags}", f"-L{tmp_path}", f"-L{tmp_path}/deep"]
    judge(*link, "-shared", "-o", tmp_path / "deep/libleaf.so", tmp_path / "x.c")
    judge(
        *link,
        *("-shared", "-Wl,-soname,libmid.so.1", "-Wl,-rpath,$ORIGIN/deep"),
        *("-o", tmp_path / "libmid.so", tmp_path / "x.c", "-lleaf"),
    )
    (tmp_path / "libmid.so.1").symlink_to("libmid.so")
    judge(
        *link,
        *("-Wl,-rpath,$ORIGIN", "-o", tmp_path / "main", tmp_path / "main.c", "-lmid"),
        f"-Wl,-rpath-link,{tmp_path}/deep",
    )

    ours = found_by_us(tmp_path / "main")

    assert ours == listed_by_loader(judge, tmp_path / "main")
    assert str(tmp_path / "deep/libleaf.so") in ours


def test_readelf_says_the_same_of_programs_of_this_machine(judge: Judge) -> None:
    for path in programs_of_this_machine():
        content = HostContent(path.encode(), Path(path).stat().st_size)
        facts = read_elf(content, path, "host")
        text = judge("readelf", "-d", "-W", path).stdout.decode()
        needed = tuple(one.encode() for one in re.findall(r"\(NEEDED\).*\[(.*)\]", text))
        runpath = re.findall(r"\(RUNPATH\).*\[(.*)\]", text)
        assert facts is None or (facts.needed, facts.runpath) == (
            *(needed, runpath[0].encode() if runpath else None),
        )
