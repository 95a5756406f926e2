"""Patterns over tree paths, for choosing what of a layer is taken.

`*` and `?` and `[...]` match inside one name, `**` any number of whole names.
A pattern stands for what it matches and for everything below that; a leading
slash changes nothing.
"""

import re
from dataclasses import dataclass
from typing import Final

from occlum_build.fs.tree import ROOT_PATH, parent_of

_TOKEN: Final = re.compile(r"\*\*/|/\*\*$|\*|\?|\[!?\]?[^]/]*\]|.", re.DOTALL)
_WILDCARDS: Final = {"**/": "(?:[^/]+/)*", "/**": "/.+", "*": "[^/]*", "?": "[^/]"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, compiled; `text` is what the user wrote."""

    text: str
    expression: re.Pattern[bytes]

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Compile a pattern. Raises ValueError for one that can match nothing or everything."""
        body = text.removeprefix("/")
        parts = body.split("/")
        if not body or any(part in ("", ".", "..") for part in parts):
            raise ValueError("it is empty, or has an empty part, `.` or `..`")
        if any("**" in part and part != "**" for part in parts):
            raise ValueError("`**` must be a whole part")
        expression = "".join(_translated(token) for token in _TOKEN.findall(body))
        try:
            return cls(text, re.compile(os_bytes(expression), re.DOTALL))
        except re.error as failure:
            raise ValueError(str(failure)) from failure

    def matches(self, path: bytes) -> bool:
        """Whether the pattern matches `path` itself or a directory above it."""
        while path != ROOT_PATH:
            if self.expression.fullmatch(path):
                return True
            path = parent_of(path)
        return False


def os_bytes(text: str) -> bytes:
    """Text as file names hold it, those that are not UTF-8 included."""
    return text.encode("utf-8", "surrogateescape")


def _translated(token: str) -> str:
    if token in _WILDCARDS:
        return _WILDCARDS[token]
    if token.startswith("[") and token.endswith("]") and len(token) > len("[]"):
        inner = token[1:-1]
        negation = "^/" if inner.startswith("!") else ""
        ranges = inner.removeprefix("!")
        return f"[{negation}{re.sub(r'[^-0-9A-Za-z]', _escaped, ranges)}]"
    return re.escape(token)


def _escaped(found: re.Match[str]) -> str:
    return re.escape(found.group())
