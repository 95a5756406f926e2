"""Empty names of files: a variable was not set, and the current directory is not meant."""

import pytest

from occlum_build.cli.arguments import parse_file_arguments
from occlum_build.diagnostic import DiagnosticError


@pytest.mark.parametrize(
    ("verb", "words", "named"),
    [
        ("measure", [""], "an argument of `measure`"),
        ("diff", ["a", ""], "an argument of `diff`"),
        ("sign", ["a", "--key", "k", "--output", ""], "`--output`"),
        ("audit", ["a", "--source="], "`--source`"),
        ("audit", ["", "--twice"], "an argument of `audit`"),
        ("conformance", [""], "an argument of `conformance`"),
    ],
)
def test_an_empty_name_is_refused(verb: str, words: list[str], named: str) -> None:
    with pytest.raises(DiagnosticError) as raised:
        parse_file_arguments(verb, words)

    assert raised.value.diagnostics[0].message == f"{named} is empty"


@pytest.mark.parametrize("words", [["--argument", ""], ["--argument="]])
def test_a_program_may_get_an_empty_argument(words: list[str]) -> None:
    assert parse_file_arguments("conformance", ["suite", *words]).argument == [""]
