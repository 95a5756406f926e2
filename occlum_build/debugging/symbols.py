"""Names of functions, as people write them."""

import re
from typing import Final

_HASH: Final = re.compile(r"h[0-9a-f]{16}")
_ESCAPE: Final = re.compile(r"\$(u[0-9a-f]{1,6}|[A-Z]{1,2})\$")
_SIGNS: Final = {
    "SP": "@",
    "BP": "*",
    "RF": "&",
    "LT": "<",
    "GT": ">",
    "LP": "(",
    "RP": ")",
    "C": ",",
}


def demangled(name: str) -> str:
    """A Rust path for a symbol in rustc's legacy form; any other symbol as it is.

    The form is that of the Itanium C++ ABI, `_ZN`, parts with their lengths, `E`, with signs that
    linkers dislike escaped (rustc_symbol_mangling, `legacy`). The last part, a hash, is left out.
    """
    if not name.startswith("_ZN"):
        return name
    rest, parts = name[3:], []
    while length := re.match(r"[1-9][0-9]{0,3}", rest):
        size = int(length[0])
        rest = rest[length.end() :]
        if len(rest) < size:
            return name
        parts.append(rest[:size])
        rest = rest[size:]
    if not rest.startswith("E") or len(parts) < 2 or not _HASH.fullmatch(parts[-1]):  # noqa: PLR2004
        return name
    return "::".join(map(_part, parts[:-1]))


def _part(text: str) -> str:
    text = text.removeprefix("_") if text.startswith("_$") else text
    return _ESCAPE.sub(_sign, text).replace("..", "::")


def _sign(escape: re.Match[str]) -> str:
    word = escape[1]
    return chr(int(word[1:], 16)) if word[0] == "u" else _SIGNS.get(word, escape[0])
