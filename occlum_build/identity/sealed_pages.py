"""What an enclave of this project says about itself: its boot page and its sealed configuration.

Both are measured pages. From the two follows every page but those of the LibOS, so a change of
a stack, a TCS or a save area can be named without the original.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError
from occlum_build.enclave_file.image import EnclaveImage
from occlum_build.identity.page_difference import Difference, Kind, differences
from occlum_build.sgx.boot import BootInfo
from occlum_build.sgx.layout import place, runs_around_libos
from occlum_build.sgx.page import PAGE_BYTES, align_up
from occlum_build.sgx.sealed import MAX_SEALED_BYTES, read_sealed
from occlum_build.sgx.secinfo import READ_ONLY

_MAX_FOUND: Final = 8


@dataclass(frozen=True)
class SealedPages:
    """The boot page, and the bytes of the sealed configuration behind it."""

    boot: BootInfo
    config: bytes

    def document(self) -> dict[str, Any]:
        """The configuration; raises `DiagnosticError` if the LibOS would not take it."""
        read_sealed(self.config, "the sealed configuration")
        document: dict[str, Any] = json.loads(self.config)
        return document

    @property
    def is_canonical(self) -> bool:
        """Whether it is in the one form that sealing writes."""
        document = json.loads(self.config)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode() == self.config


def sealed_pages(image: EnclaveImage) -> SealedPages | None:
    """The boot page and what follows it; None in an enclave of somebody else.

    Raises:
        DiagnosticError: there is a boot page, and what it points to is not there.
    """
    boot = None
    config = bytearray()
    for offset, page in _candidates(image):
        if boot is None:
            boot = _boot(page, offset)
        elif offset == boot.config_start + len(config):
            config += page
        if boot is not None and len(config) >= boot.config_size_bytes:
            return SealedPages(boot, bytes(config[: boot.config_size_bytes]))
    return None if boot is None else SealedPages(boot, bytes(config))


def _candidates(image: EnclaveImage) -> Iterator[tuple[int, bytes]]:
    """Measured pages that nobody may write or execute, and where they are."""
    for run in image.runs():
        if run.secinfo == READ_ONLY and run.measured:
            for index in range(run.page_count):
                yield run.offset + index * PAGE_BYTES, run.page(index)


def _boot(page: bytes, offset: int) -> BootInfo | None:
    try:
        boot = BootInfo.parse(page)
    except DiagnosticError:
        return None
    is_here = boot.config_start == offset + PAGE_BYTES
    return boot if is_here and boot.config_size_bytes <= MAX_SEALED_BYTES else None


def strange_pages(image: EnclaveImage, sealed: SealedPages) -> list[str]:
    """The pages that are not as the sealed configuration demands; the LibOS's are not looked at.

    An empty answer says that a change, if there is one, lies in the LibOS or in the configuration.
    """
    boot = sealed.boot
    config = read_sealed(sealed.config, "the sealed configuration")
    due = place(boot.libos_size_bytes, boot.entry_address - boot.libos_start, config)
    if boot != due:
        return ["the boot page is not the one that the sealed configuration demands"]
    below, above = runs_around_libos(boot, sealed.config)
    libos = range(boot.libos_start, boot.libos_start + align_up(boot.libos_size_bytes, PAGE_BYTES))
    found = differences(
        (one for one in image.runs() if not (one.offset in libos and one.end <= libos.stop)),
        (*below, *above),
    )
    return [_described(one) for one in islice(found, _MAX_FOUND)]


def _described(one: Difference) -> str:
    where = f"{one.name} at {one.offset:#x}"
    match one.kind:
        case Kind.ONLY_A:
            return f"{where} is added, and nothing asks for it"
        case Kind.ONLY_B:
            return f"{where} is missing"
        case Kind.CONTENT:
            return f"{where} has another content, first at {one.places[0].offset:#x}"
        case Kind.MEASURED:
            return f"{where} is measured and should not be, or the reverse"
        case Kind.TYPE | Kind.PERMISSIONS:
            return f"{where} has another type, or other permissions"
