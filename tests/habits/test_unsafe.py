"""Where `unsafe` may stand in the Rust sources, and that each block argues its case."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CRATES = ROOT / "libos_src" / "crates"
ALLOWED = {"rt", "libos", "plat-sim", "plat-sgx", "urts", "probe"}
REACH = 12
"""How many lines above an `unsafe` block its SAFETY comment may begin."""

_UNSAFE = re.compile(r"\bunsafe\s*(\{|fn|impl|extern|trait)|#\[unsafe\(")
_NEEDS_ARGUMENT = re.compile(r"\bunsafe\s*(\{|impl)")


def _code_lines(path: Path) -> list[str]:
    """The lines of a file with line comments cut, so that prose is not mistaken for code."""
    return [line.split("//", 1)[0] for line in path.read_text(encoding="utf-8").splitlines()]


def _sources() -> list[Path]:
    return sorted(path for path in CRATES.rglob("*.rs") if "target" not in path.parts)


def test_unsafe_stands_only_in_the_crates_that_touch_the_machine() -> None:
    astray = {
        str(path.relative_to(CRATES))
        for path in _sources()
        if path.relative_to(CRATES).parts[0] not in ALLOWED
        and any(_UNSAFE.search(line) for line in _code_lines(path))
    }

    assert astray == set()


def test_every_other_crate_forbids_unsafe_code() -> None:
    roots = [
        path
        for crate in sorted(CRATES.iterdir())
        if crate.name not in ALLOWED
        for path in (crate / "src" / "lib.rs", crate / "src" / "main.rs")
        if path.exists()
    ]

    lax = [
        str(path.relative_to(CRATES))
        for path in roots
        if "#![forbid(unsafe_code)]" not in path.read_text(encoding="utf-8")
    ]

    assert roots
    assert lax == []


def test_every_unsafe_block_says_why_it_is_safe(capsys: pytest.CaptureFixture[str]) -> None:
    silent = []
    count = Counter[str]()
    for path in _sources():
        text = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(_code_lines(path)):
            if not _NEEDS_ARGUMENT.search(line):
                continue
            count[path.relative_to(CRATES).parts[0]] += 1
            above = "\n".join(text[max(0, number - REACH) : number + 1])
            if "SAFETY:" not in above:
                silent.append(f"{path.relative_to(CRATES)}:{number + 1}")
    by_crate = ", ".join(f"{crate} {blocks}" for crate, blocks in sorted(count.items()))
    with capsys.disabled():
        print(f"\n{count.total()} unsafe blocks and impls: {by_crate}")

    assert count.total()
    assert silent == []
