"""A pass list: the cases that are known to pass, one a line, which only grows.

Lines that start with `#` and empty ones are for people. The order is that of the names.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from occlum_build.conformance.verdict import Case, Verdict
from occlum_build.diagnostic import DiagnosticError, Span, error


@dataclass(frozen=True, slots=True)
class Ratchet:
    """Cases against a pass list.

    `lost` are cases of the list that do not pass now, `gained` such that pass and are not in it.
    A case of the list that was not run is in neither.
    """

    lost: tuple[Case, ...]
    gained: tuple[str, ...]


def read(path: Path) -> frozenset[str]:
    """The names in a pass list; none if there is no such file.

    Raises:
        DiagnosticError: it cannot be read, or names a case twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return frozenset()
    except (OSError, UnicodeDecodeError) as problem:
        raise DiagnosticError(
            error("OB0702", f"the pass list cannot be read: {problem}", Span(str(path)))
        ) from problem
    names: set[str] = set()
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        if name in names:
            raise DiagnosticError(
                error("OB0702", f"`{name}` is in the pass list twice", Span(str(path), number, 1))
            )
        names.add(name)
    return frozenset(names)


def compare(known: frozenset[str], cases: Sequence[Case]) -> Ratchet:
    """What was lost and what was gained."""
    return Ratchet(
        lost=tuple(
            one for one in cases if one.name in known and one.verdict is not Verdict.PASSED
        ),
        gained=tuple(
            one.name for one in cases if one.verdict is Verdict.PASSED and one.name not in known
        ),
    )


def without_program(known: frozenset[str], programs: Iterable[str]) -> tuple[str, ...]:
    """The names whose program is not among these: a case is `PROGRAM` or `PROGRAM::CASE`."""
    there = set(programs)
    return tuple(sorted(name for name in known if name.split("::", 1)[0] not in there))


def text(head: Iterable[str], names: Iterable[str]) -> str:
    """A pass list; `head` are the lines for people."""
    return "".join(f"{line}\n" for line in (*head, *sorted(set(names))))


def head_of(path: Path) -> tuple[str, ...]:
    """The lines for people at the beginning of a pass list that is there already."""
    if not path.is_file():
        return ("# Cases in which the enclave says what the host says; the list only grows.",)
    lines = path.read_text(encoding="utf-8").splitlines()
    stop = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return tuple(lines[:stop])
