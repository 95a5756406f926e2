"""What the sealed configuration says about the enclave's shape.

The sealed configuration is canonical JSON, made by `occlum_build.config`, and
lies in measured pages. The LibOS reads all of it; the layout needs a few
numbers, and takes them from the very bytes that are measured.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.sgx.boot import MemoryModel
from occlum_build.sgx.page import PAGE_BYTES

VERSION: Final = 1
MAX_SEALED_BYTES: Final = 1 << 24
_MODELS: Final = {"sgx1": MemoryModel.SGX1, "edmm": MemoryModel.EDMM}


@dataclass(frozen=True, slots=True)
class SealedConfig:
    """The bytes that go into the enclave, and the numbers in them that shape it.

    The sizes are whole pages and not zero. That they fit together is for the
    layout to find out.
    """

    data: bytes
    memory_model: MemoryModel
    user_space_bytes: int
    kernel_heap_bytes: int
    kernel_stack_bytes: int
    thread_count: int


def read_sealed(data: bytes, file: str) -> SealedConfig:
    """Read a sealed configuration; raises `DiagnosticError` if it is not one."""
    if len(data) > MAX_SEALED_BYTES:
        raise _refusal(file, f"it has {len(data)} bytes, more than {MAX_SEALED_BYTES}")
    try:
        document = json.loads(data)
        return _from_document(data, document)
    except (ValueError, RecursionError) as problem:
        raise _refusal(file, f"it is not JSON of UTF-8 ({type(problem).__name__})") from None
    except (KeyError, TypeError) as problem:
        raise _refusal(file, f"a field is missing or of the wrong type: {problem}") from None
    except _WrongValueError as problem:
        raise _refusal(file, str(problem)) from None


class _WrongValueError(Exception):
    """A field has a value that no enclave can have."""


def _from_document(data: bytes, document: Any) -> SealedConfig:
    if document["version"] != VERSION:
        raise _WrongValueError(f"its version is {document['version']!r}, not {VERSION}")
    memory, threads = document["memory"], document["threads"]
    model = _MODELS.get(memory["model"])
    if model is None:
        raise _WrongValueError(f"no memory model {memory['model']!r}")
    return SealedConfig(
        data=data,
        memory_model=model,
        user_space_bytes=_pages(memory, "user_space_size"),
        kernel_heap_bytes=_pages(memory, "kernel_space_heap_size"),
        kernel_stack_bytes=_pages(memory, "kernel_space_stack_size"),
        thread_count=_positive(threads, "max"),
    )


def _pages(fields: dict[str, Any], name: str) -> int:
    size = _positive(fields, name)
    if size % PAGE_BYTES:
        raise _WrongValueError(f"`{name}` is {size}, not a multiple of {PAGE_BYTES}")
    return size


def _positive(fields: dict[str, Any], name: str) -> int:
    value = fields[name]
    if type(value) is not int or value <= 0:
        raise _WrongValueError(f"`{name}` is {value!r}, not a positive whole number")
    return value


def _refusal(file: str, reason: str) -> DiagnosticError:
    return DiagnosticError(
        error("OB0530", f"this is no sealed configuration: {reason}", Span(file))
    )
