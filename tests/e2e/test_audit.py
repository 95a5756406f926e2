"""`audit BUNDLE --source`: whether a source makes a bundle, answered by making it again."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from occlum_build.evidence import dsse
from tests.support.checkout import ROOT, machine_cache
from tests.support.document_keys import KEYS, pem
from tests.support.elf_file import small_libos

_START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from occlum_build.cli.start import main; sys.exit(main())"
)
RULES = """\
from occlum.rules.providers import BinaryInfo, LibosInfo

from occlum_build.api import Annotated, Attrs, DefaultInfo, Field, Label, Rule, Source


class FileAttrs(Attrs):
    file: Annotated[Label, Source()] = Field(description="An ELF file.")


def analyze(ctx):
    file = ctx.file(ctx.attrs.file)
    return [DefaultInfo((file,)), LibosInfo(file), BinaryInfo(file)]


ready = Rule(attrs=FileAttrs, analyze=analyze, provides=(DefaultInfo, LibosInfo, BinaryInfo))
"""
BUILD = """\
load("@occlum//rules:defs.bzl", "enclave_signature", "erofs_image", "occlum_bundle")
load("@occlum//rules:defs.bzl", "occlum_enclave", "rootfs")
load("//app:ready.py", "ready")

ready(name = "libos", file = "libos.elf")

rootfs(
    name = "files",
    files = {"/etc/motd": "motd", "/bin/hello": "hello"},
    modes = {"/bin/hello": "755"},
)

erofs_image(name = "root", tree = ":files")

occlum_enclave(name = "enclave", config = "o.yaml", images = {"root": ":root"}, libos = ":libos")

enclave_signature(name = "signature", enclave = ":enclave", key = "release")

occlum_bundle(name = "bundle", enclave = ":enclave", runner = ":libos", signature = ":signature")
"""
FILES: dict[str, bytes] = {
    "app/ready.py": RULES.encode(),
    "app/BUILD": BUILD.encode(),
    "app/o.yaml": b"process: {command: [/bin/hello]}\n"
    b"mount: [{type: erofs, target: /, image: root}]\n",
    "app/libos.elf": small_libos().to_bytes(),
    "app/hello": b"#!/bin/sh\n",
    "app/motd": b"a text\n",
    "WORKSPACE.occlum": b"",
    ".gitignore": b"/out/\n/.occlum-build/\n",
}
TARGET = "//app:bundle"


@dataclass(frozen=True)
class Site:
    """A source tree under version control, and a bundle that was made from it."""

    source: Path
    bundle: Path
    keys: Path

    def audit(self, *words: str, bundle: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run the verb in the source tree."""
        return tool(self.source, "audit", str(bundle or self.bundle), *words)


