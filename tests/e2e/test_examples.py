"""The examples, as a newcomer meets them: one command builds everything and runs an enclave."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, Checkout, copy_project, machine_cache

EXPECTED = {
    "hello_c": "expected.txt",
    "hello_glibc": "expected.txt",
    "hello_rust": "expected.txt",
    "hello_cpp": "expected.txt",
    "custom_rule": "expected.txt",
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that shares the machine's cache."""
    root = tmp_path_factory.mktemp("examples") / "source"
    copy_project(root)
    return Checkout(root, machine_cache())


@pytest.mark.parametrize("example", sorted(EXPECTED))
def test_an_example_runs_in_an_enclave_and_prints_what_it_should(
    checkout: Checkout, example: str
) -> None:
    checkout.run("build", f"//examples/{example}:enclave")

    printed = checkout.run("run", f"//examples/{example}:enclave").text

    expected = (ROOT / "examples" / example / EXPECTED[example]).read_text(encoding="utf-8")
    assert printed.endswith(expected)


@pytest.mark.parametrize("example", sorted(EXPECTED))
def test_the_manifest_of_an_example_says_what_is_in_the_bundle(
    checkout: Checkout, example: str
) -> None:
    checkout.run("build", f"//examples/{example}:enclave")

    bundle = checkout.output(f"examples/{example}/enclave.bundle")
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    assert manifest["mrenclave"] == digest(bundle / "enclave.sgxs")
    assert manifest["signing_key"] == {"name": "development", "development": True}
    listed = {one["path"]: one["sha256"] for one in manifest["files"]}
    found = {one.relative_to(bundle).as_posix() for one in bundle.rglob("*") if one.is_file()}
    assert set(listed) == found - {"manifest.json"}
    assert all(digest(bundle / path) == value for path, value in listed.items())


def test_a_build_ends_with_the_measurement(checkout: Checkout) -> None:
    text = checkout.run("build", "//examples/hello_c:enclave").text

    bundle = checkout.output("examples/hello_c/enclave.bundle")
    assert f"MRENCLAVE {digest(bundle / 'enclave.sgxs')}" in text
    assert "development key" in text


def test_an_enclave_that_is_built_again_from_nothing_has_the_same_measurement(
    checkout: Checkout,
) -> None:
    checkout.run("build", "//examples/hello_c:enclave")
    bundle = checkout.output("examples/hello_c/enclave.bundle")
    before = (bundle / "manifest.json").read_bytes()

    shutil.rmtree(checkout.root / "out")
    ended = checkout.run("build", "//examples/hello_c:enclave")

    assert "Enclave" in ended.mnemonics
    assert (bundle / "manifest.json").read_bytes() == before


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return sha256(path.read_bytes()).hexdigest()
