"""The language of `query`, as Bazel has it: a text to an expression. Nothing is looked up here."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from occlum_build.diagnostic import DiagnosticError, error

_TOKEN: Final = re.compile(
    r"""\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<sign>[-+^(),=])|(?P<word>[^\s"'+^(),=]+))"""
)
_OPERATORS: Final = {
    "+": "union",
    "union": "union",
    "-": "except",
    "except": "except",
    "^": "intersect",
    "intersect": "intersect",
}
_MAX_DEPTH: Final = 100

# What each function takes: the labels of an expression, a word, a number; `?` may be left out,
# `+` may come several times.
FUNCTIONS: Final[dict[str, tuple[str, ...]]] = {
    "allpaths": ("set", "set"),
    "allrdeps": ("set", "number?"),
    "attr": ("word", "word", "set"),
    "buildfiles": ("set",),
    "deps": ("set", "number?"),
    "filter": ("word", "set"),
    "kind": ("word", "set"),
    "labels": ("word", "set"),
    "loadfiles": ("set",),
    "path": ("set", "set"),
    "rbuildfiles": ("word+",),
    "rdeps": ("set", "set", "number?"),
    "siblings": ("set",),
    "some": ("set", "number?"),
    "somepath": ("set", "set"),
    "tests": ("set",),
}


@dataclass(frozen=True)
class Pattern:
    """Target patterns: what they mean together."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Variable:
    """`$name` of a `let`."""

    name: str


@dataclass(frozen=True)
class Operation:
    """`union`, `except` or `intersect` of two sets."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True)
class Call:
    """A function with its arguments, as `FUNCTIONS` says."""

    function: str
    arguments: tuple["Expression | str | int", ...]


@dataclass(frozen=True)
class Let:
    """`let name = value in body`."""

    name: str
    value: "Expression"
    body: "Expression"


Expression = Pattern | Variable | Operation | Call | Let


@dataclass(frozen=True)
class _Token:
    text: str
    is_word: bool
    is_quoted: bool = False


def parse(text: str) -> Expression:
    """The expression that `text` is.

    Raises:
        DiagnosticError: it is none.
    """
    return _Parser(text).whole()


class _Parser:
    """Reads one text from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read())
        self._next = 0
        self._depth = 0

    def whole(self) -> Expression:
        found = self._expression()
        left = self._peek()
        if left is not None:
            self._refuse(f"`{left.text}` stands where an operator or the end is expected")
        return found

    def _read(self) -> Iterator[_Token]:
        at = 0
        text = self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self._refuse("a quotation mark has no partner")
            at = match.end()
            quoted = match["double"] if match["double"] is not None else match["single"]
            if quoted is not None:
                yield _Token(quoted, is_word=True, is_quoted=True)
            else:
                word = match["word"]
                yield _Token(word or match["sign"], is_word=word is not None)

    def _expression(self) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._refuse("it is nested too deeply")
        found = self._term()
        while (token := self._peek()) is not None and not token.is_quoted:
            operator = _OPERATORS.get(token.text)
            if operator is None:
                break
            self._next += 1
            found = Operation(operator, found, self._term())
        self._depth -= 1
        return found

    def _term(self) -> Expression:
        token = self._take("a target pattern")
        if token.text == "(" and not token.is_word:
            found = self._expression()
            self._expect(")")
            return found
        if not token.is_word or (not token.is_quoted and token.text in {*_OPERATORS, "in"}):
            self._refuse(f"`{token.text}` stands where a target pattern is expected")
        if token.is_quoted:
            return Pattern((token.text,))
        if token.text == "let":
            return self._let()
        if self._is_next("("):
            return self._set() if token.text == "set" else self._call(token.text)
        if token.text.startswith("$"):
            return Variable(token.text[1:])
        return Pattern((token.text,))

    def _let(self) -> Expression:
        name = self._take("a name").text
        self._expect("=")
        value = self._expression()
        self._expect("in")
        return Let(name, value, self._expression())

    def _set(self) -> Expression:
        self._expect("(")
        words: list[str] = []
        while not self._is_next(")"):
            words.append(self._word("`set`"))
        self._expect(")")
        return Pattern(tuple(words))

    def _call(self, name: str) -> Expression:
        if name not in FUNCTIONS:
            listed = ", ".join(f"`{one}`" for one in FUNCTIONS)
            self._refuse(f"there is no function `{name}`", f"there are {listed}")
        self._expect("(")
        arguments: list[Expression | str | int] = []
        for index, kind in enumerate(FUNCTIONS[name]):
            if kind.endswith("?") and not self._is_next(","):
                break
            if index:
                self._expect(",", name)
            arguments.append(self._argument(name, kind))
            while kind.endswith("+") and self._is_next(","):
                self._next += 1
                arguments.append(self._argument(name, kind))
        self._expect(")", name)
        return Call(name, tuple(arguments))

    def _argument(self, function: str, kind: str) -> Expression | str | int:
        if kind == "set":
            if self._is_next(")"):
                self._refuse(_signature(function))
            return self._expression()
        word = self._word(f"`{function}`")
        if kind.startswith("word"):
            return word
        if not word.isascii() or not word.isdigit():
            self._refuse(f"`{word}` is no number; {_signature(function)}")
        return int(word[:9])

    def _word(self, of: str) -> str:
        token = self._take("a word")
        if not token.is_word:
            self._refuse(f"`{token.text}` stands where {of} expects a word")
        return token.text

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _is_next(self, sign: str) -> bool:
        token = self._peek()
        return token is not None and not token.is_quoted and token.text == sign

    def _take(self, what: str) -> _Token:
        token = self._peek()
        if token is None:
            self._refuse(f"it ends where {what} is expected")
        self._next += 1
        return token

    def _expect(self, sign: str, function: str = "") -> None:
        if self._is_next(sign):
            self._next += 1
            return
        token = self._peek()
        found = f"`{token.text}` stands" if token is not None else "it ends"
        hint = f"; {_signature(function)}" if function else ""
        self._refuse(f"{found} where `{sign}` is expected{hint}")

    def _refuse(self, why: str, help_text: str = "") -> NoReturn:
        helps = (help_text or "put words with spaces or signs in quotation marks",)
        message = f"`{self._text}` is no query: {why}"
        raise DiagnosticError(error("OB0126", message, helps=helps))


def _signature(function: str) -> str:
    names = {"set": "SET", "word": "WORD", "word+": "WORD, …", "number?": "[NUMBER]"}
    listed = ", ".join(names[one] for one in FUNCTIONS[function])
    return f"it is `{function}({listed})`"