def tool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _START, str(ROOT), *words],
        cwd=folder,
        env={**os.environ, "OCCLUM_BUILD_CACHE": str(machine_cache())},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=n", "-c", "user.email=n@example.org"]
    subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The bundle is signed with keys that the auditor does not have."""
    base = tmp_path_factory.mktemp("site")
    source, keys = base / "source", base / "keys"
    for name, content in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    git(source, "init", "-q", "-b", "main")
    git(source, "add", "-A")
    git(source, "commit", "-q", "-m", "first")
    keys.mkdir()
    subprocess.run(
        ["openssl", "genrsa", "-3", "-out", keys / "release.pem", "3072"],
        check=True, capture_output=True,
    )  # fmt: skip
    (keys / "provenance.pem").write_bytes(pem(KEYS["ed25519"]))
    named = [f"--key={name}={keys}/{name}.pem" for name in ("release", "provenance")]
    done = tool(source, "build", *named, TARGET)
    assert done.returncode == 0, done.stderr
    assert "provenance signed by key" in done.stdout
    bundle = base / "published"
    shutil.copytree(source / "out/default/bin/app/bundle.bundle", bundle)
    yield Site(source, bundle, keys)
    shutil.rmtree(base)


def outcomes(text: str) -> dict[str, str]:
    return {one["name"]: one["outcome"] for one in json.loads(text)["parts"]}


def test_the_commit_that_a_bundle_was_made_from_matches(site: Site) -> None:
    done = site.audit("--source", "main", "--json")

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["schema"], found["verdict"], found["target"]) == (1, "match", TARGET)
    assert found["mrenclave"]["published"] == found["mrenclave"]["rebuilt"]
    assert outcomes(done.stdout) == {
        "bin/occlum-run": "same",
        "enclave.sgxs": "same",
        "images/root.erofs": "same",
        "sbom.cdx.json": "same",
        "enclave.sig": "equivalent",
        "provenance": "equivalent",
        "manifest.json": "equivalent",
    }


def test_with_the_publishers_keys_every_byte_matches(site: Site) -> None:
    named = [f"--key={name}={site.keys}/{name}.pem" for name in ("release", "provenance")]

    done = site.audit("--source", ".", "--json", *named)

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(outcomes(done.stdout).values()) == {"same"}


def test_a_bundle_that_was_signed_again_is_what_its_source_makes(
    site: Site, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    key = site.keys / "release.pem"
    done = tool(site.source, "sign", str(site.bundle), "--key", str(key), "--output", str(again))
    assert done.returncode == 0, done.stderr

    missing = site.audit("--source", "main", bundle=again)
    done = site.audit("--source", "main", "--json", f"--key=release={key}", bundle=again)

    assert "no signing key `release` was given" in missing.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    found = outcomes(done.stdout)
    assert (found["enclave.sig"], found["manifest.json"]) == ("same", "equivalent")


def test_another_source_is_a_mismatch_that_ends_in_what_differs(
    site: Site, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(site.source, other, ignore=shutil.ignore_patterns("out", ".git"))
    (other / "app/motd").write_text("another text\n")

    done = site.audit("--source", str(other))

    assert done.returncode == 1, done.stdout + done.stderr
    assert "source `app/motd` differs" in done.stdout
    assert "images/root.erofs, enclave.sgxs" in done.stdout or "enclave.sgxs" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("MISMATCH: ")


def test_a_bundle_whose_runner_was_swapped_is_a_mismatch_with_the_same_enclave(
    site: Site, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(site.bundle, bundle)
    (bundle / "bin/occlum-run").chmod(0o755)
    (bundle / "bin/occlum-run").write_bytes(b"#!/bin/evil\n")

    done = site.audit("--source", ".", bundle=bundle)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "different   bin/occlum-run" in done.stdout
    assert "MISMATCH: the enclave is the same" in done.stdout


def test_the_signature_over_the_provenance_is_checked_offline(site: Site, tmp_path: Path) -> None:
    key = KEYS["ed25519"].public_key()
    envelope = (site.bundle / "provenance.dsse.json").read_bytes()
    assert json.loads(dsse.verified(envelope, key))["subject"]
    (tmp_path / "key.pem").write_bytes(pem(KEYS["ed25519"]))
    (tmp_path / "other.pem").write_bytes(pem(KEYS["ecdsa"]))

    words = ("verify", str(site.bundle), "--provenance-key")
    right = tool(site.source, *words, str(tmp_path / "key.pem"))
    wrong = tool(site.source, *words, str(tmp_path / "other.pem"))

    assert "pass  provenance-signature" in right.stdout
    assert (right.returncode, wrong.returncode) == (0, 1)
    assert "fail  provenance-signature" in wrong.stdout


@pytest.mark.parametrize("words", [("--source", "nowhere"), (), ("--source", "app")])
def test_wrong_input_has_no_verdict(site: Site, words: tuple[str, ...]) -> None:
    done = site.audit(*words)

    assert done.returncode == 2
    assert "MATCH" not in done.stdout
    assert "error[OB0" in done.stderr
