"""Sizes survive, and no text makes the loader crash or hang."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from occlum_build.config import load
from occlum_build.config.size import MAX_BYTES, BadSizeError, parse_size, print_size
from occlum_build.config.strict_yaml import MAX_NODES, parse, plain
from occlum_build.diagnostic import Severity, render
from tests.support.config_samples import HELLO

LINES = [
    *HELLO.splitlines(),
    "resource_limits:",
    "  user_space_size: 64MB",
    "  kernel_space_stack_size: 8KB",
    "feature: {memory_model: edmm}",
    "metadata: {family_id: {high: '0x1'}}",
    "  - {type: tmpfs, target: /tmp}",
    "  - {type: unionfs, target: /, options: {layers: [{type: sefs}]}}",
    "a: &a [*a]",
    "<<: *a",
    "? [x]",
    "---",
    "!tag x",
]


@given(size_bytes=st.integers(0, MAX_BYTES))
def test_a_size_survives_being_printed_and_read(size_bytes: int) -> None:
    assert parse_size(print_size(size_bytes)) == size_bytes


@given(count=st.integers(0, 9999), unit=st.sampled_from(["KB", "MB", "GB", "TB"]))
def test_both_spellings_of_a_unit_are_the_same_size(count: int, unit: str) -> None:
    assert parse_size(f"{count}{unit}") == parse_size(f"{count}{unit[0]}iB")


@given(text=st.one_of(st.text(max_size=20), st.from_regex(r"\A[0-9. ]{0,9}[kKmMiIbB]{0,4}\Z")))
@example("9" * 5000 + "MB")
@example("٣MB")
@example("1MB\n")
def test_a_text_is_a_size_or_is_explained(text: str) -> None:
    try:
        size_bytes = parse_size(text)
    except BadSizeError as problem:
        explanation = str(problem)
    else:
        explanation = text
        assert parse_size(print_size(size_bytes)) == size_bytes
    assert text in explanation


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**18), 10**18), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(value=st.dictionaries(st.text(max_size=9), VALUES, max_size=4))
def test_what_json_writes_is_read_as_the_same(value: dict[str, object]) -> None:
    text = json.dumps(value)

    root, problems = parse(text, "x.yaml")

    if root is None:  # JSON writes lone surrogates and other characters that YAML refuses
        assert problems
    else:
        assert json.loads(json.dumps(plain(root))) == value


def assert_loads_or_explains(text: str) -> None:
    config, diagnostics = load(text, "Occlum.yaml")

    assert (config is None) == bool(diagnostics)
    lines = text.count("\n") + 1
    for one in diagnostics:
        assert one.severity is Severity.ERROR
        assert one.span is not None
        assert one.span.line <= lines + 1
        assert one.message == one.message.strip()
        assert not one.message.endswith(".") or "`" in one.message
        assert render(one, text)


@given(text=st.text(max_size=200))
def test_random_text_is_explained(text: str) -> None:
    assert_loads_or_explains(text)


@given(lines=st.lists(st.sampled_from(LINES), max_size=25))
def test_shuffled_lines_are_loaded_or_explained(lines: list[str]) -> None:
    assert_loads_or_explains("\n".join(lines))


@given(position=st.integers(0, len(HELLO)), patch=st.text(max_size=6), cut=st.integers(0, 9))
def test_an_edited_file_is_loaded_or_explained(position: int, patch: str, cut: int) -> None:
    assert_loads_or_explains(HELLO[:position] + patch + HELLO[position + cut :])


@given(
    value=st.dictionaries(
        st.sampled_from(
            ["process", "mount", "env", "metadata", "feature", "resource_limits", "x"]
        ),
        st.recursive(
            VALUES,
            lambda inner: st.dictionaries(
                st.sampled_from(["type", "target", "image", "command", "family_id", "options"]),
                st.one_of(inner, st.sampled_from(["erofs", "tmpfs", "unionfs", "/", "root"])),
                max_size=4,
            ),
        ),
    )
)
def test_any_shape_is_explained(value: dict[str, object]) -> None:
    assert_loads_or_explains(json.dumps(value))


def test_aliases_cannot_blow_up() -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
    text = f"a0: &a0 [x, x, x, x, x, x, x, x, x]\n{levels}\n"

    _, (problem,) = parse(text, "x.yaml")

    assert problem.message == f"there are more than {MAX_NODES} values up to here"
