"""The guides are code too: what they show can be loaded, and is where they say it is."""

import ast
import re
from pathlib import Path

import pytest

from occlum_build.config import load

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
GUIDES = sorted((DOCS / "guide").glob("*.md"))


def blocks(guide: Path, language: str) -> list[str]:
    text = guide.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_configuration_that_a_guide_shows_is_right(guide: Path) -> None:
    for text in blocks(guide, "yaml"):
        assert load(text, guide.name)[1] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_every_python_that_a_guide_shows_can_be_parsed(guide: Path) -> None:
    for text in blocks(guide, "python"):
        ast.parse(text)


def test_the_rule_that_the_guide_shows_is_the_one_of_the_example() -> None:
    rule = (ROOT / "examples/custom_rule/tools/translations.py").read_text(encoding="utf-8")
    shown = [
        text
        for text in blocks(DOCS / "guide" / "writing-a-rule.md", "python")
        if "Attrs" in text or "Provider" in text
    ]

    assert len(shown) == 3
    assert [text for text in shown if text not in rule] == []


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.glob("*/*.md"))]

    assert [page for page in pages if f"]({page})" not in index] == []
