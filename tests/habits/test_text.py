"""What the repository promises about itself in words."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = {".git", ".occlum-build", "out", "target", ".hypothesis", ".mypy_cache", ".ruff_cache"}


def _files(*suffixes: str) -> list[Path]:
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.suffix in suffixes
        and path.is_file()
        and not MADE.intersection(path.relative_to(ROOT).parts)
    ]


def test_the_architecture_fits_on_a_few_pages() -> None:
    lines = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 200


def test_no_file_grows_past_what_one_person_reads_at_once() -> None:
    longest = 800

    grown = {
        str(path.relative_to(ROOT)): count
        for path in _files(".py", ".rs", ".bzl")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > longest
    }

    assert grown == {}


def test_every_relative_link_of_the_documentation_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in _files(".md")
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert broken == []


def test_decision_records_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]

    assert numbers == list(range(1, len(numbers) + 1))
