"""The built-in rules: which actions they declare, and what they refuse."""

import json
from pathlib import Path

import pytest

from occlum_build.action import EXEC_ROOT
from occlum_build.analysis.analysis import analyze
from occlum_build.execution.signing_keys import KeyRing
from occlum_build.label import Label
from occlum_build.loading.loader import Loader
from occlum_build.loading.rule_file import RuleFiles
from occlum_build.loading.sources import Sources
from occlum_build.loading.workspace import find_workspace
from occlum_build.provider import DefaultInfo, RunInfo, SuiteInfo, TestInfo
from tests.unit.rules.conftest import ROOT, Analyze

YAML = "process: {command: [/bin/a]}\nmount: [{type: erofs, target: /, image: root}]\n"


def test_an_action_sees_only_the_files_that_its_target_names(analyzed: Analyze) -> None:
    found = analyzed(
        'cc_binary(name = "a", srcs = ["a.c", "a.h"])',
        {"a.c": "", "a.h": "", "other.h": ""},
    )

    inputs = {one.path for one in found.actions("a")["CcCompile"].inputs}
    assert {one for one in inputs if one.startswith("app/")} == {"app/a.c", "app/a.h"}


def test_no_action_has_an_environment_that_nobody_declared(analyzed: Analyze) -> None:
    found = analyzed(
        'cc_binary(name = "a", srcs = ["a.c"])\n'
        'enclave_app(name = "enclave", config = "o.yaml", files = {"/bin/a": ":a"})',
        {"a.c": "", "o.yaml": YAML},
    )

    assert found.messages == []
    for target in found.analysis.targets.values():
        for action in target.actions:
            assert action.env == {}, action


def test_only_actions_that_check_a_digest_have_a_network(analyzed: Analyze) -> None:
    found = analyzed(
        'cc_binary(name = "a", srcs = ["a.c"])\n'
        'deb_archive(name = "libc6", package = "libc6")\n'
        'deb_rootfs(name = "debian", packages = ["bash"], lock = "d.lock")\n'
        'rust_binary(name = "r", srcs = ["Cargo.toml"], lock = "Cargo.lock")\n'
        'enclave_app(name = "enclave", config = "o.yaml", files = {"/bin/a": ":a"})',
        {"a.c": "", "o.yaml": YAML, "d.lock": "", "Cargo.toml": "", "Cargo.lock": ""},
    )

    actions = [one for target in found.analysis.targets.values() for one in target.actions]
    networked = {one.mnemonic for one in actions if one.network}
    assert networked == {"FetchCrates", "FetchDeb", "FetchDebs", "FetchWheel"}


def test_the_library_os_has_one_workshop_whichever_workspace_builds_it(analyzed: Analyze) -> None:
    found = analyzed(
        'enclave_app(name = "enclave", config = "o.yaml", files = {})', {"o.yaml": YAML}
    )
    workspace = find_workspace(ROOT, ROOT)
    loader = Loader(workspace, workspace.configuration("default"))
    own = analyze([Label("", "libos_src", "libos")], loader, KeyRing({}).find)

    argvs = [
        action.argv
        for analysis in (found.analysis, own)
        for target in analysis.targets.values()
        for action in target.actions
        if action.mnemonic == "Libos"
    ]
    names = [argv[argv.index("--workshop") + 1] for argv in argvs]
    assert names == ["workspace-libos_src-libos"] * 2


def test_no_argument_names_a_place_of_this_machine(analyzed: Analyze, tmp_path: Path) -> None:
    found = analyzed(
        'cc_binary(name = "a", srcs = ["a.c"])\n'
        'rust_binary(name = "r", srcs = ["Cargo.toml"], lock = "Cargo.lock")\n'
        'enclave_app(name = "enclave", config = "o.yaml", files = {"/bin/a": ":a"})',
        {"a.c": "", "o.yaml": YAML, "Cargo.toml": "", "Cargo.lock": ""},
    )

    words = [
        word
        for target in found.analysis.targets.values()
        for action in target.actions
        for word in (*action.argv, action.text or "")
    ]
    assert not [word for word in words if str(tmp_path) in word or str(ROOT) in word]


def test_only_signing_sees_a_key_and_its_result_is_not_cached(analyzed: Analyze) -> None:
    found = analyzed(
        'cc_binary(name = "a", srcs = ["a.c"])\n'
        'enclave_app(name = "enclave", config = "o.yaml", files = {"/bin/a": ":a"})',
        {"a.c": "", "o.yaml": YAML},
    )

    actions = [one for target in found.analysis.targets.values() for one in target.actions]
    with_key = [one for one in actions if one.secret_keys]
    assert [one.mnemonic for one in with_key] == ["Sign"]
    assert not with_key[0].is_cacheable


