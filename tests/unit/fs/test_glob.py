import pytest

from occlum_build.fs.glob import Pattern


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("usr/lib", b"usr/lib", True),
        ("/usr/lib", b"usr/lib", True),
        ("usr/lib", b"usr/lib/x/y", True),
        ("usr/lib", b"usr/lib64", False),
        ("usr/lib", b"usr", False),
        ("lib", b"usr/lib", False),
        ("**/lib", b"usr/lib", True),
        ("**/lib", b"lib", True),
        ("**/lib", b"usr/xlib", False),
        ("usr/**", b"usr", False),
        ("usr/**", b"usr/a/b", True),
        ("usr/**/x", b"usr/x", True),
        ("usr/**/x", b"usr/a/b/x", True),
        ("usr/*/x", b"usr/a/x", True),
        ("usr/*/x", b"usr/a/b/x", False),
        ("*.so", b"a.so", True),
        ("*.so", b"aXso", False),
        ("**/*.so.[0-9]", b"lib/a.so.6", True),
        ("**/*.so.[!0-9]", b"lib/a.so.6", False),
        ("a?c", b"abc", True),
        ("a?c", b"a/c", False),
        ("[", b"[", True),
        ("a+(b)", b"a+(b)", True),
        ("[^a]", b"^", True),
        ("caf\u00e9", b"caf\xc3\xa9", True),
        ("*", b"new\nline", True),
    ],
)
def test_a_pattern_stands_for_what_it_matches_and_all_below(
    pattern: str,
    path: bytes,
    *,
    expected: bool,
) -> None:
    assert Pattern.parse(pattern).matches(path) is expected


@pytest.mark.parametrize("pattern", ["", "/", "a//b", "../a", "a/./b", "a**", "a/**b", "[z-a]"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Pattern.parse(pattern)
