"""Samples that several tests of `occlum_build.sgx` start from."""

import json
from pathlib import Path

import pytest

from occlum_build.sgx.elf import read_libos
from occlum_build.sgx.layout import Layout, make_layout
from occlum_build.sgx.metadata import Metadata
from occlum_build.sgx.sealed import SealedConfig, read_sealed
from occlum_build.sgx.stream import PageRun
from tests.support.elf_file import small_libos

ROOT = Path(__file__).resolve().parents[2]
VECTORS = Path("shared/vectors")


def vector(name: str) -> bytes:
    """A file that nobody in this project made; the test is skipped where it is absent.

    It lies beside the checkout. A test that runs as a target is some way below it.
    """
    for folder in ROOT.parents:
        path = folder / VECTORS / name
        if path.exists():
            return path.read_bytes()
    pytest.skip(f"known answer {name} is in no `{VECTORS}` beside the checkout")


def sealed_json(**changes: object) -> bytes:
    """A sealed configuration as far as the layout reads it."""
    memory = {
        "model": "sgx1",
        "user_space_size": 1 << 20,
        "kernel_space_heap_size": 1 << 16,
        "kernel_space_stack_size": 1 << 14,
    }
    memory.update({name: value for name, value in changes.items() if name in memory})
    document = {"version": 1, "memory": memory, "threads": {"max": changes.get("threads", 2)}}
    return json.dumps(document).encode()


def sealed(**changes: object) -> SealedConfig:
    return read_sealed(sealed_json(**changes), "sealed.json")


def small_layout(**changes: object) -> Layout:
    """A whole enclave of a few hundred pages."""
    return make_layout(read_libos(small_libos().to_bytes(), "libos.elf"), sealed(**changes))


def content(run: PageRun) -> bytes:
    """What is in a run that has its content at hand."""
    assert isinstance(run.data, bytes)
    return run.data


def metadata(**changes: object) -> Metadata:
    fields: dict[str, object] = {
        "product_id": 7,
        "version_number": 3,
        "debuggable": False,
        "enable_kss": False,
        "family_id": bytes(16),
        "ext_prod_id": bytes(16),
        "date": "2030-01-31",
    }
    return Metadata(**(fields | changes))  # type: ignore[arg-type]
