"""Diagnostics point at the right characters."""

import pytest

from occlum_build.diagnostic import Span, error, near, render, warning


def carets(line: str, span: Span) -> tuple[str, str]:
    """The excerpt's text line and the line with the carets."""
    lines = render(error("OB0000", "x", span), line).splitlines()
    return lines[3].partition("| ")[2], lines[4].partition("| ")[2]


def test_the_carets_stand_below_the_span() -> None:
    assert carets("ab = cd", Span("f", 1, 6, 8)) == ("ab = cd", "     ^^")


def test_a_tab_takes_as_many_carets_as_columns() -> None:
    assert carets("\tx", Span("f", 1, 2, 3)) == ("    x", "    ^")


def test_wide_characters_take_two_columns() -> None:
    assert carets("日本 x", Span("f", 1, 4, 5)) == ("日本 x", "     ^")


@pytest.mark.parametrize("span", [Span("f", 9, 1, 2), Span("f"), Span("f", 1)])
def test_a_span_outside_the_text_shows_no_excerpt(span: Span) -> None:
    assert "|" not in render(error("OB0000", "x", span), "one line")


def test_a_span_past_the_end_of_its_line_points_at_the_end() -> None:
    assert carets("ab", Span("f", 1, 9, 12)) == ("ab", "  ^")


def test_everything_is_shown_in_rustcs_form() -> None:
    diagnostic = error(
        "OB0207",
        "enclave `//a:b` is too small",
        Span("a/BUILD", 2, 5, 6),
        label="64 MiB here",
        notes=["first\nsecond"],
        helps=["write more"],
    )

    assert render(diagnostic, "\nx = y\n") == (
        "error[OB0207]: enclave `//a:b` is too small\n"
        " --> a/BUILD:2:5\n"
        "  |\n"
        "2 | x = y\n"
        "  |     ^ 64 MiB here\n"
        "  |\n"
        "  = note: first\n"
        "          second\n"
        "  = help: write more\n"
    )


def test_colour_is_added_only_when_asked_for() -> None:
    assert "\x1b" in render(warning("OB0000", "x"), colour=True)
    assert "\x1b" not in render(warning("OB0000", "x"))


def test_a_file_cannot_drive_the_terminal() -> None:
    assert "\x1b" not in render(error("OB0000", "\x1b[2J", Span("f", 1, 1)), "\x1b]0;x\x07")


def test_near_names_are_near() -> None:
    assert near("occlum_imag", ["occlum_image", "zig"]) == "occlum_image"
    assert near("zzz", ["occlum_image", "zig"]) is None


def test_of_a_very_long_line_the_part_around_the_place_is_shown() -> None:
    line = "a" * 100_000 + "bad" + "c" * 100_000
    text, marks = carets(line, Span("f", 1, 100_001, 100_004))
    assert len(text) < 1000
    assert text.startswith("…a")
    assert text.endswith("c…")
    assert text[marks.index("^") : marks.rindex("^") + 1] == "bad"
