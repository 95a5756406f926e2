"""`select()` picks the most special condition that holds."""

from types import MappingProxyType

import pytest

from occlum_build.configuration import Configuration
from occlum_build.loading.select import NoMatchError, resolve, select

FAST = Configuration("fast", MappingProxyType({"mode": "release"}))


def test_a_list_around_a_select_is_one_list() -> None:
    value = ["a", *select({"mode=release": ["b", "c"], "default": []}), "d"]

    assert resolve(value, FAST) == ["a", "b", "c", "d"]
    assert resolve(value, Configuration()) == ["a", "d"]


def test_a_select_alone_is_what_it_chooses() -> None:
    assert resolve(select({"fast": "x", "default": "y"}), FAST) == "x"
    assert resolve(select({"fast": {"k": "v"}}), FAST) == {"k": "v"}


def test_a_value_is_more_special_than_a_name_and_that_than_the_default() -> None:
    choices = {"default": 1, "fast": 2, "mode=release": 3}

    assert resolve(select(choices), FAST) == 3
    assert resolve(select({"default": 1, "fast": 2}), FAST) == 2
    assert resolve(select({"//conditions:default": 1}), FAST) == 1


def test_a_select_inside_a_select_is_resolved() -> None:
    assert resolve(select({"fast": select({"mode=release": "x"})}), FAST) == "x"


def test_nothing_that_holds_is_an_error() -> None:
    with pytest.raises(NoMatchError):
        resolve({"a": select({"mode=debug": "x"})}, FAST)
