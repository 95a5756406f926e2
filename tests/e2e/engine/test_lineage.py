"""Lineages: what artifacts were made from, the same on every machine, and never out of date."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.workspace import Workspace

BUILD = (
    'shell(name = "b", srcs = ["a.txt"], outs = ["b.out"], cmd = "tr a b < $IN > $OUT")\n'
    'shell(name = "c", srcs = [":b", "run.sh"], outs = ["c.out"], cmd = "wc -c < app/run.sh'
    ' > $OUT", env = {"X": "1"})\n'
    'shell(name = "other", srcs = ["other.txt"], outs = ["o"], cmd = "cp $IN $OUT")\n'
    'lineage(name = "l", of = [":c"])\n'
)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def filled(workspace: Workspace) -> Workspace:
    workspace.build_file(BUILD)
    workspace.write("app/a.txt", "aaa")
    workspace.write("app/run.sh", "#!/bin/sh").chmod(0o755)
    workspace.write("app/other.txt", "")
    return workspace


def built(workspace: Workspace) -> Any:
    workspace.build("//app:l")
    return json.loads(workspace.output("app/l.json").read_bytes())


def test_it_names_sources_actions_and_what_they_made(filled: Workspace) -> None:
    found = built(filled)

    assert found["configuration"] == "default"
    assert {one["path"]: (one["sha256"], one["is_executable"]) for one in found["sources"]} == {
        "app/a.txt": (digest(b"aaa"), False),
        "app/run.sh": (digest(b"#!/bin/sh"), True),
    }
    assert [one["owner"] for one in found["actions"]] == ["//app:b", "//app:c"]
    assert found["actions"][1]["env"]["X"] == "1"
    assert {one["path"]: one["sha256"] for one in found["made"]} == {
        "out/default/bin/app/b.out": digest(b"bbb"),
        "out/default/bin/app/c.out": digest(b"9\n"),
    }


def test_what_is_not_on_the_way_is_not_in_it(filled: Workspace) -> None:
    filled.build("//app:other", "//app:l")

    assert "other" not in filled.output("app/l.json").read_text()


def test_it_says_the_same_in_another_place(filled: Workspace, tmp_path: Path) -> None:
    built(filled)
    twin = Workspace(tmp_path / "a much longer name" / "elsewhere")
    shutil.copytree(filled.root / "app", twin.root / "app")
    built(twin)

    text = twin.output("app/l.json").read_text()
    assert text == filled.output("app/l.json").read_text()
    assert str(tmp_path) not in text


def test_a_changed_source_changes_it_even_where_the_result_stays(filled: Workspace) -> None:
    first = built(filled)
    filled.write("app/a.txt", "aab")

    executed = filled.executed("//app:l")
    second = json.loads(filled.output("app/l.json").read_bytes())

    assert executed == ["Lineage //app:l", "Shell //app:b"]
    assert first["made"] == second["made"]
    assert first["sources"] != second["sources"]


def test_an_intermediate_that_changes_alone_changes_it(filled: Workspace) -> None:
    first = built(filled)
    filled.write("app/a.txt", "zzz")

    second = built(filled)

    made = {one["path"]: one["sha256"] for one in second["made"]}
    assert made["out/default/bin/app/b.out"] == digest(b"zzz")
    assert first["made"][1] == second["made"][1]


def test_an_unchanged_build_writes_nothing_down_again(filled: Workspace) -> None:
    built(filled)

    assert filled.executed("//app:l") == []


def test_a_source_as_the_end_is_named_too(workspace: Workspace) -> None:
    workspace.build_file('lineage(name = "l", of = ["a.txt"])')
    workspace.write("app/a.txt", "a")

    found = built(workspace)

    assert [one["path"] for one in found["sources"]] == ["app/a.txt"]
    assert found["actions"] == []


def test_a_directory_on_the_way_has_a_digest_of_its_own(workspace: Workspace) -> None:
    workspace.build_file(
        'shell(name = "d", out_dirs = ["d.out"], cmd = "mkdir -p $OUT; echo 1 > $OUT/f")\n'
        'shell(name = "e", srcs = [":d"], outs = ["e.out"], cmd = "cat $IN/f > $OUT")\n'
        'lineage(name = "l", of = [":e"])'
    )

    found = built(workspace)["made"]

    assert [one["is_directory"] for one in found] == [True, False]


def test_a_key_for_documents_is_not_one_for_enclaves(workspace: Workspace) -> None:
    workspace.build_file('sign(name = "s", src = "a.txt", key = "release", documents = True)')
    workspace.write("app/a.txt", "a")
    key = workspace.write("../key.pem", _rsa_key())

    outcome = workspace.run("build", "--key", f"release={key}", "//app:s")

    assert outcome.status == 2
    assert "the key `release` cannot sign provenance" in outcome.err
    assert "openssl genpkey -algorithm ed25519" in outcome.err


@pytest.mark.parametrize("kind", ["ed25519", "p256"])
def test_a_key_for_documents_may_be_of_two_kinds(workspace: Workspace, kind: str) -> None:
    workspace.build_file('sign(name = "s", src = "a.txt", key = "release", documents = True)')
    workspace.write("app/a.txt", "a")
    key = workspace.write("../key.pem", _small_key(kind))

    workspace.build("--key", f"release={key}", "//app:s")

    assert "BEGIN PUBLIC KEY" in workspace.output("app/s.sig").read_text()


def _rsa_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return _pem(rsa.generate_private_key(3, 3072))


def _small_key(kind: str) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    is_edwards = kind == "ed25519"
    return _pem(
        ed25519.Ed25519PrivateKey.generate()
        if is_edwards
        else ec.generate_private_key(ec.SECP256R1())
    )


def _pem(key: Any) -> str:
    from cryptography.hazmat.primitives import serialization as s

    content: bytes = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return content.decode()
