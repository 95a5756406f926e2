"""Rendering a diagnostic: whatever is in the file, the message stays a message."""

from hypothesis import given
from hypothesis import strategies as st

from occlum_build.diagnostic import Diagnostic, Severity, Span, render, render_json

NUMBER = st.integers(min_value=0, max_value=12)
SPANS = st.builds(Span, st.text(max_size=6), NUMBER, NUMBER, NUMBER) | st.none()
DIAGNOSTICS = st.builds(
    Diagnostic,
    st.just("OB0000"),
    st.sampled_from(Severity),
    st.text(max_size=20),
    SPANS,
    st.text(max_size=10),
    st.tuples(st.text(max_size=20)) | st.just(()),
    st.tuples(st.text(max_size=20)) | st.just(()),
)


@given(DIAGNOSTICS, st.text(max_size=60) | st.none())
def test_no_control_character_reaches_the_terminal(
    diagnostic: Diagnostic, text: str | None
) -> None:
    shown = render(diagnostic, text)

    assert shown.endswith("\n")
    assert all(char.isprintable() for char in shown.replace("\n", ""))


@given(DIAGNOSTICS)
def test_json_is_one_line(diagnostic: Diagnostic) -> None:
    assert render_json(diagnostic).count("\n") == 1
