"""The envelope of DSSE 1.0 around a document (github.com/secure-systems-lab/dsse).

What it holds can be read here without proving anything; `dsse` signs and verifies.
"""

import base64
import json
from typing import Any, Final

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


class EnvelopeError(ValueError):
    """A document is no envelope, or its signature is not that of a key."""


def opened(envelope: bytes) -> bytes:
    """The document in an envelope, whoever signed it.

    Raises:
        EnvelopeError: it is no envelope.
    """
    return decoded(envelope)[0]


def signers(envelope: bytes) -> list[str]:
    """The key ids that an envelope claims; nothing is proved by them.

    Raises:
        EnvelopeError: it is no envelope.
    """
    return [str(one.get("keyid", "")) for one in decoded(envelope)[1]]


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """What is signed: PAE of the DSSE protocol, version 1."""
    name = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(name), name, len(payload), payload)


def decoded(envelope: bytes) -> tuple[bytes, list[dict[str, Any]]]:
    """The document and the signatures in an envelope.

    Raises:
        EnvelopeError: it is no envelope.
    """
    try:
        document = json.loads(envelope)
    except (ValueError, RecursionError):
        raise EnvelopeError("it is no JSON") from None
    match document:
        case {"payload": str(text), "payloadType": str(kind), "signatures": list(signatures)}:
            if kind != PAYLOAD_TYPE:
                raise EnvelopeError(f"its payload is `{kind}`, not `{PAYLOAD_TYPE}`")
            found = [one for one in signatures if isinstance(one, dict)]
            if not found:
                raise EnvelopeError("it has no signature")
            return from_base64(text), found
        case _:
            pass
    raise EnvelopeError("it has no payload with a type and signatures")


def from_base64(text: object) -> bytes:
    """Decode standard or URL-safe Base64, both of which the protocol allows."""
    if not isinstance(text, str):
        raise EnvelopeError("a part of it is no Base64")
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        raise EnvelopeError("a part of it is no Base64") from None
