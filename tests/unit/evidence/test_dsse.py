"""Envelopes: the library of the specification's authors takes ours, and we take nobody else's."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from occlum_build.diagnostic import DiagnosticError
from occlum_build.evidence import dsse
from occlum_build.evidence.__main__ import main
from occlum_build.evidence.envelope import EnvelopeError
from tests.support.document_keys import KEYS, pem

PAYLOAD = '{"_type":"https://in-toto.io/Statement/v1","ü":"∑"}'.encode()


@pytest.mark.parametrize("kind", KEYS)
def test_the_library_of_the_specification_accepts_our_signature(kind: str) -> None:
    envelope = Envelope.from_dict(json.loads(dsse.sign(PAYLOAD, KEYS[kind])))
    keyid = dsse.key_id(KEYS[kind].public_key())

    key = SSlibKey.from_crypto(KEYS[kind].public_key(), keyid)

    assert list(envelope.verify([key], 1)) == [keyid]
    assert envelope.payload == PAYLOAD


@pytest.mark.parametrize("kind", KEYS)
def test_one_document_and_key_have_one_signature(kind: str) -> None:
    assert dsse.sign(PAYLOAD, KEYS[kind]) == dsse.sign(PAYLOAD, KEYS[kind])


@pytest.mark.parametrize("kind", KEYS)
def test_the_public_half_takes_what_the_private_half_signed_and_no_other_does(kind: str) -> None:
    other = KEYS["ecdsa" if kind == "ed25519" else "ed25519"].public_key()
    envelope = dsse.sign(PAYLOAD, KEYS[kind])

    assert dsse.verified(envelope, KEYS[kind].public_key()) == PAYLOAD
    with pytest.raises(EnvelopeError, match="no signature in it is that of the key"):
        dsse.verified(envelope, other)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("part", ["payload", "sig"])
def test_a_flipped_bit_is_noticed(kind: str, part: str) -> None:
    document = json.loads(dsse.sign(PAYLOAD, KEYS[kind]))
    holder = document if part == "payload" else document["signatures"][0]
    content = bytearray(base64.b64decode(holder[part]))
    content[10] ^= 1
    holder[part] = base64.b64encode(content).decode()

    with pytest.raises(EnvelopeError):
        dsse.verified(json.dumps(document).encode(), KEYS[kind].public_key())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"{}", "no payload with a type and signatures"),
        (b'{"payload":"","payloadType":"text/plain","signatures":[{}]}', "`text/plain`, not"),
        (b'{"payload":"?","payloadType":"application/vnd.in-toto+json","signatures":[{}]}',
         "no Base64"),
        (b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}',
         "no signature"),
        (b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":1}]}',
         "no Base64"),
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(EnvelopeError, match=why):
        dsse.verified(text, KEYS["ed25519"].public_key())


def test_base64_of_urls_is_taken_too() -> None:
    document = json.loads(dsse.sign(PAYLOAD, KEYS["ed25519"]))
    signature = document["signatures"][0]
    signature["sig"] = signature["sig"].replace("+", "-").replace("/", "_")

    assert dsse.verified(json.dumps(document).encode(), KEYS["ed25519"].public_key()) == PAYLOAD


def test_keys_come_from_pem_files(tmp_path: Path) -> None:
    key = KEYS["ed25519"]
    (tmp_path / "key.pem").write_bytes(pem(key))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)

    assert dsse.key_id(dsse.read_private_key(tmp_path / "key.pem").public_key()) == dsse.key_id(
        dsse.read_public_key(tmp_path / "public.pem")
    )
    assert dsse.key_id(dsse.read_public_key(tmp_path / "key.pem")) == dsse.key_id(key.public_key())


def bad_keys() -> dict[str, bytes | None]:
    encrypted = BestAvailableEncryption(b"secret")
    return {
        "missing": None,
        "text": b"hello",
        "rsa": pem(rsa.generate_private_key(65537, 2048)),
        "another curve": pem(ec.generate_private_key(ec.SECP384R1())),
        "encrypted": KEYS["ed25519"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted),
    }


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("missing", "No such file"),
        ("text", "not a private key in PEM"),
        ("rsa", "neither an Ed25519 key nor one on the curve P-256"),
        ("another curve", "neither an Ed25519 key nor one on the curve P-256"),
        ("encrypted", "it is encrypted"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_with_the_reason(
    tmp_path: Path, kind: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bad_keys()[kind]
    if content is not None:
        (tmp_path / "key.pem").write_bytes(content)
    (tmp_path / "p.json").write_bytes(PAYLOAD)

    status = main(["sign", "--provenance", f"{tmp_path}/p.json", "--key", f"{tmp_path}/key.pem",
                   "--output", f"{tmp_path}/out"])  # fmt: skip

    assert status == 2
    assert why in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_public_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    (tmp_path / "k.pem").write_bytes(
        key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )

    with pytest.raises(DiagnosticError, match="OB0802"):
        dsse.read_public_key(tmp_path / "k.pem")
