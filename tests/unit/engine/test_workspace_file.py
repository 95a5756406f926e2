"""`WORKSPACE.occlum`: strict YAML in which nothing means something else."""

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.loading.workspace_file import parse_workspace_file


def test_an_empty_marker_has_the_default_configuration() -> None:
    file = parse_workspace_file("# nothing\n", "W")

    assert file.name == ""
    assert list(file.configurations) == ["default"]


def test_values_are_the_strings_that_are_written() -> None:
    file = parse_workspace_file("configurations: {x: {a: on, b: 0755, c: 1:30, d: ''}}", "W")

    assert dict(file.configurations["x"].values) == {"a": "on", "b": "0755", "c": "1:30", "d": ""}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "a mapping is needed here"),
        ("name: [a]", "a string is needed here"),
        ("name: Shop", "`Shop` is no repository name"),
        ("nmae: a", "unknown key `nmae`"),
        ("configurations: {a: {}, a: {}}", "`a` is here twice"),
        ("configurations: {a: {k: 1, k: 2}}", "`k` is here twice"),
        ("configurations: {../a: {}}", "`../a` is no configuration name"),
        ("name: 'a", "this is no YAML"),
        ("a: &x [*x]", "unknown key"),
        ("\x00", "this is no YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(DiagnosticError) as raised:
        parse_workspace_file(text, "W")

    assert message in str(raised.value)
