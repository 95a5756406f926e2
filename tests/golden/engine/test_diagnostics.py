"""Every diagnostic of loading and analysis, word for word."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.cli.entry import main
from tests.support.workspace import LOAD, Workspace

TEXTS = Path(__file__).parent / "diagnostics"
Golden = Callable[[Path, str], None]

RULE_FILE = """from occlum_build.api import (
    Annotated, Artifact, Attrs, DefaultInfo, Label, Rule, RunInfo, Source,
)


class A(Attrs):
    src: Annotated[Label, Source()]


def analyze(ctx):
    {body}
    return [DefaultInfo()]


r = Rule(attrs={attrs}, analyze=analyze)
"""

MANIFEST = (
    '{"target": "//app:enclave", "mrenclave": "' + "0" * 64 + '", "signing_key": {"name": "k"}}'
)

# Rules that hand over nonsense: their attributes, and how `analyze` begins.
RULES = (
    ("rule_that_exits", "A", "raise SystemExit(3)"),
    ("rule_that_returns_no_provider", "A", "return [1]"),
    ("rule_with_attributes_of_nothing", "dict", "return []"),
    ("rule_with_files_that_are_none", "A", 'return [DefaultInfo("x")]'),
    ("rule_with_an_empty_command", "A", "return [DefaultInfo(), RunInfo(())]"),
    (
        "rule_that_makes_a_source",
        "A",
        'ctx.run(mnemonic="M", argv=["x"], outputs=[ctx.file(ctx.attrs.src)])',
    ),
    (
        "rule_that_makes_what_it_did_not_declare",
        "A",
        'ctx.write(Artifact.output("../../x", ctx.label), "")',
    ),
    (
        "rule_with_a_cycle_of_actions",
        "A",
        'o = ctx.declare_file("o"); ctx.run(mnemonic="M", argv=["x"], inputs=[o], outputs=[o])',
    ),
    (
        "rule_with_two_lines_for_a_mnemonic",
        "A",
        'ctx.run(mnemonic="M\\nN", argv=["x"], outputs=[ctx.declare_file("o")])',
    ),
)

# Each case: the files of a workspace. `app/BUILD` gets the `load` of the test rules in front,
# unless it has one of its own. What is built is `//...`, or what `pattern` says.
CASES: dict[str, dict[str, str]] = {
    "unknown_rule": {"app/BUILD": 'shel(name = "a")\n'},
    "unknown_attribute": {
        "app/BUILD": 'shell(\n    name = "a",\n    otus = ["x"],\n    cmd = "",\n)\n'
    },
    "missing_attribute": {"app/BUILD": 'shell(name = "a")\n'},
    "attribute_of_wrong_type": {
        "app/BUILD": 'shell(name = "a", cmd = 7, outs = "x", network = "yes")\n'
    },
    "element_of_wrong_type": {"app/BUILD": 'shell(name = "a", cmd = "", outs = ["a", 1, "b"])\n'},
    "number_that_is_none": {
        "app/BUILD": 'shell(name = "a", cmd = "", srcs = float("nan"), network = 1e308 * 10)\n'
    },
    "key_that_is_no_string": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = [{"x": 0, 1: 2}], srcs = {None: []})\n'
    },
    "select_with_a_condition_that_is_no_string": {
        "app/BUILD": 'write(name = "a", text = select({1: "f", "default": ""}))\n'
    },
    "select_with_a_choice_that_is_no_number": {
        "app/BUILD": 'write(\n    name = "a",\n'
        '    text = select({"debug": None, "default": float("nan")}),\n)\n'
    },
    "select_in_a_macro_with_a_choice_that_is_no_number": {
        "app/BUILD": 'load(":m.bzl", "m")\nm(name = "a")\n',
        "app/m.bzl": f"{LOAD}def m(name):\n"
        '    write(name = name, text = "x".join(select({"default": float("inf")})))\n',
    },
    "select_without_choices": {"app/BUILD": 'write(name = "a", text = select())\n'},
    "dictionary_that_looks_like_a_select": {
        "app/BUILD": 'shell(name = "a", cmd = "", srcs = [{"@select": 5}, {"@select": {1: 2}}])\n'
    },
    "package_with_a_text_for_a_truth": {"app/BUILD": 'package(default_testonly = "no")\n'},
    "glob_without_a_list": {"app/BUILD": 'glob(["*"], exclude = None)\n'},
    "no_name": {"app/BUILD": 'shell(cmd = "")\n'},
    "name_that_is_no_string": {"app/BUILD": "shell(name = 3, outs = [])\n"},
    "character_of_no_text": {"app/BUILD": 'shell(\n    na\0me = "a")\n'},
    "files_that_begin_with_a_byte_order_mark": {
        "app/BUILD": 'load(":m.bzl", "m")\nm(name = "a")\n',
        "app/m.bzl": "\ufeffdef m(name):\n    pass\n",
        "other/BUILD": '\ufeffexports_files(["f"])\n',
        "rule/BUILD": 'load(":r.py", "r")\nr(name = "a")\n',
        "rule/r.py": "\ufefffrom occlum_build.api import Rule\n",
    },
    "same_name_twice": {
        "app/BUILD": 'write(name = "a", text = "")\n\nwrite(name = "a", text = "")\n'
    },
    "all_problems_at_once": {
        "app/BUILD": 'shell(name = "a", smd = "")\nwrite(name = "b", text = 1)\n',
        "other/BUILD": 'write(name = "c", txt = "")\n',
    },
    "bad_label": {"app/BUILD": 'shell(name = "a", cmd = "", srcs = ["//x:../y", "a//b"])\n'},
    "label_that_no_path_holds": {
        "app/BUILD": f'shell(name = "a", cmd = "", outs = ["o"], srcs = ["{"x" * 256}"])\n'
    },
    "output_that_no_path_holds": {
        "app/BUILD": f'shell(name = "a", cmd = "", outs = ["{"x" * 256}"])\n'
    },
    "pattern_that_no_path_holds": {"arguments": f"build {'x' * 300}"},
    "unnamed_configuration": {"arguments": "build //... --configuration="},
    "unknown_target": {
        "app/BUILD": 'write(name = "greeting", text = "")\n'
        'shell(name = "a", cmd = "", outs = ["o"], srcs = [":greting"])\n'
    },
    "unknown_package": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["o"], srcs = ["//tolls:x"])\n'
    },
    "unknown_repository": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["o"], srcs = ["@zlib//:z"])\n'
    },
    "missing_file": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["o"], srcs = ["main.c"])\n',
        "app/mian.c": "",
    },
    "glob_without_match": {"app/BUILD": 'shell(name = "a", cmd = "", srcs = glob(["*.c"]))\n'},
    "glob_out_of_package": {"app/BUILD": 'shell(name = "a", cmd = "", srcs = glob(["../*.c"]))\n'},
    "select_without_match": {
        "WORKSPACE.occlum": "configurations:\n  default: {}\n  f: {mode: fast}\n"
        "  s: {mode: slow}\n",
        "app/BUILD": 'write(name = "a", text = select({"mode=fast": "f", "mode=slow": "s"}))\n',
    },
    "select_with_a_misspelt_condition": {
        "WORKSPACE.occlum": "configurations:\n  default: {}\n  release: {mode: fast}\n",
        "app/BUILD": 'write(\n    name = "a",\n    text = select({\n'
        '        "relase": "r",\n        "mode=fats": "f",\n        "default": "",\n    }),\n)\n',
    },
    "export_of_a_missing_file": {"app/BUILD": 'exports_files(["main.c"])\n', "app/mian.c": ""},
    "export_to_nobody": {
        "app/BUILD": 'exports_files(["a"], visibility = ["//tools:__pkgs__"])\n',
        "app/a": "",
    },
    "package_visible_to_nobody": {
        "app/BUILD": 'package(default_visibility = ["tools:__pkg__"])\n'
    },
    "rule_file_that_finds_a_module": {
        "app/BUILD": 'load("//app:r.py", "r")\n',
        "app/r.py": 'import json\n\njson.codecs.open("/etc/passwd")\n',
    },
    "rule_file_that_looks_at_the_machine": {
        "app/BUILD": 'load("//app:r.py", "r")\n',
        "app/r.py": "from posixpath import exists\n",
    },
    "target_behind_an_error": {
        "app/BUILD": 'write(name = "a", text = "")\nfail("stop")\nwrite(name = "b", text = "")\n',
        "arguments": "build //app:b //app",
    },
    "nothing_left": {
        "app/BUILD": 'write(name = "a", text = "")\n',
        "arguments": "build //app:a -- -//app:a",
    },
    "syntax_error": {"app/BUILD": 'shell(\n    name = "a"\n    cmd = "",\n)\n'},
    "unclosed_call": {"app/BUILD": 'shell(\n    name = "a",\n'},
    "unclosed_string": {"app/BUILD": 'shell(name = "a)\n'},
    "statement_not_allowed": {"app/BUILD": "while True:\n    pass\n"},
    "error_in_macro": {
        "app/BUILD": 'load("//app:m.bzl", "twice")\n\ntwice(name = "x")\n',
        "app/m.bzl": "def twice(name):\n    return name / 2\n",
    },
    "bad_attribute_in_macro": {
        "app/BUILD": 'load("//app:m.bzl", "twice")\n\ntwice(name = "x")\n',
        "app/m.bzl": 'load("//tools:shell.py", "write")\n\ndef twice(name):\n'
        '    write(name = name, texts = "")\n',
    },
    "fail_in_macro": {
        "app/BUILD": 'load("//app:m.bzl", "twice")\n\ntwice(name = "x")\n',
        "app/m.bzl": 'def twice(name):\n    fail("`%s` is a bad name" % name)\n',
    },
    "load_of_missing_file": {"app/BUILD": 'load("//tools:shall.py", "shell")\n'},
    "load_of_missing_symbol": {"app/BUILD": 'load("//tools:shell.py", "shel", "wriet")\n'},
    "load_of_other_file": {"app/BUILD": 'load("//app:BUILD", "x")\n'},
    "load_cycle": {
        "app/BUILD": 'load("//app:a.bzl", "a")\n',
        "app/a.bzl": 'load("//app:b.bzl", "b")\na = 1\n',
        "app/b.bzl": 'load("//app:a.bzl", "a")\nb = 1\n',
    },
    "load_chain_without_end": {
        "app/BUILD": 'load("//app:m0.bzl", "x")\n',
        **{
            f"app/m{number}.bzl": f'load("//app:m{number + 1}.bzl", "x")\n'
            for number in range(400)
        },
    },
    "endless_computation": {
        "app/BUILD": 'load("//app:m.bzl", "x")\n',
        "app/m.bzl": "def f():\n    for i in range(1 << 30):\n        pass\n\nf()\nx = 1\n",
    },
    "endless_recursion": {
        "app/BUILD": 'load("//app:m.bzl", "x")\n',
        "app/m.bzl": "def f():\n    f()\n\nf()\nx = 1\n",
    },
    "rule_file_that_imports": {
        "app/BUILD": 'load("//app:r.py", "r")\n',
        "app/r.py": "import os\nfrom subprocess import run\n\nprint(open('/etc/passwd'))\n",
    },
    "rule_file_with_syntax_error": {
        "app/BUILD": 'load("//app:r.py", "r")\n',
        "app/r.py": "def f(:\n    pass\n",
    },
    "rule_file_nested_too_deeply": {
        "app/BUILD": 'load("//app:r.py", "r")\n',
        "app/r.py": f"r = {'-' * 50_000}1\n",
    },
    "rule_file_that_fails": {
        "app/BUILD": 'load("//app:r.py", "r")\n',
        "app/r.py": "def f():\n    return 1 / 0\n\n\nf()\n",
    },
    "rule_that_fails": {
        "app/BUILD": 'load("//app:r.py", "r")\nr(name = "x")\n',
        "app/r.py": "from occlum_build.api import Attrs, Rule\n\n\nclass A(Attrs):\n"
        '    """None."""\n\n\ndef analyze(ctx):\n    return [ctx.attrs.srcs]\n\n\n'
        "r = Rule(attrs=A, analyze=analyze)\n",
    },
    "rule_that_breaks_its_promise": {
        "app/BUILD": 'load("//app:r.py", "r")\nr(name = "x")\n',
        "app/r.py": "from occlum_build.api import Attrs, Rule\n\n\nclass A(Attrs):\n"
        '    """None."""\n\n\nr = Rule(attrs=A, analyze=lambda ctx: [])\n',
    },
    "rule_that_makes_no_action": {
        "app/BUILD": 'load("//app:r.py", "r")\nr(name = "x")\n',
        "app/r.py": "from occlum_build.api import Attrs, DefaultInfo, Rule\n\n\nclass A(Attrs):\n"
        '    """None."""\n\n\ndef analyze(ctx):\n'
        '    return [DefaultInfo((ctx.declare_file("o"),))]\n'
        "\n\nr = Rule(attrs=A, analyze=analyze)\n",
    },
    "cycle": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["a.o"], srcs = ["//lib:b"])\n',
        "lib/BUILD": LOAD + 'package(default_visibility = ["//visibility:public"])\n'
        'shell(\n    name = "b",\n    cmd = "",\n    outs = ["b.o"],\n    srcs = [\n'
        '        ":c",\n    ],\n)\n'
        'shell(name = "c", cmd = "", outs = ["c.o"], srcs = ["//app:a"])\n',
    },
    "cycle_of_one": {"app/BUILD": 'shell(name = "a", cmd = "", outs = ["o"], srcs = [":a"])\n'},
    "not_visible": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["o"],\n'
        '      srcs = ["//lib:b", "//lib:f.txt"])\n',
        "lib/BUILD": LOAD + 'write(name = "b", text = "")\n',
        "lib/f.txt": "",
    },
    "testonly": {
        "app/BUILD": 'write(name = "b", text = "", testonly = True)\n'
        'shell(name = "a", cmd = "", outs = ["o"], srcs = [":b"])\n'
    },
    "missing_provider": {
        "app/BUILD": 'write(name = "b", text = "")\nneeds_test(name = "a", dep = ":b")\n'
    },
    "two_makers_of_one_output": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["same"])\n'
        'shell(name = "b", cmd = "", outs = ["same"])\n'
    },
    "output_inside_an_output": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["x"])\n'
        'shell(name = "b", cmd = "", outs = ["x/y"])\n'
    },
    "output_out_of_its_package": {"app/BUILD": 'shell(name = "a", cmd = "", outs = ["../x"])\n'},
    "unknown_key": {"app/BUILD": 'sign(name = "a", src = "f", key = "release")\n', "app/f": ""},
    "workspace_with_unknown_key": {"WORKSPACE.occlum": "name: shop\nconfigration: {}\n"},
    "workspace_with_duplicate_key": {"WORKSPACE.occlum": "name: a\nname: b\n"},
    "workspace_that_is_no_yaml": {"WORKSPACE.occlum": "name: [\n"},
    "configurations_with_names_that_are_taken": {
        "WORKSPACE.occlum": "configurations:\n  keys: {}\n  CACHEDIR.TAG: {}\n",
    },
    "unknown_configuration": {
        "WORKSPACE.occlum": "configurations:\n  release: {mode: release}\n",
        "arguments": "build -c relase //...",
    },
    "unknown_pattern": {"arguments": "build //nothing/..."},
    "bad_pattern": {"arguments": "build //a:b:c"},
    "unknown_verb": {"arguments": "biuld //..."},
    "unknown_option": {"arguments": "build //... --jbos 3"},
    "no_target": {"arguments": "build"},
    "no_verb_before_dashes": {"arguments": "-- build //..."},
    "unexpected_argument": {"arguments": "clean //app:a"},
    "unknown_choice": {"arguments": "query //... --output xml"},
    "json_in_two_words": {"arguments": "build //nothing --message-format json"},
    "key_outside_of_the_keys": {"arguments": "build //... --key ../../x=key.pem"},
    "source_file_as_a_target": {
        "app/BUILD": "",
        "app/f.txt": "",
        "arguments": "build //app:f.txt",
    },
    "path_from_nowhere": {
        "app/BUILD": "",
        "arguments": "query path(//app:all,//tools:all)",
    },
    "glob_of_a_string": {"app/BUILD": 'shell(name = "a", cmd = "", srcs = glob("*.c"))\n'},
    "glob_with_unknown_argument": {
        "app/BUILD": 'shell(name = "a", cmd = "", srcs = glob(["*.c"], exlude = ["x"]))\n'
    },
    "visibility_that_grants_nothing": {
        "app/BUILD": 'write(name = "a", text = "", visibility = ["//lib:__pgk__"])\n'
    },
    "visibility_of_a_package_as_a_string": {
        "app/BUILD": 'package(default_visibility = "//visibility:public")\n'
    },
    "attribute_that_no_data_is": {"app/BUILD": 'write(name = "a", text = len)\n'},
    "fail_with_several_lines": {"app/BUILD": 'fail("first\\nsecond")\n'},
    "nested_too_deeply": {"app/BUILD": f"x = {'[' * 3000}{']' * 3000}\n"},
    "workspace_nested_too_deeply": {"WORKSPACE.occlum": "[" * 3000},
    "workspace_with_control_character": {"WORKSPACE.occlum": "name: a\x01\n"},
    "output_with_a_line_break": {"app/BUILD": 'shell(name = "a", cmd = "", outs = ["x\\ny"])\n'},
    "output_with_a_placeholder": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["%{store}"])\n'
    },
    "timeout_that_never_ends": {
        "app/BUILD": 'shell(name = "a", cmd = "", outs = ["x"], timeout = 1 << 62)\n'
    },
    **{
        name: {
            "app/BUILD": 'load("//app:r.py", "r")\nr(name = "x", src = "f.txt")\n',
            "app/f.txt": "",
            "app/r.py": RULE_FILE.format(body=body, attrs=attrs),
        }
        for name, attrs, body in RULES
    },
    "no_tests": {"app/BUILD": 'write(name = "a", text = "")\n', "arguments": "test //..."},
    "missing_file_in_a_macro": {
        "app/m.bzl": 'load("//tools:shell.py", "shell")\n\ndef m(name, src):\n'
        '    shell(name = name, cmd = "", outs = ["o"], srcs = [src])\n',
        "app/BUILD": 'load(":m.bzl", "m")\n\nm(name = "a", src = "gone.txt")\n',
    },
    "package_without_a_target_of_its_name": {
        "app/BUILD": 'write(name = "a", text = "")\n',
        "arguments": "build app",
    },
    "target_taken_away_before_the_dashes": {"arguments": "build -//app:x"},
    "tag_that_no_test_has": {
        "app/BUILD": 'shell_test(name = "t", cmd = "true", tags = ["slow"])\n',
        "arguments": "test //... --tag solw",
    },
    "macro_with_a_misspelt_argument": {
        "app/m.bzl": 'load("//tools:shell.py", "write")\n\n'
        'def m(name, text, *, extra = ""):\n    write(name = name, text = text + extra)\n',
        "app/BUILD": 'load(":m.bzl", "m")\n\nm(name = "a", text = "", exrta = "x")\n',
    },
    "macro_without_its_argument": {
        "app/m.bzl": 'load("//tools:shell.py", "write")\n\n'
        "def m(name, text):\n    write(name = name, text = text)\n",
        "app/BUILD": 'load(":m.bzl", "m")\n\nm(\n    name = "a",\n)\n',
    },
    "wrong_value_through_two_macros": {
        "app/m.bzl": 'load("//tools:shell.py", "shell")\n\n'
        "def inner(name, outs):\n"
        '    shell(name = name, cmd = "", outs = outs)\n\n'
        "def m(name, made):\n    inner(name = name, outs = made)\n",
        "app/BUILD": 'load(":m.bzl", "m")\n\nm(\n    name = "a",\n    made = ["a", 7],\n)\n',
    },
    "query_that_is_none": {"arguments": "query deps(//app:a"},
    "query_with_an_unknown_function": {"arguments": "query visible(//app:a)"},
    "value_that_no_memory_holds": {"app/BUILD": "x = [0] * 1000000000\n"},
    "number_of_too_many_digits": {"app/BUILD": 'int("9" * 5000)\n'},
    "build_file_that_is_a_directory": {"app/BUILD/x": "", "arguments": "build //app:all"},
    "nothing_to_accept": {
        "app/BUILD": 'shell_test(name = "t", cmd = "true")\n',
        "arguments": "test //app:t --accept",
    },
    "audit_of_nothing": {"arguments": "audit missing.bundle --source ."},
    "audit_of_a_target_without_twice": {"arguments": "audit //app:enclave --source ."},
    "audit_of_another_directory": {"arguments": "audit tools --source ."},
    "audit_of_a_bundle_that_does_not_say_enough": {
        "b/manifest.json": '{"mrenclave": ""}',
        "arguments": "audit b --source .",
    },
    "audit_without_a_source": {"b/manifest.json": MANIFEST, "arguments": "audit b"},
    "audit_of_an_unknown_source": {
        "b/manifest.json": MANIFEST,
        "arguments": "audit b --source v9.9",
    },
    "audit_of_a_source_that_is_no_workspace": {
        "b/manifest.json": MANIFEST,
        "arguments": "audit b --source tools",
    },
    "audit_of_a_source_without_a_name": {
        "b/manifest.json": MANIFEST,
        "arguments": "audit b --source=",
    },
    "audit_of_a_source_that_does_not_build": {
        "b/manifest.json": MANIFEST,
        "arguments": "audit b --source .",
    },
    "audit_of_a_target_that_is_no_bundle": {
        "app/BUILD": 'sign(name = "enclave", src = "BUILD", key = "k")\n',
        "b/manifest.json": MANIFEST,
        "arguments": "audit b --source .",
    },
    "audit_that_would_overwrite": {
        "b/manifest.json": MANIFEST,
        "arguments": "audit b --source . --keep tools",
    },
    "conformance_with_no_jobs": {"arguments": "conformance app -j 0"},
    "conformance_without_time": {"arguments": "conformance app --timeout nan"},
    "conformance_with_a_list_that_cannot_be_written": {
        "arguments": "conformance tools --pass-list no/such/list"
    },
    "conformance_with_an_update_of_no_list": {"arguments": "conformance tools --update"},
    "audit_with_no_jobs": {"arguments": "audit //app:enclave --twice -j 0"},
}


@pytest.mark.parametrize("name", CASES)
def test_a_diagnostic_says_what_it_did_when_we_last_looked(
    workspace: Workspace,
    golden: Golden,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = dict(CASES[name])
    words = files.pop("arguments", "build //...").split()
    for path, text in files.items():
        is_bare = path == "app/BUILD" and not text.startswith("load(")
        workspace.write(path, LOAD + text if is_bare else text)

    monkeypatch.chdir(workspace.root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(workspace.root.parent))
    monkeypatch.setenv("LC_ALL", "C")

    status = main(words)

    said = capsys.readouterr()
    assert said.out == ""
    assert not (workspace.root / "out").exists()
    golden(TEXTS / f"{name}.txt", f"{said.err}exit code {status}\n")


def test_a_filter_that_matches_no_case_is_wrong_input(
    workspace: Workspace, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.build_file('shell_test(name = "t", cmd = "exit 5", filter_option = "")\n')
    monkeypatch.setenv("LC_ALL", "C")

    said = workspace.run("test", "//app:t", "--test_filter=nothing")

    problem = said.err[said.err.index("error[") :]
    golden(TEXTS / "filter_that_matches_no_case.txt", f"{problem}exit code {said.status}\n")


def test_a_link_out_of_the_workspace_is_refused(workspace: Workspace, golden: Golden) -> None:
    workspace.build_file('shell(name = "a", cmd = "", outs = ["o"], srcs = ["f"])\n')
    (workspace.root / "app/f").symlink_to("/etc/hostname")

    outcome = workspace.run("build", "//...")

    err = outcome.err.replace(str((Path("/etc/hostname")).resolve()), "ELSEWHERE")
    golden(TEXTS / "link_out_of_workspace.txt", f"{err}exit code {outcome.status}\n")


def test_a_file_whose_name_is_no_text_is_refused(workspace: Workspace, golden: Golden) -> None:
    workspace.build_file('shell(name = "a", cmd = "", outs = ["o"], srcs = glob(["*"]))\n')
    (workspace.root / "app/bad\udcffname").touch()

    outcome = workspace.run("build", "//...")

    golden(TEXTS / "file_name_that_is_no_text.txt", f"{outcome.err}exit code {outcome.status}\n")


def test_what_is_no_file_is_said(workspace: Workspace, golden: Golden) -> None:
    workspace.build_file(
        'shell(name = "a", cmd = "", outs = ["o"], srcs = glob(["*"]) + ["folder"])\n'
    )
    (workspace.root / "app/gone").symlink_to("nowhere")
    (workspace.root / "app/loop").symlink_to("pool")
    (workspace.root / "app/pool").symlink_to("loop")
    (workspace.root / "app/up").symlink_to("..")
    (workspace.root / "app/folder").mkdir()
    os.mkfifo(workspace.root / "app/pipe")

    outcome = workspace.run("build", "//...")

    golden(TEXTS / "what_is_no_file.txt", f"{outcome.err}exit code {outcome.status}\n")


def test_a_file_to_load_that_would_never_end_is_refused(
    workspace: Workspace, golden: Golden
) -> None:
    workspace.write("app/BUILD", 'load(":pipe.bzl", "x")\n')
    workspace.write("other/BUILD", 'load(":endless.bzl", "x")\n')
    os.mkfifo(workspace.root / "app/pipe.bzl")
    (workspace.root / "other/endless.bzl").symlink_to("/dev/zero")

    outcome = workspace.run("build", "//...")

    golden(TEXTS / "load_of_what_never_ends.txt", f"{outcome.err}exit code {outcome.status}\n")


def test_a_directory_that_cannot_be_listed_is_named(workspace: Workspace, golden: Golden) -> None:
    workspace.build_file('shell(name = "a", cmd = "", outs = ["o"], srcs = glob(["**"]))\n')
    here = os.open(workspace.root / "app", os.O_DIRECTORY)
    for _ in range(20):  # longer than a path can be
        os.mkdir("d" * 250, dir_fd=here)  # pathlib knows paths only
        below = os.open("d" * 250, os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    outcome = workspace.run("build", "//...")
    shutil.rmtree(workspace.root / "app")

    said = outcome.err.replace(f"/{'d' * 250}", "/D")
    said = re.sub("(/D)+", "/DIRECTORIES", said)
    golden(TEXTS / "directory_that_cannot_be_listed.txt", f"{said}exit code {outcome.status}\n")


def test_an_empty_word_is_a_diagnostic(workspace: Workspace, golden: Golden) -> None:
    outcome = workspace.run("clean", "")

    golden(TEXTS / "empty_word.txt", f"{outcome.err}exit code {outcome.status}\n")


def test_no_workspace_is_a_diagnostic(workspace: Workspace, golden: Golden) -> None:
    (workspace.root / "WORKSPACE.occlum").unlink()

    outcome = workspace.run("build", "//...")

    err = outcome.err.replace(str(workspace.root), "DIRECTORY")
    golden(TEXTS / "no_workspace.txt", f"{err}exit code {outcome.status}\n")


def test_no_case_has_lost_its_text() -> None:
    others = {
        "directory_that_cannot_be_listed",
        "empty_word",
        "file_name_that_is_no_text",
        "filter_that_matches_no_case",
        "link_out_of_workspace",
        "load_of_what_never_ends",
        "no_workspace",
        "what_is_no_file",
    }

    assert {path.stem for path in TEXTS.iterdir()} == {*CASES, *others}
