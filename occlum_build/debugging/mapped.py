"""Code that an enclave has mapped, as `occlum-run --mappings` writes it down."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FIELDS: Final = 6


@dataclass(frozen=True, slots=True)
class Mapped:
    """One executable mapping of a file: `size_bytes` from `offset` of `path`, at `start`."""

    start: int
    size_bytes: int
    offset: int
    path: str


def read_mapped(text: str) -> Iterator[Mapped]:
    """The mappings in whole lines, each like one of `/proc/pid/maps` (proc(5)); each once.

    What the enclave says passes through the host, so a line of another form is passed over.
    """
    seen = set()
    for line in text[: text.rfind("\n") + 1].splitlines():
        fields = line.split(maxsplit=_FIELDS - 1)
        try:
            span, _, offset, _, _, path = fields
            start, end = (int(one, 16) for one in span.split("-"))
            one = Mapped(start, end - start, int(offset, 16), path)
        except ValueError:
            continue
        if one not in seen:
            seen.add(one)
            yield one
