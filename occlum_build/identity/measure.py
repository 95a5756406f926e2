"""`occlum-build measure`: the MRENCLAVE of an enclave, computed from its file alone.

Standard output has one line, the measurement, so that `$(occlum-build measure FILE)`
is it. What the file claims plays no part in it; a claim that differs is a diagnostic,
and the answer no.
"""

import argparse
import sys
from typing import TYPE_CHECKING, Final

from occlum_build.diagnostic import Diagnostic, Span, error, render
from occlum_build.identity.enclave_argument import add_enclave_arguments, given_enclave

if TYPE_CHECKING:
    from occlum_build.enclave_file.image import EnclaveImage

SCHEMA: Final = "occlum-build/measure/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of the verb."""
    add_enclave_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print facts as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print: 0, or 1 if the file claims another measurement."""
    image = given_enclave(arguments)
    mrenclave = image.mrenclave
    claimed = image.claimed_mrenclave
    if arguments.json:
        import json

        sys.stdout.write(json.dumps(measured_facts(image), indent=2) + "\n")
    else:
        sys.stdout.write(f"{mrenclave.hex()}\n")
        problems = [*image.remarks, *differing_claim(image)]
        for one in problems:
            sys.stderr.write(render(one, colour=sys.stderr.isatty()))
    return int(claimed is not None and claimed != mrenclave)


def measured_facts(image: "EnclaveImage") -> dict[str, object]:
    """What `measure --json` says; `inspect --json` begins with the same."""
    counts = {True: 0, False: 0}
    for run in image.runs():
        if run.added:
            counts[run.measured] += run.page_count
    claimed = image.claimed_mrenclave
    return {
        "schema": SCHEMA,
        "file": image.file,
        "files": list(image.files),
        "format": image.format.value,
        "mrenclave": image.mrenclave.hex(),
        "claimed_mrenclave": None if claimed is None else claimed.hex(),
        "claim_is_right": None if claimed is None else claimed == image.mrenclave,
        "size": image.size_bytes,
        "ssa_frame_pages": image.ssa_frame_pages,
        "pages": {"measured": counts[True], "unmeasured": counts[False]},
        "remarks": [one.as_json() for one in image.remarks],
    }


def differing_claim(image: "EnclaveImage") -> list[Diagnostic]:
    """The diagnostic of a signature that is for other pages; none if it is for these."""
    claimed = image.claimed_mrenclave
    if claimed is None or claimed == image.mrenclave:
        return []
    return [
        error(
            "OB0546",
            "the file claims another MRENCLAVE than its pages have",
            Span(image.file),
            notes=(f"claimed  {claimed.hex()}", f"measured {image.mrenclave.hex()}"),
            helps=("EINIT refuses it: the pages were changed, or the signature is another's",),
        )
    ]
