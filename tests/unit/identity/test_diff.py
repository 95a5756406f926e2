"""`occlum-build diff`: what differs is named, and nothing else is."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import ElfFile
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage, place
from occlum_build.enclave_file.read import read_enclave
from occlum_build.identity.comparison import compare
from occlum_build.identity.diff import text_lines
from occlum_build.identity.sealed_pages import sealed_pages
from occlum_build.identity.symbols import with_symbols
from occlum_build.sgx.secinfo import READ_WRITE, READ_WRITE_EXECUTE
from occlum_build.sgx.stream import PageRun
from tests.support.bundles import OCCLUM_YAML, ROOT, make_bundle

Run = Callable[..., subprocess.CompletedProcess[str]]


def difference(verb: Run, a: Path, b: Path, *more: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(verb("diff", a, b, "--json", *more, status=1).stdout)
    assert found["schema"] == "occlum-build/diff/1"
    return found


def flipped(bundle: Path, folder: Path, name: str, byte: int = 8) -> tuple[Path, int]:
    """A copy in which a byte of the first measured page of this name differs, and where."""
    copy = shutil.copytree(bundle, folder / "flipped")
    run = next(one for one in read_enclave(bundle).runs() if one.name == name and one.measured)
    found = place(run, 0, byte)
    assert found is not None
    data = bytearray((copy / "enclave.sgxs").read_bytes())
    data[found.offset] ^= 1
    (copy / "enclave.sgxs").write_bytes(data)
    return copy, run.offset + byte


def test_a_bundle_is_the_same_as_its_copy(bundle: Path, verb: Run, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "copy")

    done = verb("diff", bundle, tmp_path / "copy")

    assert done.stdout.endswith("the same: every byte that is measured, signed or packed\n")


def test_another_signature_is_said_in_one_line(
    bundle: Path, other_key: Path, verb: Run, tmp_path: Path
) -> None:
    verb("sign", bundle, "--key", other_key, "--version-number", "9", "--output", tmp_path / "new")

    _, _, *lines = verb("diff", bundle, tmp_path / "new", status=1).stdout.splitlines()

    (line,) = lines
    assert line.startswith("the same enclave: only its signature differs: ISVSVN 3 -> 9, MRSIGNER")


@pytest.mark.parametrize(
    "name", ["libos", "boot information", "sealed config", "thread 1 TCS", "thread 0 kernel stack"]
)
def test_one_byte_of_a_page_is_found(bundle: Path, verb: Run, tmp_path: Path, name: str) -> None:
    copy, address = flipped(bundle, tmp_path, name)

    found = difference(verb, bundle, copy)

    (region,) = [one for one in found["regions"] if name in one["names"]]
    (inner,) = region["differences"]
    (byte,) = inner["places"]
    assert found["first"]["offset_a"] == found["first"]["offset_b"] == address
    assert (found["first"]["record"], found["first"]["name"]) == ("EEXTEND", name)
    assert (inner["kind"], inner["changed_bytes"], byte["offset_a"]) == ("content", 1, address)


def test_a_longer_configuration_is_told_by_its_field(
    bundle: Path, key: Path, verb: Run, tmp_path: Path
) -> None:
    yaml = OCCLUM_YAML + "env:\n  default: [A=1]\n  untrusted: [TZ]\n"
    other = make_bundle(tmp_path, key, yaml=yaml)

    found = difference(verb, bundle, other)

    assert found["config"] == [
        {"path": "env.default[0]", "b": "A=1"},
        {"path": "env.untrusted[0]", "b": "TZ"},
    ]
    assert {name for one in found["regions"] for name in one["names"]} == {
        "boot information",
        "sealed config",
    }


def test_regions_that_only_moved_are_not_different(
    bundle: Path, key: Path, verb: Run, tmp_path: Path
) -> None:
    yaml = OCCLUM_YAML.replace("max_num_of_threads: 2", "max_num_of_threads: 3")
    other = make_bundle(tmp_path, key, yaml=yaml)

    found = difference(verb, bundle, other)

    regions = {one["names"][0]: one for one in found["regions"]}
    heap = regions["kernel heap"]
    assert heap["start_a"] != heap["start_b"]
    assert heap["differences"] == []
    assert regions["thread 3 TCS"]["pages_a"] == 0
    assert "thread 2 TCS" not in regions


def test_a_packed_file_is_named_with_its_first_byte(
    bundle: Path, key: Path, verb: Run, tmp_path: Path
) -> None:
    other = make_bundle(tmp_path, key, hello=b"help\n")

    found = difference(verb, bundle, other)

    ((image),) = found["images"]
    (file,) = image["files"]
    assert file["path"] == "/bin/hello"
    assert file["offset"] == 3
    assert bytes.fromhex(file["a"]) == b"lo\n"
    assert [one["path"] for one in found["config"]] == ["mount[0].image.root_hash"]


def test_another_runner_is_a_file_beside_the_same_enclave(
    bundle: Path, verb: Run, tmp_path: Path
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / "bin" / "occlum-run").write_text("#!/bin/true\n")

    found = difference(verb, bundle, copy)

    assert found["same_measurement"]
    assert [one["path"] for one in found["files"]] == ["bin/occlum-run"]


def test_symbols_of_the_libos_are_named(bundle: Path, tmp_path: Path) -> None:
    source = tmp_path / "libos.c"
    source.write_text("int answer(void) { return 42; } int other(void) { return 1; }")
    elf = tmp_path / "libos.elf"
    words: list[str | Path] = ["-shared", "-nostdlib", "-O1", "-o", elf, source]
    done = subprocess.run([*_compiler(), *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    image = read_enclave(bundle)
    parsed = ElfFile(FileBytes(str(elf)))
    table = parsed.dynamic_symbols
    address = next(one.address for one in table.symbols if table.name(one) == "answer")
    sealed = sealed_pages(image)
    assert sealed is not None

    named = with_symbols(image, str(elf))

    assert "answer + 0x1" in named.describe(sealed.boot.libos_start + address + 1)


def test_a_packed_program_is_told_by_its_function(key: Path, verb: Run, tmp_path: Path) -> None:
    bundles = []
    for number in (42, 43):
        source, elf = tmp_path / f"{number}.c", tmp_path / f"{number}.so"
        source.write_text(
            f"int first(int x) {{ return x; }} int answer(void) {{ return {number}; }}"
        )
        words = ["-shared", "-nostdlib", "-O1", "-Wl,--build-id=none", "-o", str(elf), str(source)]
        subprocess.run([*_compiler(), *words], check=True, capture_output=True)
        bundles.append(make_bundle(tmp_path / str(number), key, hello=elf.read_bytes()))

    found = difference(verb, *bundles)

    files = {one["path"]: one for one in found["images"][0]["files"]}
    assert files["/bin/hello"]["symbol"].startswith(".text, answer + 0x")


def _compiler() -> list[str]:
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    pytest.skip("no C compiler")


def test_symbols_are_refused_for_a_stream_of_somebody_else(
    bundle: Path, verb: Run, tmp_path: Path
) -> None:
    stream = (bundle / "enclave.sgxs").read_bytes()
    at = stream.index(b"OCCLUMBI")
    (tmp_path / "other.sgxs").write_bytes(stream[:at] + b"SOMEBODY" + stream[at + 8 :])

    done = verb(
        *("diff", tmp_path / "other.sgxs", bundle),
        *("--symbols-a", bundle.parent / "libos.elf"),
        status=2,
    )

    assert "OB0568" in done.stderr


def test_layouts_may_differ(bundle: Path, verb: Run, tmp_path: Path) -> None:
    shutil.copy(bundle / "enclave.sgxs", tmp_path / "x.sgxs")

    same = verb("diff", bundle, tmp_path / "x.sgxs", "--signature-b", bundle / "enclave.sig")
    unsigned = difference(verb, bundle, tmp_path / "x.sgxs")

    assert "the same" in same.stdout
    assert unsigned["b"]["mrsigner"] is None


def test_a_file_that_is_no_enclave_is_wrong_input(bundle: Path, verb: Run) -> None:
    assert "OB0541" in verb("diff", bundle, bundle / "enclave.sig", status=2).stderr


def image(*runs: PageRun, size: int = 1 << 46) -> EnclaveImage:
    return EnclaveImage(EnclaveFormat.SGXS, "x", size, 1, lambda: iter(runs))


def test_every_kind_of_difference_has_words() -> None:
    data = PageRun("data", 0x10000, 2, READ_WRITE, measured=True, data=b"a" * 100)
    code = PageRun("code", 0x20000, 1, READ_WRITE, measured=True)
    more = PageRun("more", 0x30000, 1, READ_WRITE, measured=True)
    found = compare(
        image(data, code, more),
        image(
            PageRun("data", 0x10000, 1, READ_WRITE, measured=True, data=b"a" * 99 + b"b"),
            PageRun("code", 0x20000, 1, READ_WRITE_EXECUTE, measured=False),
            size=1 << 45,
        ),
    )

    text = "\n".join(text_lines(found))

    for words in (
        "SIZE 0x400000000000 -> 0x200000000000",
        "data: 2 pages in A, 1 in B at 0x10000",
        "1 page at +0x0: 1 byte differs",
        "1 page at +0x1000: only in A",
        "1 page at +0x0: rw- -> rwx",
        "measured in A, not measured in B",
        "more: only in A, 1 page at 0x30000",
    ):
        assert words in text


def test_a_layout_of_terabytes_is_compared_in_little_memory() -> None:
    program = """
from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import ElfFile
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage
from occlum_build.identity.page_difference import first_difference
from occlum_build.identity.region import region_differences
from occlum_build.sgx.secinfo import READ_WRITE
from occlum_build.sgx.stream import PageRun
a = [PageRun("heap", 1 << 20, 1 << 30, READ_WRITE, measured=False),
     PageRun("stack", 1 << 44, 1 << 24, READ_WRITE, measured=True)]
b = [PageRun("heap", 1 << 20, 1 << 30, READ_WRITE, measured=False),
     PageRun("stack", 1 << 44, (1 << 24) - 1, READ_WRITE, measured=True)]
(one,) = region_differences(a, b)
assert one.names == ["stack"] and one.differences[0].page_count == 1
assert first_difference(a, b).record == "end"
# Not `ru_maxrss`: that counts what the process was forked from, too.
lines = open("/proc/self/status").read().splitlines()
print(next(one.split()[1] for one in lines if one.startswith("VmHWM")))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )

    assert int(done.stdout) < 100_000
