"""The examples, as a newcomer meets them: one command builds everything and runs an enclave."""

import json
import shutil
import subprocess
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

NOT_STARTED = 126
"""Exit status of a program that the LibOS does not start, as a shell has it."""

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
    assert f"MRENCLAVE  {digest(bundle / 'enclave.sgxs')}" in text
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


def test_a_traced_run_tells_the_system_calls_and_measures_the_same(checkout: Checkout) -> None:
    checkout.run("build", "//examples/hello_c:enclave")
    before = digest(checkout.output("examples/hello_c/enclave.bundle") / "enclave.sgxs")
    trace = checkout.root / "calls.txt"

    checkout.run("run", f"--trace={trace}", "//examples/hello_c:enclave")

    lines = trace.read_text(encoding="utf-8").splitlines()
    assert '[1] open("/etc/motd", O_RDONLY|O_LARGEFILE) = 3' in lines
    assert '[1] read(3, "written and read again\\n", 1024) = 23' in lines
    assert lines[-1] == "[1] exit_group(0) = ?"
    after = digest(checkout.output("examples/hello_c/enclave.bundle") / "enclave.sgxs")
    assert after == before


def test_an_enclave_that_may_not_be_debugged_refuses_to_be_traced(checkout: Checkout) -> None:
    config = checkout.root / "examples/hello_c/Occlum.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("debuggable: true", "debuggable: false"), encoding="utf-8")
    try:
        checkout.run("build", "//examples/hello_c:enclave")
        bundle = checkout.output("examples/hello_c/enclave.bundle")
        runner = bundle / "bin/occlum-run"
        ended = subprocess.run(
            [runner, "--trace", bundle], capture_output=True, text=True, check=False
        )
    finally:
        config.write_text(text, encoding="utf-8")

    assert ended.returncode == NOT_STARTED
    assert "the sealed configuration forbids debugging" in ended.stderr
    assert ended.stdout == ""


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return sha256(path.read_bytes()).hexdigest()
