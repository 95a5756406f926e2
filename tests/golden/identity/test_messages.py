"""What `sign`, `verify` and `diff` print, as a person sees it. Hashes are shown as `#`."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from occlum_build.cli.entry import main
from occlum_build.enclave_file.image import place
from occlum_build.enclave_file.read import read_enclave
from occlum_build.sgx.secinfo import READ_EXECUTE
from tests.support.bundles import OCCLUM_YAML, make_bundle

HERE = Path(__file__).parent
GOOD_POLICY = """\
version: 1
product_id: 7
min_version_number: 3
attributes: {required: [MODE64BIT]}
xfrm: [AVX, AVX512]
max_threads: 3
"""


@dataclass(frozen=True)
class Inputs:
    """The current directory of a case has these as `bundle`, `debug` and `key.pem`."""

    bundle: Path
    debug: Path
    key: Path


@pytest.fixture
def inputs(
    bundle: Path, debug_bundle: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Inputs:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle, "bundle")
    shutil.copytree(debug_bundle, "debug")
    shutil.copy(key, "key.pem")
    return Inputs(bundle, debug_bundle, key)


def flip(path: str, byte: int) -> None:
    data = bytearray(Path(path).read_bytes())
    data[byte] ^= 1
    Path(path).chmod(0o644)
    Path(path).write_bytes(data)


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def accepted() -> list[str]:
    return ["verify", "bundle"]


def accepted_by_a_policy() -> list[str]:
    Path("policy.yaml").write_text(GOOD_POLICY)
    return ["verify", "bundle", "--policy", "policy.yaml"]


def debug_is_called_out() -> list[str]:
    return ["verify", "debug"]


def debug_against_a_policy() -> list[str]:
    Path("policy.yaml").write_text("version: 1\nmin_version_number: 4\nunmeasured: forbidden\n")
    return ["verify", "debug", "--policy", "policy.yaml"]


def changed_field() -> list[str]:
    flip("bundle/enclave.sig", 1026)
    return ["verify", "bundle"]


def changed_quotient() -> list[str]:
    flip("bundle/enclave.sig", 1424)
    return ["verify", "bundle"]


def changed_image() -> list[str]:
    flip("bundle/images/root.erofs", 1024)
    return ["verify", "bundle"]


def changed_stream() -> list[str]:
    flip("bundle/enclave.sgxs", 64)
    return ["verify", "bundle"]


def another_enclave_expected() -> list[str]:
    return ["verify", "bundle", "--mrenclave", "ab" * 32, "--mrsigner", "cd" * 32]


def unsigned_stream() -> list[str]:
    return ["verify", "bundle/enclave.sgxs"]


def signature_without_its_enclave() -> list[str]:
    mrenclave = read_enclave("bundle").mrenclave.hex()
    return ["verify", "bundle/enclave.sig", "--mrenclave", mrenclave]


def claim_that_is_enough() -> list[str]:
    return [*signature_without_its_enclave(), "--accept-claim"]


def policy_on_pages_without_pages() -> list[str]:
    Path("policy.yaml").write_text("version: 1\nclaim: allowed\nmax_threads: 3\n")
    return ["verify", "bundle/enclave.sig", "--policy", "policy.yaml"]


def wrong_policy() -> list[str]:
    Path("policy.yaml").write_text(
        "version: 1\nmrsinger: [aa]\nmrenclave: [ABC]\ndebug: yes\nmin_version_number: -1\n"
        "kss: {familyid: x}\nattributes: {required: [KSS, SGX]}\n"
    )
    return ["verify", "bundle", "--policy", "policy.yaml"]


def policy_without_version() -> list[str]:
    Path("policy.yaml").write_text("debug: allowed\ndebug: forbidden\n")
    return ["verify", "bundle", "--policy", "policy.yaml"]


def no_enclave() -> list[str]:
    Path("note").write_bytes(b"\0hello")
    return ["verify", "note"]


def same() -> list[str]:
    return ["diff", "bundle", "bundle"]


def another_signature() -> list[str]:
    main(["sign", "bundle", "--key", "key.pem", "--output", "new", "--date", "2030-01-31"])
    return ["diff", "bundle", "new"]


def another_file_and_setting() -> list[str]:
    return ["diff", "bundle", "debug"]


def more_threads() -> list[str]:
    text = OCCLUM_YAML.replace("max_num_of_threads: 2", "max_num_of_threads: 3")
    text = text.replace("kernel_space_stack_size: 64KB", "kernel_space_stack_size: 96KB")
    make_bundle(Path("more"), Path("key.pem"), yaml=text)
    Path("more/enclave.bundle").rename("threads")
    return ["diff", "bundle", "threads"]


def one_bit_of_code() -> list[str]:
    runs = read_enclave("bundle").runs()
    code = next(one for one in runs if one.measured and one.secinfo == READ_EXECUTE)
    found = place(code, 0, 0x123)
    assert found is not None
    shutil.copytree("bundle", "changed")
    flip("changed/enclave.sgxs", found.offset)
    return ["diff", "bundle", "changed"]


def symbols_of_somebody_else() -> list[str]:
    Path("changed").mkdir()
    stream = Path("bundle/enclave.sgxs").read_bytes().replace(b"OCCLUMBI", b"SOMEBODY", 1)
    Path("other.sgxs").write_bytes(stream)
    return ["diff", "other.sgxs", "bundle", "--symbols-a", "key.pem"]


def signed_bundle() -> list[str]:
    return ["sign", "bundle", "--key", "key.pem", "--output", "new", "--date", "2030-01-31"]


def block_to_sign() -> list[str]:
    return ["sign", "bundle", "--emit-tbs", "tbs"]


def block_of_another_signer() -> list[str]:
    main(["sign", "bundle", "--emit-tbs", "tbs"])
    return ["sign", "tbs", "--key", "key.pem", "--output", "sig"]


def no_key() -> list[str]:
    return ["sign", "bundle"]


def two_keys() -> list[str]:
    return ["sign", "bundle", "--key", "key.pem", "--attach", "raw"]


def output_is_there() -> list[str]:
    return ["sign", "bundle", "--key", "key.pem", "--output", "debug"]


def output_in_the_bundle() -> list[str]:
    return ["sign", "bundle", "--key", "key.pem", "--output", "bundle/../bundle/new"]


def bundle_that_cannot_be_copied() -> list[str]:
    Path("bundle/images/link").symlink_to("gone")
    Path("bundle/images/more").mkdir()
    os.mkfifo("bundle/images/more/pipe")
    return ["sign", "bundle", "--key", "key.pem", "--output", "new"]


def output_without_a_directory() -> list[str]:
    return ["sign", "bundle", "--key", "key.pem", "--output", "no/such/new"]


def block_without_a_directory() -> list[str]:
    return ["sign", "bundle", "--emit-tbs", "no/such/tbs"]


def output_that_is_a_pipe() -> list[str]:
    os.mkfifo("pipe")
    return ["sign", "bundle", "--emit-tbs", "pipe"]


def metadata_that_are_none() -> list[str]:
    return ["sign", "bundle", "--emit-tbs", "tbs", "--metadata", "bundle/manifest.json"]


def metadata_that_are_no_json() -> list[str]:
    return ["sign", "bundle", "--emit-tbs", "tbs", "--metadata", "bundle/enclave.sig"]


def signature_that_is_not_there() -> list[str]:
    return ["verify", "bundle", "--signature", "no.sig"]


def unsignable() -> list[str]:
    Path("note").write_bytes(b"\0hello")
    return ["sign", "note", "--key", "key.pem", "--output", "sig"]


def ids_without_kss() -> list[str]:
    return ["sign", "bundle", "--emit-tbs", "tbs", "--family-id", "ab" * 16]


def another_signer() -> list[str]:
    return ["sign", "bundle", "--key", "key.pem", "--output", "new", "--mrsigner", "ab" * 32]


def attached(*more: str) -> list[str]:
    main(["sign", "bundle", "--emit-tbs", "tbs"])
    openssl("dgst", "-sha256", "-sign", "key.pem", "-out", "raw", "tbs")
    openssl("rsa", "-in", "key.pem", "-pubout", "-out", "public.pem")
    words = ["--attach", "raw", "--public-key", "public.pem", "--output", "sig"]
    return ["sign", "tbs", *words, *more]


def signature_of_other_bytes() -> list[str]:
    return attached("--version-number", "9")


def signature_in_another_order() -> list[str]:
    words = attached()
    Path("raw").write_bytes(Path("raw").read_bytes()[::-1])
    return words


def signature_by_another_key() -> list[str]:
    words = attached()
    Path("raw").write_bytes(b"\1" * 384)
    return words


def signature_of_another_size() -> list[str]:
    words = attached()
    Path("raw").write_bytes(b"\1" * 385)
    return words


def module_that_is_none() -> list[str]:
    Path("pin").write_text("1")
    words = ["--pkcs11-module", "key.pem", "--key-id", "01", "--pin-file", "pin"]
    return ["sign", "bundle", *words, "--output", "new"]


def debug_against_the_configuration() -> list[str]:
    return ["sign", "bundle", "--emit-tbs", "tbs", "--debuggable", "true"]


def no_device_package() -> list[str]:
    sys.modules["pkcs11"] = None  # type: ignore[assignment]
    return ["sign", "bundle", "--pkcs11-module", "m.so", "--key-id", "01", "--output", "new"]


def no_manifest() -> list[str]:
    Path("bundle/manifest.json").chmod(0o644)
    Path("bundle/manifest.json").write_text("[]")
    return ["sign", "bundle", "--key", "key.pem", "--output", "new"]


CASES: dict[Callable[[], list[str]], int] = {
    accepted: 0,
    accepted_by_a_policy: 0,
    debug_is_called_out: 0,
    debug_against_a_policy: 1,
    changed_field: 1,
    changed_quotient: 1,
    changed_image: 1,
    changed_stream: 1,
    another_enclave_expected: 1,
    unsigned_stream: 1,
    signature_without_its_enclave: 1,
    claim_that_is_enough: 0,
    policy_on_pages_without_pages: 1,
    wrong_policy: 2,
    policy_without_version: 2,
    no_enclave: 2,
    same: 0,
    another_signature: 1,
    another_file_and_setting: 1,
    more_threads: 1,
    one_bit_of_code: 1,
    symbols_of_somebody_else: 2,
    signed_bundle: 0,
    block_to_sign: 0,
    block_of_another_signer: 0,
    no_key: 2,
    two_keys: 2,
    output_is_there: 2,
    unsignable: 2,
    output_in_the_bundle: 2,
    bundle_that_cannot_be_copied: 1,
    output_without_a_directory: 1,
    block_without_a_directory: 1,
    output_that_is_a_pipe: 1,
    metadata_that_are_none: 2,
    metadata_that_are_no_json: 2,
    signature_that_is_not_there: 2,
    ids_without_kss: 2,
    another_signer: 2,
    signature_of_other_bytes: 2,
    signature_in_another_order: 2,
    signature_by_another_key: 2,
    signature_of_another_size: 2,
    module_that_is_none: 2,
    no_manifest: 2,
    debug_against_the_configuration: 2,
    no_device_package: 2,
}


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_the_text_is_what_a_person_agreed_to(
    case: Callable[[], list[str]],
    capsys: pytest.CaptureFixture[str],
    golden: Callable[[Path, str], None],
) -> None:
    before = sys.modules.get("pkcs11")
    words = case()
    capsys.readouterr()

    status = main(words)
    if before is None:
        sys.modules.pop("pkcs11", None)
    else:
        sys.modules["pkcs11"] = before

    shown = capsys.readouterr()
    text = f"$ occlum-build {' '.join(words)}\n{shown.out}{shown.err}"
    assert status == CASES[case], text
    text = re.sub(r"\b[0-9a-f]{64}\b", "#" * 64, text).replace(sys.executable, "python")
    golden(HERE / f"{case.__name__}.txt", text)
