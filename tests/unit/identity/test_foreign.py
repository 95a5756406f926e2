"""Enclaves of another maker: signed, checked and compared like our own."""

import json
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.enclave_file.read import read_enclave
from tests.support.enclave_files import (
    ElfEnclave,
    Entry,
    Metadata,
    OpenEnclave,
    Part,
    Section,
    sgxmeta_note,
)
from tests.support.open_enclave import OpenEnclaveFile, ego_enclave, ego_program

Run = Callable[..., subprocess.CompletedProcess[str]]

CODE = b"\x90" * 0x180
TCS = struct.pack("<16xQIIQQQQII", 0x1000, 0, 2, 0x1000, 0, 0x3000, 0x3000, 0xFFF, 0xFFF)
METADATA = Metadata(
    version=(3, 3),
    size=0x20000,
    ssa_frame_pages=1,
    layout=(
        Entry(1, 1, 2, 0x4000, 0x203),
        Entry(4, 3, 1, 0x8000, 0x100, content=TCS),
        Entry(6, 3, 2, 0x9000, 0x203),
        Entry(5, 3, 1, 0xB000, 0x203),
    ),
)


def symbols() -> list[Section]:
    """`.text` with one function, and the tables that name it."""
    names = b"\0ecall_pay\0"
    symbol = struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x1000, 0x180)
    return [
        Section(".text", 1, b"", 0x1000, size=0x180),
        Section(".strtab", 3, names),
        Section(".symtab", 2, bytes(24) + symbol, link=".strtab", entry_size=24),
    ]


def enclave(code: bytes = CODE, sigstruct: bytes = bytes(1808)) -> bytes:
    note = sgxmeta_note([replace(METADATA, sigstruct=sigstruct).to_bytes()])
    parts = [Part(4, 0, bytes(0x100), 0x100), Part(5, 0x1000, code, len(code))]
    return ElfEnclave(parts, [*symbols(), note]).to_bytes()


@pytest.fixture
def signed(key: Path, verb: Run, tmp_path: Path) -> Path:
    """A signed enclave: its block is taken out, signed, and put in again."""
    return make(tmp_path / "enclave.so", CODE, key, verb)


def make(path: Path, code: bytes, key: Path, verb: Run) -> Path:
    path.write_bytes(enclave(code))
    unsigned = json.loads(verb("measure", "--json", path).stdout)
    fields = path.with_suffix(".fields")
    fields.write_bytes(block(bytes.fromhex(unsigned["mrenclave"])))
    verb("sign", fields, "--key", key, "--output", path.with_suffix(".sig"))
    path.write_bytes(enclave(code, path.with_suffix(".sig").read_bytes()))
    return path


def block(mrenclave: bytes) -> bytes:
    """256 bytes as another signer writes them: DEBUG is not pinned, as by `sgx_sign`."""
    first = bytes.fromhex("06000000e10000000000010000000000") + bytes(4)
    first += bytes.fromhex("3101302001010000600000006000000001000000") + bytes(88)
    second = struct.pack("<II2x2x16x", 0, 0xFFFF_FFFF)
    second += struct.pack("<QQQQ", 4, 3, 0xFFFF_FFFF_FFFF_FFFD, 0xFFFF_FFFF_FFFF_FF1B)
    return first + second + mrenclave + bytes(16 + 16) + struct.pack("<HH", 5, 6)


def test_it_is_verified(signed: Path, verb: Run) -> None:
    found = json.loads(verb("verify", "--json", signed).stdout)

    verdicts = {one["name"]: one["verdict"] for one in found["checks"]}
    assert found["format"] == "intel-sdk"
    assert (verdicts["measurement"], verdicts["signature"], verdicts["threads"]) == ("pass",) * 3
    assert verdicts["debug"] == "warn"
    assert "sealed-config" not in verdicts


def test_a_changed_byte_of_it_is_refused(signed: Path, verb: Run) -> None:
    data = bytearray(signed.read_bytes())
    data[data.index(CODE) + 7] ^= 1
    signed.write_bytes(data)

    found = json.loads(verb("verify", "--json", signed, status=1).stdout)

    assert {one["name"] for one in found["checks"] if one["verdict"] == "fail"} == {"measurement"}


def test_it_is_signed_again_with_what_was_signed(
    signed: Path, other_key: Path, verb: Run, tmp_path: Path
) -> None:
    verb("sign", signed, "--key", other_key, "--output", tmp_path / "again.sig")

    done = verb("verify", signed, "--signature", tmp_path / "again.sig")

    assert "ISVPRODID is 5" in done.stdout
    assert "ISVSVN is 6" in done.stdout


def test_two_of_them_are_compared_by_section_and_symbol(
    signed: Path, key: Path, verb: Run, tmp_path: Path
) -> None:
    changed = CODE[:0x42] + b"\xcc" + CODE[0x43:]
    other = make(tmp_path / "other.so", changed, key, verb)

    text = verb("diff", signed, other, status=1).stdout

    assert ".text, ecall_pay + 0x42" in text
    assert "0x42  90                       .         |  cc" in text
    assert "SIGNATURE" not in text


