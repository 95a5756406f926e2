"""Labels: one name, however it is spelled."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from occlum_build.label import BadLabelError, Label

WORD = st.text(string.ascii_letters + string.digits + "_-+.äß日", min_size=1, max_size=8).filter(
    lambda text: set(text) != {"."}
)
PATH = st.lists(WORD, min_size=1, max_size=3).map("/".join)
REPOSITORY = st.just("") | st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)


@given(REPOSITORY, st.just("") | PATH, PATH)
def test_a_label_survives_being_printed_and_read_again(
    repository: str, package: str, name: str
) -> None:
    label = Label(repository, package, name)

    assert Label.parse(str(label)) == label


@given(PATH, PATH)
def test_short_forms_mean_the_same_in_their_package(package: str, name: str) -> None:
    label = Label("", package, name)

    assert Label.parse(f":{name}", package=package) == label
    assert Label.parse(name, package=package) == label
    assert Label.parse(f"//{package}") == Label("", package, package.rpartition("/")[2])


@given(st.text(max_size=20), PATH)
def test_any_text_is_a_label_or_is_refused(text: str, package: str) -> None:
    try:
        label = Label.parse(text, package=package)
    except BadLabelError:
        return

    assert Label.parse(str(label)) == label


@given(PATH)
def test_no_label_leads_out_of_its_package(package: str) -> None:
    for text in ("../x", "a/../b", "/x", "a//b", "./a", ":", "//", f"//{package}/..:x", "//..:x"):
        with pytest.raises(BadLabelError):
            Label.parse(text, package=package)


def test_labels_sort_by_repository_package_and_name() -> None:
    texts = ["//a:b", "//a:c", "//b:a", "@z//a:a"]

    assert [str(one) for one in sorted(map(Label.parse, reversed(texts)))] == texts
