"""`occlum-build diff`: in what two enclaves differ, down to page, symbol, field and file.

It reads runs of pages, never more than some of their content at once: enclaves of any size
are compared in little memory.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from occlum_build.identity.enclave_argument import add_companion_arguments, given_enclave
from occlum_build.identity.text import visible
from occlum_build.sgx.page import PAGE_BYTES

if TYPE_CHECKING:  # what they import is for the verb that runs
    from occlum_build.enclave_file.image import EnclaveImage
    from occlum_build.identity.comparison import Comparison
    from occlum_build.identity.page_difference import Bytes, Difference
    from occlum_build.identity.region import RegionDifference

SCHEMA: Final = 1
_MAX_SHOWN: Final = 40
_MAX_CAUSES: Final = 20
_MAX_PLACES: Final = 4
_MAX_ROWS: Final = 8
_MAX_VALUE: Final = 100
_FOLLOWING: Final = frozenset({"ENCLAVEHASH", "SIGNATURE", "Q1", "Q2"})
"""Fields that differ wherever another enclave was signed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of the verb."""
    text = "a bundle, or an enclave of any layout that `measure` knows"
    parser.add_argument("a", metavar="A", help=text)
    parser.add_argument("b", metavar="B", help="the other one; layouts may differ")
    for side in ("a", "b"):
        add_companion_arguments(parser, f"-{side}")
        parser.add_argument(
            f"--symbols-{side}", metavar="ELF", help=f"the LibOS of {side.upper()}, for its names"
        )
    parser.add_argument("--json", action="store_true", help="print all differences as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Compare and print: 0 if nothing differs, else 1; raises `DiagnosticError`."""
    from occlum_build.identity.comparison import compare

    found = compare(_enclave(arguments, "a"), _enclave(arguments, "b"))
    if arguments.json:
        import json

        sys.stdout.write(json.dumps(as_json(found), indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{visible(line)}\n" for line in text_lines(found))
    return 0 if found.is_same else 1


def _enclave(arguments: argparse.Namespace, side: str) -> "EnclaveImage":
    image = given_enclave(arguments, side, f"-{side}")
    symbols: str | None = getattr(arguments, f"symbols_{side}")
    if symbols is None:
        return image
    from occlum_build.identity.symbols import with_symbols

    return with_symbols(image, symbols)


def text_lines(found: "Comparison") -> Iterator[str]:
    """What differs, for people; the most telling first."""
    yield f"A  {found.a.mrenclave.hex()}  {found.a.file}"
    yield f"B  {found.b.mrenclave.hex()}  {found.b.file}"
    if found.is_same:
        yield "the same: every byte that is measured, signed or packed"
        return
    if found.is_signature_alone:
        yield f"the same enclave: only its signature differs: {', '.join(_signed(found))}"
        return
    elif found.is_same_measurement:
        yield "the same enclave, with other files beside it"
    yield from _causes(found)
    yield from _created(found)
    yield from _first(found)
    yield from _regions(found)
    yield from _config(found)
    yield from _images(found)
    yield from _signature(found)
    yield from _files(found)


def _causes(found: "Comparison") -> Iterator[str]:
    if found.causes:
        yield from ("", "WHY")
        yield from _shown([f"  {one}" for one in found.causes], _MAX_CAUSES)


def _created(found: "Comparison") -> Iterator[str]:
    if found.created:
        yield from ("", "ECREATE")
        yield from (f"  {one.path} {one.a:#x} -> {one.b:#x}" for one in found.created)
        yield "  the hashes part with the first record"


def _first(found: "Comparison") -> Iterator[str]:
    first = found.first
    if first is None:
        return
    yield from ("", "FIRST RECORD THAT DIFFERS")
    if first.record == "end":
        side, offset = ("A", first.offset_b) if first.offset_a is None else ("B", first.offset_a)
        yield f"  {side} ends where the other adds page {offset or 0:#x}, {first.name}"
    elif first.offset_a != first.offset_b:
        yield (
            f"  EADD of page {first.offset_a or 0:#x} in A, {first.offset_b or 0:#x} in B:"
            f" {first.name}"
        )
    elif first.record == "EEXTEND":
        chunk = (first.offset_a or 0) & ~0xFF
        where = _where(found.a, found.b, first.offset_a or 0)
        yield f"  EEXTEND of the chunk at {chunk:#x}: {first.name}{where}"
    elif first.record == "measured":
        yield f"  page {first.offset_a or 0:#x} is measured in one of them alone: {first.name}"
    else:
        yield f"  EADD of page {first.offset_a or 0:#x}: {first.name}"


def _where(a: "EnclaveImage", b: "EnclaveImage", offset: int) -> str:
    names = dict.fromkeys(one for one in (a.describe(offset), b.describe(offset)) if one)
    return f" ({' / '.join(names)})" if names else ""


def _regions(found: "Comparison") -> Iterator[str]:
    if not found.regions:
        return
    yield from ("", "PAGES")
    for one in found.regions[:_MAX_SHOWN]:
        yield f"  {_names(one.names)}: {_placed(one)}"
        for inner in one.differences[:_MAX_SHOWN]:
            yield f"    {_described(inner)}"
            known = _known_content(found, one, inner)
            yield from (f"      {line}" for line in known)
            if known:
                continue
            yield from (f"      {line}" for line in _window(found, one, inner))
        if len(one.differences) > _MAX_SHOWN:
            yield f"    and {len(one.differences) - _MAX_SHOWN} differences more"
    if len(found.regions) > _MAX_SHOWN:
        yield f"  and {len(found.regions) - _MAX_SHOWN} regions more"


def _names(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more like it"


def _placed(one: "RegionDifference") -> str:
    if one.a is None or one.b is None:
        side, region = ("B", one.b) if one.a is None else ("A", one.a)
        start = region.start if region is not None else 0
        return f"only in {side}, {_pages(one.pages_a or one.pages_b)} at {start:#x}"
    pages = _pages(one.pages_a)
    if one.pages_a != one.pages_b:
        pages = f"{_pages(one.pages_a)} in A, {one.pages_b} in B"
    if one.has_moved:
        return f"{pages}, moved from {one.a.start:#x} to {one.b.start:#x}"
    return f"{pages} at {one.a.start:#x}"


def _pages(count: int) -> str:
    return "1 page" if count == 1 else f"{count} pages"


def _described(inner: "Difference") -> str:
    where = f"{_pages(inner.page_count)} at +{inner.offset:#x}"
    match inner.kind.value:
        case "content":
            count = (
                "1 byte differs"
                if inner.changed_bytes == 1
                else f"{inner.changed_bytes} bytes differ"
            )
            return f"{where}: {count}"
        case "only-in-a" | "only-in-b":
            return f"{where}: only in {inner.kind.value[-1].upper()}"
        case "measured":
            a, b = (_measured(one) for one in (inner.a, inner.b))
            return f"{where}: {a} in A, {b} in B"
        case "permissions":
            a, b = (one.secinfo.permissions.letters() if one else "" for one in (inner.a, inner.b))
            return f"{where}: {a} -> {b}"
        case _:
            a, b = (one.secinfo.page_type.name if one else "" for one in (inner.a, inner.b))
            return f"{where}: type {a} -> {b}"


def _measured(run: Any) -> str:
    if run.chunks is not None:
        return f"{len(run.chunks)} chunks measured"
    return "measured" if run.measured else "not measured"


def _known_content(found: "Comparison", one: "RegionDifference", inner: "Difference") -> list[str]:
    """What differs in a page whose fields are known, or is shown elsewhere; else nothing."""
    from occlum_build.identity.structure import changed_fields

    if inner.kind.value != "content" or inner.a is None or inner.b is None:
        return []
    if one.names[0] == "sealed config" and found.config:
        return ["see SEALED CONFIGURATION"]
    if inner.offset or inner.page_count > 1:
        return []
    pages = (side.page(-side.offset // PAGE_BYTES) for side in (inner.a, inner.b))
    changed = changed_fields(one.names[0], *pages, is_ours=found.is_ours)
    return [f"{name} {a:#x} -> {b:#x}" for name, a, b in changed]


def _window(found: "Comparison", one: "RegionDifference", inner: "Difference") -> Iterator[str]:
    """The first bytes that differ, side by side and named where that can be done."""
    from occlum_build.identity.hex_window import ROW_BYTES, hex_rows

    rows = shown = 0
    for place in inner.places[:_MAX_PLACES]:
        if rows >= _MAX_ROWS:
            break
        facts = _place_facts(found, one, place)
        names = [str(facts["symbol_a"])] if facts["symbol_a"] else []
        if facts["symbol_b"] and facts["symbol_b"] != facts["symbol_a"]:
            names.append(f"in B {facts['symbol_b']}")
        if names:
            yield "; ".join(names)
        size = min(len(place.a), (_MAX_ROWS - rows) * ROW_BYTES)
        lines = hex_rows(place.offset, place.a[:size], place.b[:size])
        yield from lines
        rows += len(lines)
        shown += sum(x != y for x, y in zip(place.a[:size], place.b[:size], strict=True))
    if inner.changed_bytes > shown:
        yield f"and {inner.changed_bytes - shown} bytes more"


def _place_facts(
    found: "Comparison", one: "RegionDifference", place: "Bytes"
) -> dict[str, object]:
    """Where bytes that differ are: addresses, symbols, the field, and the places in the files."""
    from occlum_build.identity.structure import field_in

    start_a = one.a.start if one.a is not None else 0
    start_b = one.b.start if one.b is not None else 0
    return {
        "offset_a": start_a + place.offset,
        "offset_b": start_b + place.offset,
        "field": field_in(one.names[0], place.offset, is_ours=found.is_ours),
        "symbol_a": found.a.describe(start_a + place.offset),
        "symbol_b": found.b.describe(start_b + place.offset),
        "a": place.a.hex(),
        "b": place.b.hex(),
    }


def _config(found: "Comparison") -> Iterator[str]:
    if found.config:
        yield from ("", "SEALED CONFIGURATION")
        lines = [f"  {one.path}: {_value(one.a)} -> {_value(one.b)}" for one in found.config]
        yield from _shown(lines)


def _images(found: "Comparison") -> Iterator[str]:
    from occlum_build.identity.hex_window import hex_rows

    for image in found.images:
        yield from ("", f"FILES OF IMAGE {image.name}")
        if image.problem:
            yield f"  they cannot be told: {image.problem}"
        elif not image.files:
            yield "  the same files, laid out in another way"
        for one in image.files[:_MAX_SHOWN]:
            yield f"  {one.path}: {one.what}{f' ({one.symbol})' if one.symbol else ''}"
            if one.offset >= 0:
                rows = hex_rows(one.offset, one.a, one.b)
                yield from (f"      {line}" for line in rows)
        if len(image.files) > _MAX_SHOWN:
            yield f"  and {len(image.files) - _MAX_SHOWN} files more"


def _signature(found: "Comparison") -> Iterator[str]:
    missing = [side for side, is_there in zip("AB", found.signed, strict=True) if not is_there]
    if len(missing) == 1:
        yield from ("", "SIGNATURE", f"  {missing[0]} has none")
    elif lines := _signed(found):
        yield from ("", "SIGNATURE", *(f"  {line}" for line in lines))


def _signed(found: "Comparison") -> list[str]:
    """What was signed that differs; what follows from that only where there is nothing else."""
    a, b = found.a.sigstruct, found.b.sigstruct
    lines = [
        f"{one.field} {one.a} -> {one.b}"
        for one in found.signature
        if one.field not in _FOLLOWING and one.field != "MODULUS"
    ]
    if a is not None and b is not None and a.modulus != b.modulus:
        lines.append(f"MRSIGNER {a.mrsigner.hex()} -> {b.mrsigner.hex()}")
    if not lines and found.is_same_measurement:
        return [one.field for one in found.signature]
    return lines


def _files(found: "Comparison") -> Iterator[str]:
    if found.files:
        yield from ("", "OTHER FILES")
        lines = [f"  {one.path}: {_digest(one.a)} -> {_digest(one.b)}" for one in found.files]
        yield from _shown(lines)


def _shown(lines: list[str], most: int = _MAX_SHOWN) -> Iterator[str]:
    yield from lines[:most]
    if len(lines) > most:
        yield f"  and {len(lines) - most} more"


def _value(value: Any) -> str:
    import json

    from occlum_build.evidence.document_difference import ABSENT

    if value is ABSENT:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}..."


def _digest(value: Any) -> str:
    return f"SHA-256 {value}" if isinstance(value, str) else "nothing"


def as_json(found: "Comparison") -> dict[str, object]:
    """All that was found, for programs; bytes are hexadecimal, and bounded as in the text."""
    from occlum_build.evidence.document_difference import ABSENT

    def fields(differences: Any) -> list[dict[str, object]]:
        return [
            {
                "path": one.path,
                **{
                    side: value
                    for side, value in (("a", one.a), ("b", one.b))
                    if value is not ABSENT
                },
            }
            for one in differences
        ]

    first = found.first
    return {
        "schema": f"occlum-build/diff/{SCHEMA}",
        "a": _side(found.a),
        "b": _side(found.b),
        "same": found.is_same,
        "same_measurement": found.is_same_measurement,
        "signature_alone": found.is_signature_alone,
        "causes": [asdict(one) for one in found.causes],
        "ecreate": fields(found.created),
        "first": None
        if first is None
        else {
            "record": first.record,
            "name": first.name,
            "offset_a": first.offset_a,
            "offset_b": first.offset_b,
        },
        "regions": [_region_json(found, one) for one in found.regions],
        "config": fields(found.config),
        "images": [
            {
                "name": one.name,
                "root_hash_a": one.a,
                "root_hash_b": one.b,
                "problem": one.problem,
                "files": [
                    {
                        "path": file.path,
                        "what": file.what,
                        "symbol": file.symbol,
                        "offset": file.offset if file.offset >= 0 else None,
                        "a": file.a.hex(),
                        "b": file.b.hex(),
                    }
                    for file in one.files
                ],
            }
            for one in found.images
        ],
        "signature": [{"field": one.field, "a": one.a, "b": one.b} for one in found.signature],
        "files": fields(found.files),
    }


def _side(image: "EnclaveImage") -> dict[str, object]:
    sigstruct = image.sigstruct
    return {
        "file": image.file,
        "format": image.format.value,
        "mrenclave": image.mrenclave.hex(),
        "mrsigner": None if sigstruct is None else sigstruct.mrsigner.hex(),
    }


def _region_json(found: "Comparison", one: "RegionDifference") -> dict[str, object]:
    return {
        "names": one.names,
        "start_a": None if one.a is None else one.a.start,
        "start_b": None if one.b is None else one.b.start,
        "pages_a": one.pages_a,
        "pages_b": one.pages_b,
        "differences": [
            {
                "kind": inner.kind.value,
                "offset": inner.offset,
                "pages": inner.page_count,
                "changed_pages": inner.changed_pages,
                "changed_bytes": inner.changed_bytes,
                "what": _described(inner),
                "places": [_place_facts(found, one, place) for place in inner.places],
            }
            for inner in one.differences
        ],
    }
