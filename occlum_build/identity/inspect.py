"""`occlum-build inspect`: everything that an enclave file says, beside what is computed."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from occlum_build.diagnostic import DiagnosticError, render
from occlum_build.identity.enclave_argument import add_enclave_arguments, given_enclave
from occlum_build.identity.measure import differing_claim, measured_facts
from occlum_build.identity.text import visible

if TYPE_CHECKING:
    from occlum_build.enclave_file.image import EnclaveImage
    from occlum_build.identity.memory_map import Row
    from occlum_build.sgx.sigstruct import SigStruct

SCHEMA: Final = "occlum-build/inspect/1"
_LAYOUTS: Final = {
    "bundle": "a bundle of occlum-build",
    "sgxs": "an SGX stream",
    "esgxs": "an enhanced SGX stream: some of its data is not measured",
    "intel-sdk": "Intel SGX SDK",
    "open-enclave": "Open Enclave",
    "gramine": "Gramine",
}
_WITH_CONFIG: Final = frozenset({"bundle", "sgxs"})
_LABEL_COLUMNS: Final = 21


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of the verb."""
    add_enclave_arguments(parser)
    parser.add_argument("--all", action="store_true", help="show every thread, not one of a kind")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Show the enclave: 0, or 1 if the file claims another measurement than it has."""
    from occlum_build.identity.memory_map import memory_rows

    image = given_enclave(arguments)
    rows = memory_rows(image)
    if arguments.json:
        import json

        facts = measured_facts(image) | {
            "schema": SCHEMA,
            "layout": image.facts,
            "signature": None if image.sigstruct is None else _signature_facts(image),
            "memory": [row.as_json() for row in rows],
            "sealed_config": _sealed_config(image),
        }
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        is_loud = sys.stdout.isatty()
        for line in _text(image, rows, show_all=arguments.all):
            is_head = is_loud and line.isupper() and not line.startswith(" ")
            sys.stdout.write(f"\x1b[1m{line}\x1b[0m\n" if is_head else f"{line}\n")
        for one in [*image.remarks, *differing_claim(image)]:
            sys.stderr.write(render(one, colour=sys.stderr.isatty()))
    claimed = image.claimed_mrenclave
    return int(claimed is not None and claimed != image.mrenclave)


def _text(image: "EnclaveImage", rows: list["Row"], *, show_all: bool) -> Iterator[str]:
    from occlum_build.identity.memory_map import rights, table
    from occlum_build.sgx.page import describe_bytes

    yield "ENCLAVE"
    yield _line("file", image.file)
    for other in image.files:
        if other != image.file:
            yield _line("with", other)
    yield _line("layout", _LAYOUTS[image.format.value])
    yield _line("MRENCLAVE", image.mrenclave.hex())
    yield _line("", _claim(image))
    frames = f"{image.ssa_frame_pages} page{'s' if image.ssa_frame_pages > 1 else ''}"
    yield _line("size", f"{describe_bytes(image.size_bytes)}, SSA frames of {frames}")
    for name, value in image.facts.items():
        yield from _fact(name, value)
    yield ""
    yield "SIGNATURE"
    if image.sigstruct is None:
        yield "  none: nobody vouches for this enclave"
    else:
        yield from _signature_text(image, image.sigstruct)
    yield ""
    yield "PAGES"
    for kind, measured, unmeasured in rights(rows):
        note = "  written and executed" if "w" in kind and "x" in kind else ""
        yield f"  {kind:5} {measured:>12,} measured  {unmeasured:>12,} not measured{note}"
    yield ""
    yield "MEMORY"
    yield from table(rows, fold=not show_all)
    config = _sealed_config(image)
    if config is not None:
        import json

        yield ""
        yield "SEALED CONFIGURATION"
        text = json.dumps(config, indent=2, ensure_ascii=False)
        yield from (f"  {visible(line)}" for line in text.splitlines())


def _sealed_config(image: "EnclaveImage") -> dict[str, Any] | None:
    """What an enclave of this project was told; None in any other, or if it is none."""
    if image.format.value not in _WITH_CONFIG:
        return None
    from occlum_build.identity.sealed_pages import sealed_pages

    with suppress(DiagnosticError):
        pages = sealed_pages(image)
        return None if pages is None else pages.document()
    return None


def _claim(image: "EnclaveImage") -> str:
    claimed = image.claimed_mrenclave
    if claimed is None:
        return "computed from the pages; there is no claim to compare it with"
    if claimed == image.mrenclave:
        return "computed from the pages, and what the signature claims"
    return f"computed from the pages; THE SIGNATURE CLAIMS {claimed.hex()}"


def _fact(name: str, value: object) -> Iterator[str]:
    """A fact of the layout, in a line or a few."""
    label = name.replace("_", " ")
    if name == "metadata" and isinstance(value, list):
        versions = (f"{one['version']}{' (used)' if one['used'] else ''}" for one in value)
        yield _line(label, ", ".join(versions))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield _line(label, f"{key.replace('_', ' ')} {_number(one)}")
            label = ""
    else:
        yield _line(label, _number(value))


def _number(value: object) -> str:
    is_large = isinstance(value, int) and not isinstance(value, bool) and value > 0xFFFF  # noqa: PLR2004
    return f"{value:#x}" if is_large else str(value)


def _signature_facts(image: "EnclaveImage") -> dict[str, Any]:
    """Every field of the SIGSTRUCT, and what can be said about it without a key."""
    from occlum_build.identity.terms import (
        CET_NAMES,
        FLAG_NAMES,
        MISC_NAMES,
        XFRM_NAMES,
        terms,
    )
    from occlum_build.sgx.sigstruct import SigStruct, constant_faults, quotients, signed_part
    from occlum_build.sgx.verify import is_signature

    data = image.sigstruct_bytes or b""
    sigstruct = SigStruct.read(data)
    identity = sigstruct.identity
    value, mask = identity.attributes, identity.attribute_mask
    is_right = sigstruct.modulus > 0 and is_signature(sigstruct, signed_part(data))
    q1_q2 = quotients(sigstruct.signature, sigstruct.modulus) if sigstruct.modulus else (0, 0)
    place = image.sigstruct_place
    return {
        "file": None if place is None else place.file,
        "offset": None if place is None else place.offset,
        "mrenclave": identity.mrenclave.hex(),
        "mrsigner": sigstruct.mrsigner.hex(),
        "signature_is_right": is_right,
        "quotients_are_right": q1_q2 == (sigstruct.q1, sigstruct.q2),
        "wrong_constants": [message for _, message in constant_faults(data)],
        "header": data[0:16].hex(),
        "vendor": identity.vendor,
        "date": identity.date,
        "header2": data[24:40].hex(),
        "software_defined": identity.software_defined,
        "exponent": int.from_bytes(data[512:516], "little"),
        "modulus": f"{sigstruct.modulus:x}",
        "signature": f"{sigstruct.signature:x}",
        "q1": f"{sigstruct.q1:x}",
        "q2": f"{sigstruct.q2:x}",
        "isv_prod_id": identity.isv_prod_id,
        "isv_svn": identity.isv_svn,
        "isv_family_id": identity.family_id.hex(),
        "isv_ext_prod_id": identity.ext_prod_id.hex(),
        "attributes": {
            "flags": value.flags,
            "flags_mask": mask.flags,
            **terms(value.flags, mask.flags, FLAG_NAMES, 64).as_json(),
        },
        "xfrm": {
            "value": value.xfrm,
            "mask": mask.xfrm,
            **terms(value.xfrm, mask.xfrm, XFRM_NAMES, 64).as_json(),
        },
        "misc_select": {
            "value": identity.misc_select,
            "mask": identity.misc_mask,
            **terms(identity.misc_select, identity.misc_mask, MISC_NAMES, 32).as_json(),
        },
        "cet_attributes": {
            "value": identity.cet_attributes,
            "mask": identity.cet_attributes_mask,
            **terms(identity.cet_attributes, identity.cet_attributes_mask, CET_NAMES, 8).as_json(),
        },
    }


def _signature_text(image: "EnclaveImage", sigstruct: "SigStruct") -> Iterator[str]:
    facts = _signature_facts(image)
    yield _line("MRSIGNER", facts["mrsigner"])
    yield _line("file", f"{facts['file']}, at {facts['offset']:#x}")
    bits = sigstruct.modulus.bit_length()
    is_right = "right" if facts["signature_is_right"] else "WRONG: these fields were not signed"
    yield _line("SIGNATURE", f"{is_right}; RSA of {bits} bits, exponent {facts['exponent']}")
    if not facts["quotients_are_right"]:
        yield _line("Q1, Q2", "WRONG: they do not belong to the signature")
    for message in facts["wrong_constants"]:
        yield _line("", f"WRONG: {message}")
    yield _line("DATE", _date(facts["date"]))
    vendor = {0: "0", 0x8086: "0x8086, Intel"}.get(facts["vendor"], f"{facts['vendor']:#x}")
    yield _line("VENDOR", vendor)
    yield _line("SWDEFINED", f"{facts['software_defined']:#x}")
    yield _line("ISVPRODID", str(facts["isv_prod_id"]))
    yield _line("ISVSVN", str(facts["isv_svn"]))
    has_kss = "KSS" in facts["attributes"]["must_be_set"]
    unused = "" if has_kss else "  (no meaning without KSS)"
    yield _line("ISVFAMILYID", facts["isv_family_id"] + unused)
    yield _line("ISVEXTPRODID", facts["isv_ext_prod_id"] + unused)
    for label, key, value, mask, digits in (
        ("ATTRIBUTES", "attributes", "flags", "flags_mask", 16),
        ("XFRM", "xfrm", "value", "mask", 16),
        ("MISCSELECT", "misc_select", "value", "mask", 8),
        ("CET_ATTRIBUTES", "cet_attributes", "value", "mask", 2),
    ):
        one = facts[key]
        yield _line(label, f"{one[value]:#x}, mask {one[mask]:#0{digits + 2}x}")
        for title, names in (
            ("must be set", "must_be_set"),
            ("must be clear", "must_be_clear"),
            ("left to the host", "left_to_host"),
            ("set, but left to the host", "set_but_left_to_host"),
        ):
            if one[names]:
                yield _line("", f"  {title}: {', '.join(one[names])}")


def _date(digits: str) -> str:
    if digits == "00000000":
        return "none"
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"


def _line(label: str, text: str) -> str:
    return f"  {label:{_LABEL_COLUMNS}}{text}".rstrip()
