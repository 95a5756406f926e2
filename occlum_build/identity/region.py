"""What lies where in two enclaves, matched by name: what has moved is not all different.

A LibOS that grew by a page moves every thread behind it. Compared by address, all of them
differ; compared by name, they have moved, and only what else changed in them is a difference.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from occlum_build.identity.page_difference import Difference, differences
from occlum_build.sgx.stream import PageRun

_UNNAMED: Final = "pages"
_NUMBER: Final = re.compile(r"\d+")


@dataclass
class Region:
    """Pages with one name, in one enclave."""

    name: str
    start: int
    runs: list[PageRun] = field(default_factory=list)

    @property
    def page_count(self) -> int:
        """How many pages it has; holes between them do not count."""
        return sum(one.page_count for one in self.runs if one.added)

    def from_zero(self) -> list[PageRun]:
        """Its runs with offsets that count from its start."""
        return [replace(one, offset=one.offset - self.start) for one in self.runs]


@dataclass
class RegionDifference:
    """How the pages with one name differ. Offsets in `differences` count from the region's start.

    `names` are all regions that differ in this same way, `thread 3 TCS` and `thread 4 TCS` for
    instance; what is shown is the first of them.
    """

    names: list[str]
    a: Region | None
    b: Region | None
    differences: list[Difference]

    @property
    def has_moved(self) -> bool:
        """Whether it is in both enclaves, and at another address."""
        return self.a is not None and self.b is not None and self.a.start != self.b.start

    @property
    def pages_a(self) -> int:
        """Pages in the first enclave."""
        return 0 if self.a is None else self.a.page_count

    @property
    def pages_b(self) -> int:
        """Pages in the second enclave."""
        return 0 if self.b is None else self.b.page_count


def region_differences(a: Iterable[PageRun], b: Iterable[PageRun]) -> list[RegionDifference]:
    """Every region that differs or has moved, by address, like ones together.

    Where only one of the two says what its pages are, they are matched by address.
    """
    regions_a, regions_b = _regions(a), _regions(b)
    if (_UNNAMED in regions_a) != (_UNNAMED in regions_b):
        return _together(_by_address(regions_a, regions_b))
    found: list[RegionDifference] = []
    for name in _in_order(regions_a, regions_b):
        one, other = regions_a.get(name), regions_b.get(name)
        if one is not None and other is not None and name == _UNNAMED:
            start = min(one.start, other.start)
            one, other = replace(one, start=start), replace(other, start=start)
        inner = (
            list(differences(one.from_zero(), other.from_zero()))
            if one is not None and other is not None
            else []
        )
        difference = RegionDifference([name], one, other, inner)
        if inner or difference.has_moved or one is None or other is None:
            found.append(difference)
    return _together(found)


def _by_address(a: dict[str, Region], b: dict[str, Region]) -> list[RegionDifference]:
    """The same for pages of which one side alone knows the names."""
    found: dict[str, RegionDifference] = {}
    runs_a, runs_b = ([run for one in side.values() for run in one.runs] for side in (a, b))
    for one in differences(runs_a, runs_b):
        names = [run.name for run in (one.a, one.b) if run is not None]
        name = next((name for name in names if name != _UNNAMED), _UNNAMED)
        known = a.get(name) or b[name]
        region = found.setdefault(
            name,
            RegionDifference(
                [name],
                None if one.a is None else replace(known),
                None if one.b is None else replace(known),
                [],
            ),
        )
        region.differences.append(_rebased(one, known.start))
    return list(found.values())


def _rebased(one: Difference, start: int) -> Difference:
    """The same difference with offsets that count from `start`."""
    return replace(
        one,
        offset=one.offset - start,
        a=None if one.a is None else replace(one.a, offset=one.a.offset - start),
        b=None if one.b is None else replace(one.b, offset=one.b.offset - start),
        places=[replace(place, offset=place.offset - start) for place in one.places],
    )


def _regions(runs: Iterable[PageRun]) -> dict[str, Region]:
    found: dict[str, Region] = {}
    for one in runs:
        region = found.setdefault(one.name, Region(one.name, one.offset))
        region.start = min(region.start, one.offset)
        region.runs.append(one)
    return found


def _in_order(a: dict[str, Region], b: dict[str, Region]) -> list[str]:
    names = {**{name: one.start for name, one in b.items()}, **{n: o.start for n, o in a.items()}}
    return sorted(names, key=lambda name: (names[name], name))


def _together(found: list[RegionDifference]) -> list[RegionDifference]:
    """Regions whose names differ in a number alone, and which differ alike, become one entry."""
    merged: dict[object, RegionDifference] = {}
    for one in found:
        known = merged.setdefault(_likeness(one), one)
        if known is not one:
            known.names += one.names
    return list(merged.values())


def _likeness(one: RegionDifference) -> object:
    shape = tuple(
        (
            inner.kind,
            inner.offset,
            inner.page_count,
            tuple((place.offset, len(place.a)) for place in inner.places),
        )
        for inner in one.differences
    )
    pages = one.pages_a, one.pages_b
    return (
        _NUMBER.sub("#", one.names[0]),
        one.a is None,
        one.b is None,
        one.has_moved,
        pages,
        shape,
    )
