"""An enclave as its file describes it: pages in the order of the hash, and the signer's claim."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final

from occlum_build.diagnostic import Diagnostic
from occlum_build.enclave_file.content import Place
from occlum_build.sgx.page import PAGE_BYTES
from occlum_build.sgx.sigstruct import SigStruct
from occlum_build.sgx.stream import PageRun, measure

_MRENCLAVE: Final = slice(960, 992)


class EnclaveFormat(StrEnum):
    """Who lays an enclave out like this, and so how its pages are found."""

    BUNDLE = "bundle"
    SGXS = "sgxs"
    ESGXS = "esgxs"
    INTEL_SDK = "intel-sdk"
    OPEN_ENCLAVE = "open-enclave"
    GRAMINE = "gramine"


@dataclass(frozen=True, slots=True)
class Hole:
    """Addresses inside the enclave where no page is added before it starts.

    A guard stays empty; what `is_dynamic` is for the enclave to fill when it
    runs (SGX2). Neither enters the measurement.
    """

    name: str
    offset: int
    page_count: int
    is_dynamic: bool = False

    @property
    def end(self) -> int:
        """First offset after the hole."""
        return self.offset + self.page_count * PAGE_BYTES


@dataclass(frozen=True)
class EnclaveImage:
    """What was found in a file, or in the files that together are one enclave.

    `runs()` gives the pages in the order in which they are added and hashed, anew
    at each call and without holding them: layouts of terabytes are a few runs,
    and a stream of records is read as it goes. Offsets count from the enclave's
    base. Names begin with what a page belongs to: `segment 0`, `heap`, `thread 3
    TCS`. `run.page(i)` is the content of a page, `place(run, i)` where the file has it.

    `holes` names addresses that stay free, `facts` is what else the layout says
    about itself, by name, `remarks` are findings that do not prevent measuring:
    each a warning. `files` are all files that were read. `hash_stream` measures a
    file that is itself the stream of hashed bytes.
    """

    format: EnclaveFormat
    file: str
    size_bytes: int
    ssa_frame_pages: int
    runs: Callable[[], Iterator[PageRun]] = field(repr=False)
    holes: tuple[Hole, ...] = ()
    sigstruct_bytes: bytes | None = field(default=None, repr=False)
    sigstruct_place: Place | None = None
    facts: dict[str, object] = field(default_factory=dict)
    remarks: tuple[Diagnostic, ...] = ()
    files: tuple[str, ...] = ()
    hash_stream: Callable[[], bytes] | None = field(default=None, repr=False)
    name_at: Callable[[int], str] | None = field(default=None, repr=False)

    @cached_property
    def mrenclave(self) -> bytes:
        """The MRENCLAVE of these pages. The file's claim plays no part in it."""
        if self.hash_stream is not None:
            return self.hash_stream()
        return measure(self.size_bytes, self.ssa_frame_pages, self.runs())

    @cached_property
    def sigstruct(self) -> SigStruct | None:
        """The SIGSTRUCT, whatever its constants are; None for a file that is not signed."""
        return None if self.sigstruct_bytes is None else SigStruct.read(self.sigstruct_bytes)

    @property
    def claimed_mrenclave(self) -> bytes | None:
        """ENCLAVEHASH of the SIGSTRUCT: a claim, until `mrenclave` equals it."""
        return None if self.sigstruct_bytes is None else self.sigstruct_bytes[_MRENCLAVE]

    def describe(self, offset: int) -> str:
        """Section and symbol at this offset, ``""`` where the file names none."""
        return "" if self.name_at is None else self.name_at(offset)


def place(run: PageRun, page: int, byte: int = 0) -> Place | None:
    """Where a file has this byte of the page; None where the loader made it."""
    find: Callable[[int], Place | None] | None = getattr(run.data, "place", None)
    return None if find is None else find(page * PAGE_BYTES + byte)