def test_an_unknown_key_is_refused_with_the_option_that_names_it(analyzed: Analyze) -> None:
    found = analyzed(
        'enclave_app(name = "enclave", config = "o.yaml", key = "release")', {"o.yaml": YAML}
    )

    assert found.messages == ["no signing key `release` was given"]
    assert found.problems[0].helps == ("name its PEM file with `--key release=FILE`",)


def test_a_wrong_configuration_is_found_before_anything_is_built(analyzed: Analyze) -> None:
    found = analyzed(
        'enclave_app(name = "enclave", config = "o.yaml")',
        {"o.yaml": YAML + "resource_limits: {user_space_size: 64}\n"},
    )

    assert [one.span.file for one in found.problems if one.span] == ["app/o.yaml"]


def test_headers_alone_are_no_program(analyzed: Analyze) -> None:
    found = analyzed('cc_binary(name = "a", srcs = ["a.h"])', {"a.h": ""})

    assert found.messages == ["`srcs` holds headers only"]


@pytest.mark.parametrize("target", ["x86_64-linux-gnu", "aarch64-linux-musl", "x86_64-windows"])
def test_a_target_that_no_enclave_runs_is_refused(analyzed: Analyze, target: str) -> None:
    found = analyzed(f'cc_binary(name = "a", srcs = ["a.c"], target = "{target}")', {"a.c": ""})

    assert len(found.messages) == 1
    assert "attribute `target`" in found.messages[0]


def test_two_sources_of_one_name_have_two_objects(analyzed: Analyze) -> None:
    found = analyzed(
        'cc_binary(name = "a", srcs = ["x/a.c", "y/a.c"])', {"x/a.c": "", "y/a.c": ""}
    )

    assert found.messages == []


def test_a_cxx_source_makes_the_linker_a_cxx_linker(analyzed: Analyze) -> None:
    found = analyzed('cc_binary(name = "a", srcs = ["a.c", "b.cc"])', {"a.c": "", "b.cc": ""})

    actions = found.actions("a")
    assert "cc" in actions["CcCompile"].argv
    assert "c++" in actions["CxxCompile"].argv
    assert "c++" in actions["CcLink"].argv


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ('files = {"bin/a": "a"}', "`bin/a` is no clean absolute path in an image"),
        ('files = {"/bin/../a": "a"}', "`/bin/../a` is no clean absolute path in an image"),
        ('files = {"/a/": "a"}', "`/a/` is no clean absolute path in an image"),
        ('directories = ["/"]', "`/` is no clean absolute path in an image"),
        ('symlinks = {"x": "/a"}', "`x` is no clean absolute path in an image"),
        ('modes = {"/x": "0644"}', "`modes` names `/x`, which is no file or directory here"),
        ('files = {"/a": "a"}, modes = {"/a": "rwx"}', "`rwx` is no mode"),
    ],
)
def test_a_tree_that_no_image_can_hold_is_refused(
    analyzed: Analyze, attributes: str, message: str
) -> None:
    found = analyzed(f'rootfs(name = "r", {attributes})', {"a": ""})

    assert found.messages == [message]


def test_the_order_of_files_in_a_build_file_means_nothing(analyzed: Analyze) -> None:
    found = analyzed(
        'rootfs(name = "r", files = {"/b": "a", "/a": "a"}, symlinks = {"/d": "x", "/c": "x"})\n'
        'rootfs(name = "s", files = {"/a": "a", "/b": "a"}, symlinks = {"/c": "x", "/d": "x"})',
        {"a": ""},
    )

    specs = [json.loads(found.actions(name)["Write"].text or "") for name in ("r", "s")]
    for spec in specs:
        del spec["label"]
    assert specs[0] == specs[1]


def test_a_lock_is_written_beside_its_build_file_by_run_alone(analyzed: Analyze) -> None:
    found = analyzed('deb_lock(name = "l", packages = ["bash", "git"], lock = "d.lock")', {})

    run = found.provider("l", "RunInfo")
    assert isinstance(run, RunInfo)
    assert run.argv[1:5] == ("--package", "bash", "--package", "git")
    assert run.argv[-2:] == ("--output", f"{EXEC_ROOT}/app/d.lock")
    assert not found.actions("l")


def test_the_order_of_packages_means_nothing(analyzed: Analyze) -> None:
    found = analyzed(
        'deb_rootfs(name = "a", packages = ["bash", "git"], lock = "d.lock")\n'
        'deb_rootfs(name = "b", packages = ["git", "bash"], lock = "d.lock")',
        {"d.lock": ""},
    )

    fetches = [found.actions(name)["FetchDebs"].argv[1:-1] for name in ("a", "b")]
    assert fetches[0] == fetches[1]


