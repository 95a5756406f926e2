"""Signing: what is made, who can check it, and which keys are refused."""

import concurrent.futures
import hashlib
import subprocess
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.key import (
    ensure_development_key,
    public_pem,
    read_private_key,
    read_public_key,
)
from occlum_build.sgx.metadata import read_metadata
from occlum_build.sgx.sign import attach, sign
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES, SigStruct, quotients
from occlum_build.sgx.verify import faults, parse_and_check
from tests.support.sgx_samples import metadata

MRENCLAVE = hashlib.sha256(b"enclave").digest()


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def refusal_of(path: Path) -> str:
    with pytest.raises(DiagnosticError) as caught:
        read_private_key(path)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic.message


def test_a_signature_is_the_same_bytes_each_time(key: Path) -> None:
    identity = metadata().identity(MRENCLAVE)

    first = sign(identity, read_private_key(key)).pack()
    second = sign(identity, read_private_key(key)).pack()

    assert first == second
    assert len(first) == SIGSTRUCT_BYTES


def test_what_was_signed_can_be_read_back(key: Path) -> None:
    chosen = metadata(enable_kss=True, family_id=b"F" * 16, ext_prod_id=b"P" * 16)

    packed = sign(chosen.identity(MRENCLAVE), read_private_key(key)).pack()

    sigstruct = parse_and_check(packed, "enclave.sig", MRENCLAVE)
    assert sigstruct.identity == chosen.identity(MRENCLAVE)
    assert packed[20:24] == bytes.fromhex("31013020")
    assert packed[912:928] == b"F" * 16
    assert packed[1008:1024] == b"P" * 16
    assert packed[1024:1028] == b"\7\0\3\0"


def test_openssl_agrees_with_the_signature(key: Path, tmp_path: Path) -> None:
    identity = metadata().identity(MRENCLAVE)
    packed = sign(identity, read_private_key(key)).pack()
    (tmp_path / "public.pem").write_bytes(public_pem(read_public_key(key)))
    (tmp_path / "tbs").write_bytes(packed[:128] + packed[900:1028])
    (tmp_path / "raw").write_bytes(packed[516:900][::-1])

    openssl(
        *("dgst", "-sha256", "-verify", tmp_path / "public.pem"),
        *("-signature", tmp_path / "raw", tmp_path / "tbs"),
    )


def test_a_signature_made_by_openssl_gives_the_same_file(key: Path, tmp_path: Path) -> None:
    identity = metadata().identity(MRENCLAVE)
    (tmp_path / "tbs").write_bytes(identity.signed_bytes())
    openssl("dgst", "-sha256", "-sign", key, "-out", tmp_path / "raw", tmp_path / "tbs")
    modulus = read_public_key(key).public_numbers().n

    attached = attach(identity, modulus, (tmp_path / "raw").read_bytes(), "raw")

    assert attached == sign(identity, read_private_key(key))


@pytest.mark.parametrize("signature", [b"", b"\0" * 384, b"\xff" * 384, b"\1" * 383])
def test_a_signature_of_somebody_else_is_not_attached(key: Path, signature: bytes) -> None:
    modulus = read_public_key(key).public_numbers().n

    with pytest.raises(DiagnosticError):
        attach(metadata().identity(MRENCLAVE), modulus, signature, "raw")


def test_a_signature_that_is_too_large_by_the_modulus_is_refused(key: Path) -> None:
    signed = sign(metadata().identity(MRENCLAVE), read_private_key(key))
    number = signed.signature + signed.modulus

    forged = SigStruct(signed.identity, signed.modulus, number, *quotients(number, signed.modulus))

    assert [one.code for one in faults(forged, "enclave.sig")] == ["OB0560"]


def test_every_bit_of_the_file_is_bound(key: Path) -> None:
    packed = sign(metadata().identity(MRENCLAVE), read_private_key(key)).pack()

    for offset in range(0, SIGSTRUCT_BYTES, 7):
        changed = bytearray(packed)
        changed[offset] ^= 0x10
        with pytest.raises(DiagnosticError):
            parse_and_check(bytes(changed), "enclave.sig")


def test_a_signature_for_another_enclave_is_noticed(key: Path) -> None:
    sigstruct = sign(metadata().identity(MRENCLAVE), read_private_key(key))

    (diagnostic,) = faults(sigstruct, "enclave.sig", bytes(32))

    assert diagnostic.code == "OB0561"
    assert diagnostic.notes[0].endswith(MRENCLAVE.hex())


def test_mrsigner_is_the_hash_of_the_modulus_as_stored(key: Path) -> None:
    packed = sign(metadata().identity(MRENCLAVE), read_private_key(key)).pack()

    assert SigStruct.parse(packed).mrsigner == hashlib.sha256(packed[128:512]).digest()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("genrsa", "-3", "-traditional", "2048"), "it has 2048 bits, and SGX takes 3072"),
        (("genrsa", "3072"), "its public exponent is 65537, and SGX takes 3"),
        (("genrsa", "-3", "-aes128", "-passout", "pass:word", "3072"), "it is encrypted"),
        (("ecparam", "-name", "prime256v1", "-genkey", "-noout"), "it is not an RSA key"),
        (("rand", "-hex", "100"), "it is not a private key in PEM"),
    ],
)
def test_a_key_that_sgx_does_not_take_is_named(
    tmp_path: Path, words: tuple[str, ...], reason: str
) -> None:
    path = tmp_path / "key.pem"
    done = subprocess.run(["openssl", *words], check=True, capture_output=True)
    path.write_bytes(done.stdout)

    assert refusal_of(path) == f"this key cannot sign an enclave: {reason}"


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal_of(tmp_path / "no.pem").endswith("No such file or directory")


def test_both_forms_of_pem_are_the_same_key(key: Path, tmp_path: Path) -> None:
    openssl("rsa", "-in", key, "-traditional", "-out", tmp_path / "pkcs1.pem")

    assert (tmp_path / "pkcs1.pem").read_text().startswith("-----BEGIN RSA PRIVATE KEY")
    assert public_pem(read_public_key(tmp_path / "pkcs1.pem")) == public_pem(read_public_key(key))


def test_a_development_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "config" / "development.pem"

    assert ensure_development_key(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_development_key_that_exists_stays(key: Path) -> None:
    before = key.read_bytes()

    assert not ensure_development_key(key)

    assert key.read_bytes() == before


def test_two_builds_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    path = tmp_path / "development.pem"

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        made = list(pool.map(ensure_development_key, [path] * 3))

    assert made.count(True) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_development_key_never_lies_in_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(tmp_path / "workspace")
    (tmp_path / "workspace").mkdir()

    for path in (tmp_path / "workspace" / "key.pem", tmp_path / "elsewhere" / "key.pem"):
        with pytest.raises(DiagnosticError, match="OB0552"):
            ensure_development_key(path, workspace=tmp_path / "workspace")
        assert not path.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nul",
        "{}",
        '{"version": 2}',
        '{"version":1,"product_id":65536}',
        '{"version":1,"product_id":true}',
        "[" * 100_000,
    ],
)
def test_metadata_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(DiagnosticError, match="OB0532"):
        read_metadata(text.encode(), "metadata.json")
