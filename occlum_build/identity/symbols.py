"""Names for the pages of a LibOS, from the ELF file that it was made of."""

from dataclasses import replace

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.enclave_file.content import FileBytes
from occlum_build.enclave_file.elf_file import ElfFile
from occlum_build.enclave_file.image import EnclaveImage
from occlum_build.identity.sealed_pages import sealed_pages


def with_symbols(image: EnclaveImage, path: str) -> EnclaveImage:
    """The same enclave, which now names sections and symbols of its LibOS.

    A stream of pages has no symbols. Whether this is the right file nothing can tell, so a wrong
    one gives wrong names, and no wrong difference. Raises `DiagnosticError` if it is no ELF file.
    """
    sealed = sealed_pages(image)
    if sealed is None:
        raise DiagnosticError(
            error(
                "OB0568",
                "symbols are for an enclave of this project, which says where its LibOS lies",
                Span(image.file),
                helps=("enclaves of other makers are ELF files, and name their own",),
            )
        )
    elf = ElfFile(FileBytes(path))
    start = sealed.boot.libos_start
    return replace(image, name_at=lambda offset: elf.at_address(offset - start))
