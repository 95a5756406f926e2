"""`diagnostics.md`: every code, what it means, and a message as a person sees it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from occlum_build.reference.markdown import block, page
from occlum_build.reference.meanings import GROUPS, MEANINGS

_GOLDEN: Final = "tests/golden"
_START: Final = re.compile(r"^(?:error|warning)\[(OB\d{4})\]", re.MULTILINE)
_CARET: Final = re.compile(r"^ *\| +\^", re.MULTILINE)

_INTRODUCTION: Final = """
Every message has a code, says where and what is wrong, and ends with notes (what is so) and helps
(what to do). All problems of a load are reported at once, and nothing is built after one.
`--message-format json` prints each as one line of JSON on standard error, with the keys `code`,
`severity`, `message`, `span`, `label`, `notes` and `helps`.

The exit codes are 0 done, 1 failed, 2 wrong input, 70 a defect of this project, 130 interrupted.
The examples are those that `tests/golden/` holds the tool to.
"""


def diagnostics_page(root: Path) -> str:
    """The page."""
    examples = _examples(root / _GOLDEN)
    sections: list[str] = []
    for group, (title, ending) in GROUPS.items():
        sections.append(f"## {title} (OB{group}xx; {ending})")
        for code, meaning in MEANINGS.items():
            if code.startswith(f"OB{group}"):
                sections += [f"### {code}", meaning]
                sections += [block(examples[code])] if code in examples else []
    return page("Diagnostics", _INTRODUCTION, sections)


def _examples(folder: Path) -> dict[str, str]:
    """For each code the first message that shows a caret, or else the first."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.txt")):
        for code, text in _messages(path.read_text(encoding="utf-8")):
            if code not in found or (_CARET.search(text) and not _CARET.search(found[code])):
                found[code] = text
    return found


def _messages(text: str) -> Iterator[tuple[str, str]]:
    for start in _START.finditer(text):
        yield start[1], text[start.start() :].partition("\n\n")[0].rstrip()
