"""Compiled modules: an interpreter takes them, and they depend on nothing but their source."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from occlum_build.diagnostic import DiagnosticError
from occlum_build.fs.bytecode import compiled_modules
from occlum_build.fs.content import BytesContent
from occlum_build.fs.glob import Pattern
from occlum_build.fs.tree import Node, Tree, regular_file, symlink
from tests.support.python_tree import INTERPRETER, python_tree

TAG = sys.implementation.cache_tag.encode()
SET = (
    b"NAMES = {'one', 'two', 'three'}\ndef has(name): return name in {'a', 'self', 'path', b'b'}\n"
)


@pytest.fixture(scope="module")
def python() -> Tree:
    return python_tree()


def file(text: bytes) -> Node:
    return regular_file(0o644, BytesContent(text), "test", {"label": "//a"})


def modules(**files: bytes) -> Tree:
    return Tree((f"srv/{name}.py".encode(), file(text)) for name, text in files.items())


def compiled(name: str) -> bytes:
    return b"srv/__pycache__/%s.%s.pyc" % (name.encode(), TAG)


def content(tree: Tree, path: bytes) -> bytes:
    found = tree.names[path].content
    assert found is not None
    return found.read(0, found.size)


def answer(folder: Path) -> str:
    """What `a.answer` is for a Python that finds `a` in `folder`."""
    run = subprocess.run(
        [sys.executable, "-B", "-S", "-c", "import a; print(a.answer)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def test_a_python_takes_the_compiled_module_until_its_source_changes(
    python: Tree, tmp_path: Path
) -> None:
    tree = compiled_modules(python, INTERPRETER, [modules(a=b"answer = 1\n")], [], tmp_path / "w")
    (tmp_path / "__pycache__").mkdir()
    source = tmp_path / "a.py"
    (tmp_path / "__pycache__" / Path(os.fsdecode(compiled("a"))).name).write_bytes(
        content(tree, compiled("a"))
    )
    # of the same size, so that only what was compiled can tell 1
    source.write_text("answer = 2\n")
    os.utime(source, (0, 0))

    assert answer(tmp_path) == "1"
    os.utime(source, (5, 5))
    assert answer(tmp_path) == "2"


def test_what_a_module_becomes_depends_on_no_other_module_place_or_environment(
    python: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = compiled_modules(python, INTERPRETER, [modules(b=SET)], [], tmp_path / "one")
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "/elsewhere")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    trees = [modules(a=b"has = path = 'two'\n" + SET), modules(b=SET)]
    other = compiled_modules(python, INTERPRETER, trees, [], tmp_path / "longer" / "path")

    assert content(one, compiled("b")) == content(other, compiled("b"))
    assert b"/srv/b.py" in content(one, compiled("b"))
    assert os.fsencode(tmp_path) not in content(one, compiled("b"))


def test_only_modules_are_compiled_and_none_that_is_excluded_or_compiled_already(
    python: Tree, tmp_path: Path
) -> None:
    tree = Tree(
        [
            (b"srv/a.py", file(b"")),
            (b"srv/linked.py", symlink(b"a.py", "test")),
            (b"srv/dangling.py", symlink(b"nothing.py", "test")),
            (b"srv/known.py", file(b"")),
            (compiled("known"), file(b"of its own")),
            (b"srv/test/bad.py", file(b"(")),
            (b"srv/text.txt", file(b"(")),
        ]
    )

    made = compiled_modules(
        python, INTERPRETER, [tree], [Pattern.parse("**/test")], tmp_path / "work"
    )

    found = {path for path, node in made if node.content is not None}
    assert found == {compiled("a"), compiled("linked")}
    assert {made.names[path].mode for path in found} == {0o644}
    assert made.names[compiled("linked")].source == {"label": "//a"}


def test_every_module_that_does_not_compile_is_told(python: Tree, tmp_path: Path) -> None:
    tree = modules(a=b"(", b=b"", c=b"\n\nreturn\n", d=b"\xff", e=b"# coding: nothing\n", f=b"\0")

    with pytest.raises(DiagnosticError) as caught:
        compiled_modules(python, INTERPRETER, [tree], [], tmp_path / "work")

    told = [(one.code, one.message.split("`")[1]) for one in caught.value.diagnostics]
    assert told == [("OB0619", f"/srv/{name}.py") for name in "acdef"]
    assert caught.value.diagnostics[1].notes == ("line 3: 'return' outside function",)


def test_an_interpreter_s_own_library_is_compiled_whole(python: Tree, tmp_path: Path) -> None:
    library = [path for path, _ in python if path.endswith(b".py")]
    assert len(library) > 10

    made = compiled_modules(python, INTERPRETER, [python], [], tmp_path / "work")

    assert len([path for path, node in made if node.content is not None]) == len(library)


def test_a_program_that_is_no_python_is_told(python: Tree, tmp_path: Path) -> None:
    names = dict(python)
    names[INTERPRETER] = file(b"#!/bin/sh\n")

    with pytest.raises(DiagnosticError) as caught:
        compiled_modules(Tree(names.items()), INTERPRETER, [modules(a=b"")], [], tmp_path / "work")

    assert caught.value.diagnostics[0].code == "OB0618"
