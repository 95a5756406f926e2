"""The few forms of Markdown that the pages need."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

COMMAND: Final = "python -m occlum_build.reference --output docs/reference"


def page(title: str, introduction: str, sections: Iterable[str]) -> str:
    """A whole page; its first line says that it is made, and from what command."""
    made = f"<!-- Made by `{COMMAND}`; do not edit. -->"
    return "\n\n".join([f"{made}\n# {title}", introduction.strip(), *sections]) + "\n"


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are Markdown of one line."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def block(text: str, language: str = "") -> str:
    """Text as it is, in a fence longer than any that is in it."""
    fence = "`" * max(3, 1 + max((len(one) for one in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def code(text: str) -> str:
    """Text of one line as code."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def sentence(text: str) -> str:
    """`text` with a capital first letter, unless it starts with a name, and a full stop."""
    first = text[:1].upper() + text[1:]
    return first if first.endswith((".", "!", ":")) else f"{first}."


def anchor(title: str) -> str:
    """The link to a heading, as forges make it."""
    return "#" + re.sub(r"[^a-z0-9 _-]", "", title.lower()).replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()
