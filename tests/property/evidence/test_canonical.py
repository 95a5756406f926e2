"""Canonical JSON: what RFC 8785's own library says, for any value that we could write."""

import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.evidence.canonical import canonical, is_canonical

_INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
_VALUES = st.recursive(
    st.none() | st.booleans() | _INTEGERS | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_VALUES)
def test_it_is_what_the_library_writes(value: object) -> None:
    assert canonical(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(_VALUES)
def test_it_reads_back_as_the_same_value_in_the_same_form(value: object) -> None:
    text = canonical(value)

    assert json.loads(text) == value
    assert is_canonical(text, json.loads(text))
    assert not is_canonical(text + b"\n", value)


def test_keys_are_in_the_order_of_utf_16() -> None:
    value = {"\U0001f600": 1, "\ufb33": 2, "é": 3, "a": 4}

    assert list(json.loads(canonical(value))) == ["a", "é", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize("value", [1.0, float("nan"), "\ud800", 2**53, {1: 2}, object(), b""])
def test_what_has_no_canonical_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the base of every kind
        canonical(value)
