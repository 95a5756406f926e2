"""Finds out which layout a file has, and reads it."""

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from occlum_build.enclave_file.companions import Companions, manifest_of
from occlum_build.enclave_file.content import FileBytes, Place, refuse
from occlum_build.enclave_file.image import EnclaveFormat, EnclaveImage
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES

_STREAM_TAGS: Final = (b"ECREATE\0", b"UNSIZED\0")
_ELF_MAGIC: Final = b"\x7fELF"
_BUNDLE_STREAM: Final = "enclave.sgxs"
_BUNDLE_SIGSTRUCT: Final = "enclave.sig"
_KNOWN: Final = (
    "known are bundles, SGXS files, Gramine manifests, and ELF files of the SGX SDK, Open"
    " Enclave and EGo"
)
_KNOWN_BUT_REFUSED: Final = (
    (b"MZ", "a Windows PE file", "enclaves for Windows are not read; give the Linux build"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it and give the enclave in it"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and give the enclave in it"),
    (b"\xfd7zXZ", "an xz archive", "unpack it and give the enclave in it"),
    (b"!<arch>\n", "an ar archive or a Debian package", "unpack it and give the enclave in it"),
    (b"\x06\x00\x00\x00\xe1\x00\x00\x00", "a SIGSTRUCT alone", "give the enclave it belongs to"),
)


def read_enclave(
    path: str | os.PathLike[str], companions: Companions | None = None
) -> EnclaveImage:
    """The enclave in a file, or in a directory that is a bundle.

    Raises:
        DiagnosticError: it cannot be read, is broken, or has no layout that is known;
            then with what was found instead.
    """
    given = companions or Companions()
    name = os.fspath(path)
    if os.path.isdir(name):
        return _bundle(name, given)
    file = FileBytes(manifest_of(name))
    image = _reader(file)(file, given)
    return _signed(image, given.sigstruct) if given.sigstruct is not None else image


def _reader(file: FileBytes) -> Callable[[FileBytes, Companions], EnclaveImage]:
    start = file.prefix(64)
    if start.startswith(_STREAM_TAGS):
        return _read_stream
    if start.startswith(_ELF_MAGIC):
        return _read_elf
    for magic, found, help_text in _KNOWN_BUT_REFUSED:
        if start.startswith(magic):
            return refuse(
                "OB0541",
                f"this is no enclave that can be measured: it is {found}",
                file.path,
                helps=(help_text,) if help_text else (),
            )
    if _is_text(start):
        return _read_gramine
    return refuse(
        "OB0541",
        "this is no enclave that can be measured: its layout is not known",
        file.path,
        notes=(f"it begins with {start[:16].hex(' ')}",) if start else ("it is empty",),
        helps=(_KNOWN,),
    )


def _read_stream(file: FileBytes, _given: Companions) -> EnclaveImage:
    from occlum_build.enclave_file.sgxs_file import read_sgxs

    return read_sgxs(file)


def _read_gramine(file: FileBytes, given: Companions) -> EnclaveImage:
    from occlum_build.enclave_file.gramine import read_gramine

    return read_gramine(file, given.libpal)


def _is_text(start: bytes) -> bool:
    """Whether a file may be a manifest, which is text."""
    try:
        text = start.decode()
    except UnicodeDecodeError as problem:
        # A character may be cut off at the end of what was read.
        if problem.start < len(start) - 3:
            return False
        text = start[: problem.start].decode()
    return bool(text.strip()) and "\0" not in text


def _read_elf(file: FileBytes, given: Companions) -> EnclaveImage:
    from occlum_build.enclave_file.elf_file import ElfFile
    from occlum_build.enclave_file.intel_sdk import NOTE_SECTION, is_intel_sdk, read_intel_sdk

    elf = ElfFile(file)
    if is_intel_sdk(elf):
        return read_intel_sdk(elf)
    from occlum_build.enclave_file.open_enclave import (
        INFO_SECTION,
        is_open_enclave,
        read_open_enclave,
    )

    if is_open_enclave(elf):
        return read_open_enclave(elf, given.ego_enclave)
    return refuse(
        "OB0541",
        "this is no enclave that can be measured: it is an ELF file without an enclave's metadata",
        file.path,
        notes=(f"it has no section `{NOTE_SECTION}`, and no `{INFO_SECTION}`",),
        helps=("give the file that `sgx_sign`, `oesign` or `ego sign` wrote",),
    )


def _bundle(directory: str, given: Companions) -> EnclaveImage:
    from occlum_build.enclave_file.sgxs_file import read_sgxs

    stream = os.path.join(directory, _BUNDLE_STREAM)
    if not os.path.isfile(stream):
        refuse(
            "OB0541",
            "this directory is no bundle of an enclave",
            directory,
            notes=(f"a bundle has a file `{_BUNDLE_STREAM}`",),
        )
    image = replace(read_sgxs(FileBytes(stream)), format=EnclaveFormat.BUNDLE, file=directory)
    sigstruct = given.sigstruct or os.path.join(directory, _BUNDLE_SIGSTRUCT)
    if given.sigstruct is None and not os.path.lexists(sigstruct):
        return image
    return _signed(image, sigstruct)


def _signed(image: EnclaveImage, path: str) -> EnclaveImage:
    """The enclave with a SIGSTRUCT from a file of its own."""
    file = FileBytes(path)
    if file.size_bytes != SIGSTRUCT_BYTES:
        refuse("OB0510", f"a SIGSTRUCT has {SIGSTRUCT_BYTES} bytes, not {file.size_bytes}", path)
    return replace(
        image,
        sigstruct_bytes=file.read(0, SIGSTRUCT_BYTES),
        sigstruct_place=Place(path, 0),
        files=(*image.files, path),
    )
