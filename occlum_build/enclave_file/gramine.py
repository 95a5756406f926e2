"""Gramine enclaves: a manifest, the loader `libpal.so`, and a SIGSTRUCT beside them.

Gramine signs no file of its own format: `gramine-sgx-sign` lays the enclave out from
`NAME.manifest.sgx` and `libpal.so`, measures it, and writes `NAME.sig`. Areas are
placed from the top of the address range down and hashed in that order, the heap
last. (Gramine 1.0 to 1.9: `sgx_sign.py`, `pal_linux_defs.h` and `pal_tcb.h`. Until
1.4 an enclave whose programs are position independent lay above its own size.)
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from occlum_build.enclave_file.companions import MANIFEST_SUFFIX, beside, sigstruct_beside
from occlum_build.enclave_file.content import FileBytes, Piece, Pieces, Place, broken, refuse
from occlum_build.enclave_file.elf_file import ElfFile
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage
from occlum_build.enclave_file.limits import check_runs, check_size
from occlum_build.enclave_file.segments import segment_run
from occlum_build.sgx.page import PAGE_BYTES, align_down, align_up
from occlum_build.sgx.secinfo import READ_ONLY, READ_WRITE, READ_WRITE_EXECUTE, TCS, SecInfo
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES
from occlum_build.sgx.stream import PageRun
from occlum_build.sgx.tcs import Tcs

_LIBPAL: Final = "libpal.so"
_MAX_MANIFEST_BYTES: Final = 64 << 20
_MAX_THREADS: Final = 1 << 12

_SSA_FRAME_PAGES: Final = 4
_SSA_FRAMES: Final = 2
_STACK_PAGES: Final = 64
_SIGNAL_STACK_PAGES: Final = 16
_HEAP_MIN: Final = 0x10000
_CANARY: Final = 0xBADBADBADBAD
_GPR_BYTES: Final = 184
# PAL_TCB and struct pal_enclave_tcb: self, canary, 256 bytes for the LibOS; enclave size, TCS
# offset, stack, 8 bytes, signal stack from and to, 8 bytes, SSA, GPR, 72 bytes, manifest size,
# heap from and to
_TLS: Final = struct.Struct("<QQ256xQQQ8xQQ8xQQ72xQQQ")
_UNITS: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True, slots=True)
class _Settings:
    """What of a manifest shapes the enclave."""

    size_bytes: int
    threads: int
    has_edmm: bool
    base: int
    """Where the enclave lies: its thread pages hold addresses."""


def read_gramine(file: FileBytes, libpal: str | None) -> EnclaveImage:
    """The enclave of a manifest; its SIGSTRUCT is `NAME.sig` beside `NAME.manifest.sgx`.

    Which of two places a version of Gramine gave the enclave is said by the
    manifest, and if its SIGSTRUCT agrees with the other one only, by that.
    """
    settings = _settings(_document(file), file)
    pal = _libpal(file.path, libpal)
    signature = sigstruct_beside(file.path, MANIFEST_SUFFIX)
    images = [_image(file, pal, one, signature) for one in settings]
    for image in images:
        if image.claimed_mrenclave is not None and image.claimed_mrenclave == image.mrenclave:
            return image
    return images[0]


def _image(
    file: FileBytes, pal: ElfFile, settings: _Settings, signature: str | None
) -> EnclaveImage:
    pages = _Pages(file, pal, settings)
    check_size(settings.size_bytes, _SSA_FRAME_PAGES, file.path)
    check_runs(pages.runs(), settings.size_bytes, file.path)
    sigstruct = None if signature is None else FileBytes(signature).read(0, SIGSTRUCT_BYTES)
    return EnclaveImage(
        EnclaveFormat.GRAMINE,
        file.path,
        settings.size_bytes,
        _SSA_FRAME_PAGES,
        pages.runs,
        sigstruct_bytes=sigstruct,
        sigstruct_place=None if signature is None else Place(signature, 0),
        facts={
            "threads": settings.threads,
            "edmm": settings.has_edmm,
            "base": settings.base,
            "libpal": pal.file.path,
        },
        files=(file.path, pal.file.path, *([] if signature is None else [signature])),
        name_at=pages.name_at,
    )


class _Pages:
    """The areas of the enclave, from the top down, and their pages."""

    def __init__(self, manifest: FileBytes, pal: ElfFile, settings: _Settings) -> None:
        self._manifest = manifest
        self._pal = pal
        self._settings = settings
        threads = settings.threads
        # A manifest ends in a zero byte in memory.
        self._manifest_pages = align_up(manifest.size_bytes + 1, PAGE_BYTES) // PAGE_BYTES
        top = settings.size_bytes
        self._manifest_start = top = top - self._manifest_pages * PAGE_BYTES
        self._ssa = top = top - threads * _SSA_FRAMES * _SSA_FRAME_PAGES * PAGE_BYTES
        self._tcs = top = top - threads * PAGE_BYTES
        self._tls = top = top - threads * PAGE_BYTES
        self._stacks_end = top
        top -= threads * _STACK_PAGES * PAGE_BYTES
        self._signal_stacks_end = top
        top -= threads * _SIGNAL_STACK_PAGES * PAGE_BYTES
        self._pal_start = top - self._pal_bytes()
        self._heap_min = max(0, _HEAP_MIN - settings.base)
        if self._pal_start < self._heap_min:
            broken(
                manifest.path, f"its {threads} threads do not fit into {settings.size_bytes:#x}"
            )

    def runs(self) -> Iterator[PageRun]:
        """All pages, in the order in which Gramine measures them."""
        content = Pieces((Piece(0, self._manifest.size_bytes, self._manifest, 0),))
        yield self._measured(
            "manifest", self._manifest_start, self._manifest_pages, READ_ONLY, content
        )
        threads = range(self._settings.threads)
        ssa_pages = _SSA_FRAMES * _SSA_FRAME_PAGES
        for one in threads:
            start = self._ssa + one * ssa_pages * PAGE_BYTES
            yield self._measured(f"thread {one} SSA", start, ssa_pages, READ_WRITE)
        for one in threads:
            start = self._tcs + one * PAGE_BYTES
            yield self._measured(f"thread {one} TCS", start, 1, TCS, self._tcs_page(one))
        for one in threads:
            start = self._tls + one * PAGE_BYTES
            yield self._measured(f"thread {one} TLS", start, 1, READ_WRITE, self._tls_page(one))
        for one in threads:
            stack = self._stack(one)
            yield self._measured(f"thread {one} stack", stack.start, _STACK_PAGES, READ_WRITE)
        for one in threads:
            stack = self._signal_stack(one)
            yield self._measured(
                f"thread {one} signal stack", stack.start, _SIGNAL_STACK_PAGES, READ_WRITE
            )
        for number, segment in enumerate(self._pal.loads):
            run = segment_run(self._pal, segment, f"libpal segment {number}")
            yield replace(run, offset=run.offset + self._pal_start)
        if not self._settings.has_edmm:
            pages = (self._pal_start - self._heap_min) // PAGE_BYTES
            yield PageRun("heap", self._heap_min, pages, READ_WRITE_EXECUTE, measured=False)

    def name_at(self, offset: int) -> str:
        """Section and symbol of `libpal.so` at an offset."""
        address = offset - self._pal_start
        return self._pal.at_address(address) if address >= 0 else ""

    def _pal_bytes(self) -> int:
        """Length of the address range of `libpal.so`."""
        loads = self._pal.loads
        if not loads or align_down(min(one.address for one in loads), PAGE_BYTES):
            self._pal.refuse("its segments do not begin at address 0")
        for one in loads:
            if (one.offset - one.address) % PAGE_BYTES:
                self._pal.refuse(f"its segment at {one.address:#x} is not aligned in the file")
        return max(align_up(one.end, PAGE_BYTES) for one in loads)

    def _stack(self, thread: int) -> range:
        end = self._stacks_end - thread * _STACK_PAGES * PAGE_BYTES
        return range(end - _STACK_PAGES * PAGE_BYTES, end)

    def _signal_stack(self, thread: int) -> range:
        end = self._signal_stacks_end - thread * _SIGNAL_STACK_PAGES * PAGE_BYTES
        return range(end - _SIGNAL_STACK_PAGES * PAGE_BYTES, end)

    def _ssa_of(self, thread: int) -> int:
        return self._ssa + thread * _SSA_FRAMES * _SSA_FRAME_PAGES * PAGE_BYTES

    def _tcs_page(self, thread: int) -> bytes:
        return Tcs(
            ssa_offset=self._ssa_of(thread),
            ssa_frames=_SSA_FRAMES,
            entry_offset=self._pal_start + self._pal.entry,
            fs_base_offset=0,
            gs_base_offset=self._tls + thread * PAGE_BYTES,
        ).pack()

    def _tls_page(self, thread: int) -> bytes:
        base = self._settings.base
        ssa = base + self._ssa_of(thread)
        signal_stack = self._signal_stack(thread)
        return _TLS.pack(
            base + self._tls + thread * PAGE_BYTES,
            _CANARY,
            self._settings.size_bytes,
            self._tcs + thread * PAGE_BYTES,
            base + self._stack(thread).stop,
            base + signal_stack.start,
            base + signal_stack.stop,
            ssa,
            ssa + _SSA_FRAME_PAGES * PAGE_BYTES - _GPR_BYTES,
            self._manifest.size_bytes + 1,
            base + self._heap_min,
            base + self._pal_start,
        )

    @staticmethod
    def _measured(
        name: str, offset: int, pages: int, secinfo: SecInfo, data: bytes | Pieces = b""
    ) -> PageRun:
        return PageRun(name, offset, pages, secinfo, measured=True, data=data)


def _document(file: FileBytes) -> dict[str, Any]:
    import tomllib

    if file.size_bytes > _MAX_MANIFEST_BYTES:
        broken(file.path, f"its manifest has {file.size_bytes} bytes")
    try:
        document = tomllib.loads(file.read(0, file.size_bytes).decode())
    except (ValueError, RecursionError) as problem:
        refuse(
            "OB0541",
            "this is no enclave that can be measured: it is text, but no Gramine manifest",
            file.path,
            notes=(f"it is not TOML: {problem}",),
        )
    if not isinstance(document.get("sgx"), dict):
        refuse(
            "OB0541",
            "this is no enclave that can be measured: it is TOML, but no Gramine manifest",
            file.path,
            notes=("a manifest has a table `sgx`",),
        )
    return document


def _settings(document: dict[str, Any], file: FileBytes) -> list[_Settings]:
    """What the manifest says, and what it may mean, the likelier first."""
    sgx = document["sgx"]
    missing = [name for name in ("enclave_size",) if name not in sgx]
    if "max_threads" not in sgx and "thread_num" not in sgx:
        missing.append("max_threads")
    if missing:
        refuse(
            "OB0541",
            f"this manifest is not the one that is measured: it has no `sgx.{missing[0]}`",
            file.path,
            helps=(f"give the `{MANIFEST_SUFFIX}` that `gramine-sgx-sign` writes",),
        )
    threads = sgx.get("max_threads", sgx.get("thread_num"))
    if type(threads) is not int or not 0 < threads <= _MAX_THREADS:
        broken(file.path, f"it has {threads!r} threads")
    size = _size(sgx["enclave_size"], file)
    has_edmm = sgx.get("edmm_enable", False) is True
    at_zero = _Settings(size, threads, has_edmm, 0)
    above = _Settings(size, threads, has_edmm, size)
    is_old = sgx.get("nonpie_binary") is False
    return [above, at_zero] if is_old else [at_zero]


def _size(value: object, file: FileBytes) -> int:
    """A size as Gramine writes it: a number with K, M or G."""
    text = str(value)
    scale = _UNITS.get(text[-1:], 1)
    digits = text[:-1] if scale > 1 else text
    try:
        return int(digits, 0) * scale
    except ValueError:
        return broken(file.path, f"`sgx.enclave_size` is {value!r}")


def _libpal(manifest: str, given: str | None) -> ElfFile:
    found = beside(manifest, _LIBPAL) if given is None else given
    if given is None and not os.path.isfile(found):
        refuse(
            "OB0545",
            "a Gramine manifest is measured together with the loader it was signed for",
            manifest,
            notes=(f"no file `{_LIBPAL}` is beside it",),
            helps=("give it with `--libpal FILE`; Gramine installs it as `sgx/libpal.so`",),
        )
    elf = ElfFile(FileBytes(found))
    if not elf.is_64:
        elf.refuse("it is an ELF file of 32 bits")
    return elf
