"""What `measure` and `inspect` say, word for word, where a person reads it."""

import io
import struct
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest

from occlum_build.cli.entry import main
from tests.support.enclave_files import (
    TCS_PAGE,
    ElfEnclave,
    Entry,
    Group,
    Metadata,
    OpenEnclave,
    Part,
    R,
    Section,
    W,
    sgxmeta_note,
)

HERE = Path(__file__).parent
Golden = Callable[[Path, str], None]
TCS = struct.pack("<16xQIIQQQQII", 0x1000, 0, 2, 0x1000, 0, 0x13000, 0x13000, 0xFFF, 0xFFF)
THREAD: list[Entry | Group] = [
    Entry(10, 0, 16, 0x110000, 0),
    Entry(8, 3, 4, 0x120000, W, fill=0xCCCCCCCC),
    Entry(4, 3, 1, 0x134000, TCS_PAGE, content=TCS),
    Entry(6, 3, 2, 0x135000, W),
    Entry(5, 3, 1, 0x147000, W),
    Group(5, 7, 0x40000),
]
METADATA = Metadata(
    (3, 3),
    1 << 26,
    1,
    [Entry(1, 1, 256, 0x10000, W), Entry(13, 8, 64, 0x800000, W), *THREAD],
)
PARTS = [Part(4, 0, b"head", 4), Part(7, 0x1000, b"code" * 2000, 9000)]


def sigstruct(mrenclave: bytes = bytes(32)) -> bytes:
    """A SIGSTRUCT of a signer that has no key, with every field set to something."""
    head = bytes.fromhex("06000000e10000000000010000000000") + bytes(4)
    head += bytes.fromhex("15032620") + bytes.fromhex("01010000600000006000000001000000")
    head += struct.pack("<I84x", 7)
    key = b"\x11" * 384 + struct.pack("<I", 3) + b"\x05" * 384
    body = struct.pack(
        "<IIBB2x16sQQQQ32s16x16sHH",
        1,
        0xFFFFFFFE,
        3,
        0x3F,
        b"family".ljust(16, b"\0"),
        0x84,
        0xE7,
        0xFFFFFFFFFFFFFFFD,
        0xFFFFFFFFFFFFFF1B,
        mrenclave,
        b"product".ljust(16, b"\0"),
        258,
        4,
    )
    return head + key + body + bytes(12) + b"\x01" * 384 + b"\x02" * 384


def sdk(metadata: Metadata = METADATA, parts: list[Part] = PARTS) -> bytes:
    return ElfEnclave(parts, [sgxmeta_note([metadata.to_bytes()])]).to_bytes()


def claimed(mrenclave: bytes) -> bytes:
    return sdk(replace(METADATA, sigstruct=sigstruct(mrenclave)))


def ego_program() -> bytes:
    info = bytearray(OpenEnclave(1, 1, 1).properties(bytes(1808)).ljust(0x810, b"\0"))
    struct.pack_into("<QQ", info, 0x800, 1, 1)
    part = Part(6, 0x1000, bytes(info), len(info))
    return ElfEnclave([part], [Section(".oeinfo", 1, bytes(info), 0x1000)]).to_bytes()


CASES: dict[str, tuple[str, bytes]] = {
    "another_claim": ("enclave.signed.so", claimed(b"\x42" * 32)),
    "broken": ("enclave.signed.so", sdk(replace(METADATA, size=0x3000))),
    "broken_stream": ("enclave.sgxs", b"ECREATE\0" + bytes(20)),
    "too_large": (
        "enclave.signed.so",
        sdk(replace(METADATA, size=1 << 46, layout=[Entry(1, 1, 1 << 30, 0x10000, R)])),
    ),
    "no_enclave": ("program", ElfEnclave(PARTS).to_bytes()),
    "unknown": ("file", b"\xff" * 20),
    "windows": ("enclave.signed.dll", b"MZ" + bytes(60)),
    "not_signed": ("enclave.so", ElfEnclave(PARTS, [sgxmeta_note([])]).to_bytes()),
    "no_libpal": ("app.manifest.sgx", b'[sgx]\nenclave_size = "8M"\nmax_threads = 1\n'),
    "not_the_manifest": ("app.manifest", b"[sgx]\ndebug = true\n"),
    "ego_program": ("program", ego_program()),
    "two_enclaves": (
        "enclave.signed.so",
        ElfEnclave(
            PARTS,
            [
                sgxmeta_note(
                    [
                        METADATA.to_bytes(),
                        replace(METADATA, version=(1, 5), ssa_frame_pages=2).to_bytes(),
                    ]
                )
            ],
        ).to_bytes(),
    ),
}


def said(verb: str, *words: str) -> tuple[int, str]:
    """Status, and all that a terminal shows."""
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        status = main([verb, *words])
    return status, output.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_a_diagnostic_says_what_is_wrong_and_what_to_do(
    name: str, golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file, data = CASES[name]
    Path(file).write_bytes(data)

    status, text = said("measure", file)

    golden(HERE / f"{name}.txt", f"exit status {status}\n{text}")


def test_inspect_shows_all_that_the_file_says(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("enclave.signed.so").write_bytes(claimed(bytes(32)))
    mrenclave = said("measure", "enclave.signed.so")[1].partition("\n")[0]
    Path("enclave.signed.so").write_bytes(claimed(bytes.fromhex(mrenclave)))

    status, text = said("inspect", "enclave.signed.so")

    assert status == 0
    golden(HERE / "inspect.txt", text)


def test_inspect_can_show_every_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("enclave.signed.so").write_bytes(sdk())

    folded, unfolded = (said("inspect", "enclave.signed.so", *x)[1] for x in ((), ("--all",)))

    assert "thread 7 TCS" in unfolded
    assert "thread 7" not in folded
    assert "threads 1 to 7: the same, 0x40000 apart" in folded
    for text in (folded, unfolded):
        assert "dynamic heap, rest (added when it runs)" in text
        assert text.endswith("free\n")
