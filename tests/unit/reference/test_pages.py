"""The pages in `docs/reference/` say what the code says, and leave nothing out."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.cli.arguments import VERBS
from occlum_build.config.schema import OcclumConfig
from occlum_build.reference.meanings import GROUPS, MEANINGS
from occlum_build.reference.occlum_yaml import leaves
from occlum_build.reference.pages import pages
from occlum_build.reference.probe import SAMPLES, effect_of, refusals

ROOT = Path(__file__).resolve().parents[3]
PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_the_code_says(name: str, golden: Callable[[Path, str], None]) -> None:
    golden(ROOT / "docs" / "reference" / name, PAGES[name])


def test_every_code_that_is_used_has_a_meaning_and_no_other_has() -> None:
    sources = [ROOT / "occlum-build", *(ROOT / "occlum_build").rglob("*.py")]
    texts = [path.read_text(encoding="utf-8") for path in sources if "reference" not in path.parts]
    used = {code for text in texts for code in re.findall(r"\bOB\d{4}\b", text)}

    assert sorted(MEANINGS) == sorted(used)


def test_every_code_belongs_to_a_group() -> None:
    assert {code[2:4] for code in MEANINGS} == set(GROUPS)


def test_every_rule_file_has_its_section() -> None:
    names = {
        path.stem
        for path in (ROOT / "rules").glob("*.py")
        if re.search(rf"^{path.stem} = Rule\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }

    assert names <= set(re.findall(r"^## (\w+)$", PAGES["rules.md"], re.MULTILINE))
    assert len(names) > 10


def test_every_verb_has_its_section() -> None:
    assert set(VERBS) <= set(re.findall(r"^### (\w+)$", PAGES["commands.md"], re.MULTILINE))


def test_every_key_has_a_sample() -> None:
    keys = {key for key, _ in leaves(OcclumConfig) if key != "mount"}

    assert set(SAMPLES) == keys


def test_a_key_reaches_what_the_architecture_says() -> None:
    reached = {
        key: (effect_of(key).is_measured, effect_of(key).is_signed)
        for key in ("process.command", "metadata.version_number", "metadata.debuggable")
    }

    assert reached == {
        "process.command": (True, False),
        "metadata.version_number": (False, True),
        "metadata.debuggable": (True, True),
    }


def test_every_key_without_effect_is_refused_or_says_why_it_is_there() -> None:
    effects = {key: effect_of(key) for key in SAMPLES}
    silent = {key for key, one in effects.items() if not one.is_measured and not one.is_signed}
    refused = {key for one in refusals() for key, _ in one.written}

    assert silent <= refused


def test_no_line_of_a_page_ends_in_a_blank() -> None:
    assert [
        line for text in PAGES.values() for line in text.split("\n") if line != line.rstrip()
    ] == []
