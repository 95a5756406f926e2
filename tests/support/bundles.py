"""Small bundles, made by the very programs that make large ones."""

import json
from pathlib import Path

from occlum_build.config.__main__ import main as config
from occlum_build.evidence.__main__ import main as evidence
from occlum_build.fs.content import BytesContent
from occlum_build.fs.image import pack
from occlum_build.fs.tree import Tree, directory, regular_file
from occlum_build.sgx.__main__ import main as sgx
from tests.support.elf_file import small_libos

ROOT = Path(__file__).resolve().parents[2]
OCCLUM_YAML = """\
resource_limits:
  kernel_space_heap_size: 1MB
  kernel_space_stack_size: 64KB
  user_space_size: 64MB
  max_num_of_threads: 2
process:
  command: [/bin/hello]
metadata:
  product_id: 7
  version_number: 3
  debuggable: {debuggable}
mount:
  - {{type: erofs, target: /, image: root}}
"""


def make_bundle(
    folder: Path,
    key: Path,
    *,
    hello: bytes = b"hello\n",
    debuggable: bool = False,
    is_development: bool = False,
    yaml: str = "",
) -> Path:
    """A signed bundle of a LibOS that cannot run, with an image of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = regular_file(0o755, BytesContent(hello), "test")
    tree = Tree([(b"bin", directory(0o755, "test")), (b"bin/hello", file)])
    pack(tree, folder / "root.erofs")
    text = yaml or OCCLUM_YAML
    (folder / "Occlum.yaml").write_text(text.format(debuggable=str(debuggable).lower()))
    (folder / "libos.elf").write_bytes(small_libos().to_bytes())
    (folder / "runner").write_text("#!/bin/sh\n")
    sealed, metadata = folder / "sealed.json", folder / "metadata.json"
    words: list[str | Path] = [
        *("seal", "--config", folder / "Occlum.yaml", "--output", sealed),
        *("--metadata", metadata, "--image", f"root={folder / 'root.erofs.json'}"),
    ]
    assert config([str(one) for one in words]) == 0
    sgxs, report = folder / "enclave.sgxs", folder / "enclave.json"
    words = ["enclave", "--libos", folder / "libos.elf", "--sealed", sealed]
    assert sgx([str(one) for one in (*words, "--output", sgxs, "--report", report)]) == 0
    words = ["sign", "--sgxs", sgxs, "--metadata", metadata, "--key", key]
    assert sgx([str(one) for one in (*words, "--output", folder / "enclave.sig")]) == 0
    bundle = folder / "enclave.bundle"
    parts = {
        "enclave.sgxs": sgxs,
        "enclave.sig": folder / "enclave.sig",
        "bin/occlum-run": folder / "runner",
        "images/root.erofs": folder / "root.erofs",
    }
    words = [
        *("bundle", "--target", "//app:enclave", "--sealed", sealed, "--report", report),
        *(word for name, path in parts.items() for word in ("--part", f"{name}={path}")),
        *("--key-name", "test", "--output", bundle, "--summary", folder / "summary.txt"),
        *(("--development-key",) if is_development else ()),
    ]
    assert evidence([str(one) for one in words]) == 0
    return bundle


def manifest_of(bundle: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((bundle / "manifest.json").read_bytes())
    return found