def test_an_enclave_of_another_layout_shares_nothing(
    signed: Path, bundle: Path, verb: Run
) -> None:
    found = json.loads(verb("diff", "--json", signed, bundle, status=1).stdout)

    assert [one["path"] for one in found["ecreate"]] == ["SIZE"]
    assert (found["a"]["format"], found["b"]["format"]) == ("intel-sdk", "bundle")


def open_enclave(folder: Path, code: bytes, sigstruct: bytes) -> Path:
    """What `oesign` writes: the SIGSTRUCT lies in the properties, in `.oeinfo`."""
    terms = OpenEnclave(2, 2, 1)
    file = OpenEnclaveFile(terms, tdata=len(code), info=terms.properties(sigstruct))
    path = folder / "enclave.signed"
    path.write_bytes(file.elf.to_bytes().replace(b"\xdd" * len(code), code))
    return path


def gramine(folder: Path, code: bytes, sigstruct: bytes) -> Path:
    """What `gramine-sgx-sign` leaves: a manifest, its loader, and a SIGSTRUCT beside them."""
    path = folder / "app.manifest.sgx"
    path.write_text('[sgx]\nenclave_size = "8M"\nmax_threads = 2\nedmm_enable = false\n')
    pal = ElfEnclave([Part(4, 0, bytes(0x100), 0x100), Part(5, 0x1000, code, len(code))])
    (folder / "libpal.so").write_bytes(pal.to_bytes())
    (folder / "app.sig").write_bytes(sigstruct)
    return path


def ego(folder: Path, code: bytes, sigstruct: bytes) -> Path:
    """What `ego sign` leaves: a program, its payload, and EGo's own enclave beside it."""
    path = folder / "program"
    path.write_bytes(ego_program(code, sigstruct).elf.to_bytes() + code)
    (folder / "ego-enclave").write_bytes(ego_enclave().elf.to_bytes())
    return path


@pytest.mark.parametrize("layout", [open_enclave, ego, gramine])
def test_each_layout_is_signed_verified_and_compared(
    layout: Callable[[Path, bytes, bytes], Path], key: Path, verb: Run, tmp_path: Path
) -> None:
    def make_signed(name: str, code: bytes) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        path = layout(folder, code, bytes(1808))
        (folder / "fields").write_bytes(block(read_enclave(path).mrenclave))
        verb("sign", folder / "fields", "--key", key, "--output", folder / "new.sig")
        return layout(folder, code, (folder / "new.sig").read_bytes())

    one, other = make_signed("one", CODE), make_signed("other", CODE[:-1] + b"\xcc")
    verb("sign", one, "--key", key, "--output", tmp_path / "again.sig")
    layout(one.parent, CODE[:-1] + b"\xcc", (one.parent / "new.sig").read_bytes())
    changed = json.loads(verb("verify", "--json", one, status=1).stdout)
    layout(one.parent, CODE, (one.parent / "new.sig").read_bytes())
    found = json.loads(verb("verify", "--json", one).stdout)
    compared = json.loads(verb("diff", "--json", one, other, status=1).stdout)

    assert found["accepted"]
    assert (tmp_path / "again.sig").read_bytes() == (one.parent / "new.sig").read_bytes()
    failed = [one["name"] for one in changed["checks"] if one["verdict"] == "fail"]
    assert failed == ["measurement"]
    assert not compared["same_measurement"]
    assert compared["regions"]
    assert verb("diff", one, one).stdout.splitlines()[-1].startswith("the same")


def test_an_ego_program_and_its_enclave_may_lie_apart(
    key: Path, verb: Run, tmp_path: Path
) -> None:
    program = ego(tmp_path, CODE, bytes(1808))
    main = (tmp_path / "ego-enclave").rename(tmp_path / "apart")
    with_main = ("--ego-enclave", main)
    measured = json.loads(verb("measure", "--json", program, *with_main).stdout)
    (tmp_path / "fields").write_bytes(block(bytes.fromhex(measured["mrenclave"])))
    verb("sign", tmp_path / "fields", "--key", key, "--output", tmp_path / "new.sig")
    ego(tmp_path, CODE, (tmp_path / "new.sig").read_bytes())
    (tmp_path / "ego-enclave").unlink()

    verb("sign", program, *with_main, "--key", key, "--output", tmp_path / "again.sig")
    verb("sign", program, "--key", key, "--output", tmp_path / "none.sig", status=2)
    found = json.loads(verb("inspect", "--json", program, *with_main).stdout)
    verified = json.loads(verb("verify", "--json", program, *with_main).stdout)
    sides = ("--ego-enclave-a", main, "--ego-enclave-b", main)
    text = verb("diff", program, program, *sides).stdout

    assert (tmp_path / "again.sig").read_bytes() == (tmp_path / "new.sig").read_bytes()
    assert found["format"] == "open-enclave"
    assert found["files"] == [str(program), str(main)]
    assert found["claim_is_right"]
    assert found["signature"]["isv_prod_id"] == 5
    assert "program data" in {row["name"] for row in found["memory"]}
    assert verified["accepted"]
    assert text.splitlines()[-1].startswith("the same")