GENERATE = 'python_script(name = "tool", main = "tool.py")\ngenrule(name = "g", tool = ":tool", '


def test_a_genrule_expands_its_arguments_without_a_shell(analyzed: Analyze) -> None:
    found = analyzed(
        GENERATE + 'srcs = ["a", "b"], outs = ["x", "y"], args = ["$(srcs)", "$(outs)",'
        ' "--in=$(location a)", "--out=$(out y)", "$$HOME; rm -rf *"])',
        {"tool.py": "", "a": "", "b": ""},
    )

    prefix = "out/default/bin/app"
    assert found.messages == []
    assert found.actions("g")["Genrule"].argv[1:] == (
        "app/a", "app/b", f"{prefix}/x", f"{prefix}/y",
        "--in=app/a", f"--out={prefix}/y", "$HOME; rm -rf *",
    )  # fmt: skip


@pytest.mark.parametrize("argument", ["$HOME", "$(out z)", "$(location z)", "$(srcs) x", "$("])
def test_a_variable_of_a_genrule_that_means_nothing_is_refused(
    analyzed: Analyze, argument: str
) -> None:
    found = analyzed(
        GENERATE + f'srcs = ["a"], outs = ["x"], args = ["{argument}"])', {"tool.py": "", "a": ""}
    )

    assert len(found.messages) == 1
    assert "nam" in found.messages[0] or "means nothing" in found.messages[0]


def test_a_location_is_that_of_one_label_however_often_it_is_named(analyzed: Analyze) -> None:
    found = analyzed(
        GENERATE + 'srcs = ["a", "a"], outs = ["x"], args = ["$(location a)"])\n'
        'genrule(name = "h", tool = ":tool", srcs = ["a", "//app/b:a"], outs = ["y"],'
        ' args = ["$(location a)"])',
        {"tool.py": "", "a": "", "b/BUILD": 'exports_files(["a"])', "b/a": ""},
    )

    assert found.actions("g")["Genrule"].argv[1:] == ("app/a",)
    assert found.messages == ["`$(location a)` names several of `srcs`"]


def test_an_alias_promises_what_its_target_promises(analyzed: Analyze) -> None:
    found = analyzed(
        'cc_binary(name = "a", srcs = ["a.c"])\nalias(name = "b", actual = ":a")', {"a.c": ""}
    )

    assert found.provider("b", "BinaryInfo") == found.provider("a", "BinaryInfo")
    assert isinstance(found.provider("b", "RunInfo"), RunInfo)


def test_a_filegroup_names_each_file_once(analyzed: Analyze) -> None:
    found = analyzed(
        'filegroup(name = "a", srcs = ["x", "y"])\nfilegroup(name = "b", srcs = ["y", ":a"])',
        {"x": "", "y": ""},
    )

    files = found.provider("b", "DefaultInfo")
    assert isinstance(files, DefaultInfo)
    assert [one.path for one in files.files] == ["app/y", "app/x"]


def test_a_suite_names_its_tests(analyzed: Analyze) -> None:
    found = analyzed(
        'enclave_app(name = "enclave", config = "o.yaml")\n'
        'enclave_test(name = "t", bundle = ":enclave", enclu = "trap", args = ["x"])\n'
        'test_suite(name = "s", tests = [":t"])',
        {"o.yaml": YAML},
    )

    suite, test = found.provider("s", "SuiteInfo"), found.provider("t", "TestInfo")
    assert isinstance(suite, SuiteInfo)
    assert [str(one) for one in suite.members] == ["//app:t"]
    assert isinstance(test, TestInfo)
    assert test.argv[-5:-3] == ("--enclu", "trap")


def test_cargo_sees_the_lock_file_and_the_declared_sources(analyzed: Analyze) -> None:
    found = analyzed(
        'rust_binary(name = "r", srcs = ["Cargo.toml", "src/main.rs"], lock = "Cargo.lock")\n'
        'cargo_test(name = "t", srcs = ["Cargo.toml", "src/main.rs"], lock = "Cargo.lock")',
        {"Cargo.toml": "", "Cargo.lock": "", "src/main.rs": ""},
    )

    assert found.messages == []
    listing = "app/Cargo.lock\napp/Cargo.toml\napp/src/main.rs\n"
    assert {found.actions(name)["Write"].text for name in ("r", "t")} == {listing}


def test_the_environment_of_rust_tests_is_a_setting_of_cargo(analyzed: Analyze) -> None:
    found = analyzed(
        'cargo_test(name = "t", srcs = ["Cargo.toml"], lock = "Cargo.lock", env = {"A": "b c"})',
        {"Cargo.toml": "", "Cargo.lock": ""},
    )
    test = found.provider("t", "TestInfo")

    assert found.messages == []
    assert isinstance(test, TestInfo)
    assert '--setting=env.A="b c"' in test.argv


