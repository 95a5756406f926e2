"""Places in BUILD files."""

from occlum_build.diagnostic import Span
from occlum_build.loading.source_map import SourceMap

TEXT = """load("//r:r.py", "rule", other = "rule2")

rule(
    name = "a",
    srcs = ["x", "ü", "z"] + select({"k=v": ["w"]}),
    files = {"/bin/a": ":a"},
)
[rule(name = n) for n in ["p", "q"]]; rule(name = "r"); rule(name = "s")
"""


def place(span: Span | None) -> str:
    """The text that a span covers."""
    assert span is not None
    return TEXT.split("\n")[span.line - 1][span.column - 1 : span.end_column - 1]


def test_each_part_of_a_call_has_a_place() -> None:
    site = SourceMap("BUILD", TEXT).call(3, "rule", "a")

    assert place(site.span) == "rule"
    assert place(site.keyword("srcs")) == "srcs"
    assert place(site.value(("name",))) == '"a"'
    assert place(site.value(("files", "/bin/a"))) == '":a"'
    assert site.value(("nothing",)) is None


def test_a_computed_list_is_searched_for_the_value() -> None:
    site = SourceMap("BUILD", TEXT).call(3, "rule", "a")

    assert place(site.value(("srcs", 1), "ü")) == '"ü"'
    assert place(site.value(("srcs", 3), "w")) == '"w"'
    assert place(site.value(("srcs", 2))).startswith('["x"')


def test_the_name_decides_between_calls_on_one_line() -> None:
    site = SourceMap("BUILD", TEXT).call(8, "rule", "s")

    assert place(site.value(("name",))) == '"s"'


def test_loads_and_what_a_file_exports_are_known() -> None:
    source = SourceMap("BUILD", TEXT)

    assert place(source.load_span("//r:r.py")) == '"//r:r.py"'
    assert place(source.load_span("//r:r.py", "rule2")) == '"rule2"'
    assert list(source.exports()) == ["rule", "other"]


def test_a_file_that_python_cannot_read_has_lines_only() -> None:
    site = SourceMap("BUILD", "rule(a b)\n").call(1, "rule")

    assert site.span == Span("BUILD", 1, 1)
    assert site.value(("name",)) is None
