"""What the configuration says about the signature, and nothing that is measured."""

import json
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.sgx.attributes import launch_terms
from occlum_build.sgx.sigstruct import EnclaveIdentity

VERSION: Final = 1
NO_DATE: Final = "0000-00-00"
_ID_BYTES: Final = 16
_MAX_UINT16: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Metadata:
    """The fields of SIGSTRUCT that a user chooses.

    The date is one of them: a signature made from the same inputs next year
    must be the same bytes.
    """

    product_id: int
    version_number: int
    debuggable: bool
    enable_kss: bool
    family_id: bytes
    ext_prod_id: bytes
    date: str

    def identity(self, mrenclave: bytes) -> EnclaveIdentity:
        """The bytes to be signed for an enclave with this measurement."""
        terms = launch_terms(debuggable=self.debuggable, enable_kss=self.enable_kss)
        return EnclaveIdentity(
            mrenclave=mrenclave,
            attributes=terms.attributes,
            attribute_mask=terms.attribute_mask,
            misc_select=terms.misc_select,
            misc_mask=terms.misc_mask,
            date=self.date.replace("-", ""),
            isv_prod_id=self.product_id,
            isv_svn=self.version_number,
            family_id=self.family_id,
            ext_prod_id=self.ext_prod_id,
        )


def read_metadata(data: bytes, file: str) -> Metadata:
    """Read the JSON that `occlum_build.config` writes; raises `DiagnosticError`."""
    try:
        return _from_document(json.loads(data))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as problem:
        raise DiagnosticError(
            error(
                "OB0532",
                f"this is no signing metadata: {_reason(problem)}",
                Span(file),
                helps=("a build writes it as `NAME_measured.metadata.json`",),
            )
        ) from None


def _reason(problem: Exception) -> str:
    if isinstance(problem, KeyError):
        return f"it has no `{problem.args[0]}`"
    if isinstance(problem, UnicodeDecodeError | json.JSONDecodeError | RecursionError):
        return "it is no JSON"
    if isinstance(problem, ValueError):
        return str(problem)
    return "it has another shape"


def _from_document(document: Any) -> Metadata:
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']!r}")
    metadata = Metadata(
        product_id=_uint16(document["product_id"]),
        version_number=_uint16(document["version_number"]),
        debuggable=_boolean(document["debuggable"]),
        enable_kss=_boolean(document["enable_kss"]),
        family_id=_identifier(document["family_id"]),
        ext_prod_id=_identifier(document["ext_prod_id"]),
        date=_date(document["date"]),
    )
    if not metadata.enable_kss and any(metadata.family_id + metadata.ext_prod_id):
        raise ValueError("family and extended product ids need `enable_kss`")
    return metadata


def _uint16(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_UINT16:
        raise ValueError(f"{value!r} is not a 16-bit number")
    return value


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError(f"{value!r} is not true or false")
    return value


def _identifier(value: Any) -> bytes:
    identifier = bytes.fromhex(value)
    if len(identifier) != _ID_BYTES:
        raise ValueError(f"{value!r} is not {_ID_BYTES} bytes")
    return identifier


def _date(value: Any) -> str:
    if value == NO_DATE:
        return NO_DATE
    return date.fromisoformat(value).isoformat()