def test_go_builds_the_module_that_holds_all_others(analyzed: Analyze) -> None:
    found = analyzed(
        'go_binary(name = "g", srcs = ["m/vendor/v/go.mod", "m/go.mod", "m/main.go"],'
        ' main = "cmd", tags = ["b", "a"])',
        {"m/go.mod": "", "m/main.go": "", "m/vendor/v/go.mod": ""},
    )

    assert found.messages == []
    words = found.actions("g")["GoBinary"].argv
    assert words[words.index("--module") + 1] == "app/m"
    assert words[words.index("--package") + 1] == "cmd"
    assert words[words.index("--tags") + 1] == "a,b"


def test_go_without_a_module_is_refused(analyzed: Analyze) -> None:
    found = analyzed('go_binary(name = "g", srcs = ["main.go"])', {"main.go": ""})

    assert found.messages == ["`srcs` holds no `go.mod`"]


def test_a_golden_record_is_compared_and_can_be_accepted(analyzed: Analyze) -> None:
    found = analyzed(
        'enclave_app(name = "enclave", config = "o.yaml")\n'
        'golden_measurement_test(name = "t", enclave = ":enclave_measured", golden = "g.json")',
        {"o.yaml": YAML, "g.json": ""},
    )

    test = found.provider("t", "TestInfo")
    assert isinstance(test, TestInfo)
    (pair,) = test.golden.items()
    assert [one.path for one in pair] == ["app/g.json", "out/default/bin/app/t.found.json"]


def test_what_an_action_makes_is_no_golden_record(analyzed: Analyze) -> None:
    found = analyzed(
        'enclave_app(name = "enclave", config = "o.yaml")\n'
        'python_script(name = "p", main = "p.py")\n'
        'genrule(name = "g", tool = ":p", outs = ["g.json"])\n'
        'golden_measurement_test(name = "t", enclave = ":enclave_measured", golden = ":g")',
        {"o.yaml": YAML, "p.py": ""},
    )

    assert found.messages == ["`golden` is made by an action, so nobody can have accepted it"]


def test_a_bundle_holds_evidence_that_no_key_is_needed_for(analyzed: Analyze) -> None:
    found = analyzed('enclave_app(name = "enclave", config = "o.yaml")', {"o.yaml": YAML})

    actions = found.actions("enclave")
    assert {"Bundle", "Evidence", "Lineage", "Write"} == set(actions)
    of = {one.name for one in actions["Lineage"].lineage_of}
    assert of == {"enclave_measured.sgxs", "enclave_root.erofs", "occlum_run"}
    assert not actions["Evidence"].secret_keys


def test_where_the_files_of_a_root_come_from_goes_on_to_the_bundle(analyzed: Analyze) -> None:
    found = analyzed(
        'cc_binary(name = "hello", srcs = ["hello.c"])\n'
        'deb_archive(name = "libc6", package = "libc6")\n'
        'enclave_app(name = "enclave", config = "o.yaml",'
        ' files = {"/bin/hello": ":hello", "/etc/motd": "motd"}, libraries = [":libc6"])',
        {"o.yaml": YAML, "hello.c": "", "motd": ""},
    )

    spec = json.loads(found.actions("enclave_rootfs")["Write"].text or "")
    origins = {one["path"]: one["origin"] for one in spec["files"]}
    assert origins["/bin/hello"]["label"] == "//app:hello"
    assert origins["/bin/hello"]["zig_lock"].endswith("toolchain/zig.lock")
    assert origins["/etc/motd"] == {"label": "//app:motd", "file": "app/motd"}
    assert list(spec["origins"].values()) == ["out/default/bin/app/libc6.origins.json"]
    needed = [one.name for one in found.actions("enclave")["Evidence"].inputs]
    assert {"zig.lock", "Cargo.lock", "enclave_rootfs.origins.json"} <= set(needed)


def test_every_attribute_of_every_rule_is_described(tmp_path: Path) -> None:
    (tmp_path / "WORKSPACE.occlum").touch()
    files = RuleFiles(Sources(find_workspace(tmp_path, ROOT)))
    rules = {
        name: rule
        for path in sorted((ROOT / "rules").glob("*.py"))
        for name, rule in files.rules(Label("occlum", "rules", path.name)).items()
    }

    assert {"cc_binary", "occlum_enclave", "rootfs"} <= set(rules)
    for name, rule in rules.items():
        for attribute, field in rule.attrs.model_fields.items():
            assert field.description, f"{name}.{attribute}"
