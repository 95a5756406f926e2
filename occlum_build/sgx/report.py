"""`enclave.json`: what an enclave consists of, for programs and for people.

The report repeats what can be read from the SGXS file and adds the names that
the layout gave to its parts. It is no input of the measurement.
"""

import json
from dataclasses import asdict
from typing import Final

from occlum_build.sgx.layout import SSA_FRAME_PAGES, Layout
from occlum_build.sgx.stream import PageRun

VERSION: Final = 1


def render_report(layout: Layout, mrenclave: bytes) -> str:
    """Canonical JSON, ending in a newline."""
    boot = asdict(layout.boot)
    boot["memory_model"] = layout.boot.memory_model.name.lower()
    document = {
        "version": VERSION,
        "mrenclave": mrenclave.hex(),
        "size": layout.size_bytes,
        "ssa_frame_pages": SSA_FRAME_PAGES,
        "memory_model": boot["memory_model"],
        "pages": {
            "measured": _pages(layout, measured=True),
            "unmeasured": _pages(layout, measured=False),
        },
        "stream_size": layout.stream_bytes,
        "boot": boot,
        "regions": [_region(run) for run in layout.runs],
    }
    return json.dumps(document, sort_keys=True, indent=1) + "\n"


def _pages(layout: Layout, *, measured: bool) -> int:
    return sum(run.page_count for run in layout.runs if run.measured is measured)


def _region(run: PageRun) -> dict[str, object]:
    return {
        "name": run.name,
        "offset": run.offset,
        "size": run.size_bytes,
        "pages": run.page_count,
        "type": run.secinfo.page_type.name.lower(),
        "permissions": run.secinfo.permissions.letters(),
        "measured": run.measured,
    }
