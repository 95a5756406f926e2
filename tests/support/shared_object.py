"""Shared objects and programs as small as a dynamic loader accepts."""

import struct

GLIBC = "/lib64/ld-linux-x86-64.so.2"


def elf(
    *needed: str,
    interpreter: str | None = None,
    soname: str | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    machine: int = 62,
    flags_1: int = 0,
) -> bytes:
    """A shared object as small as a loader accepts."""
    strings = b"\0"
    tags: list[tuple[int, int]] = []
    named = [(1, name) for name in needed]
    named += [(tag, text) for tag, text in ((14, soname), (15, rpath), (29, runpath)) if text]
    for tag, text in named:
        tags.append((tag, len(strings)))
        strings += text.encode() + b"\0"
    tags += [(0x6FFF_FFFB, flags_1)] if flags_1 else []
    headers = 64 + 3 * 56
    dynamic_size = (len(tags) + 3) * 16
    tags += [(5, headers + dynamic_size), (10, len(strings)), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *tag) for tag in tags)
    path = (interpreter or "").encode() + b"\0"
    total = headers + len(dynamic) + len(strings) + len(path)
    segments = [
        (1, 5, 0, 0, 0, total, total, 4096),
        (2, 6, headers, headers, 0, len(dynamic), len(dynamic), 8),
        (3 if interpreter else 0, 4, total - len(path), 0, 0, len(path), len(path), 1),
    ]
    return b"".join(
        [
            b"\x7fELF\x02\x01\x01".ljust(16, b"\0"),
            struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0),
            *(struct.pack("<IIQQQQQQ", *segment) for segment in segments),
            dynamic + strings + path,
        ],
    )


def program(*needed: str, interpreter: str = GLIBC, **facts: str) -> bytes:
    return elf(*needed, interpreter=interpreter, **facts)  # type: ignore[arg-type]
