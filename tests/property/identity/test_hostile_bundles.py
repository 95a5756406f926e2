"""Whatever a bundle says, `verify` and `diff` answer: they never end in a traceback."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from occlum_build.cli.entry import main
from occlum_build.enclave_file.image import place
from occlum_build.enclave_file.read import read_enclave
from tests.support.bundles import make_bundle
from tests.support.keys import make_key

QUIET = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats()
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
ANSWERS = {0, 1, 2}


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), make_key(tmp_path_factory, "signing"))


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path]
    for key, one in inner:
        is_deep = isinstance(one, dict | list)
        found += paths_of(one, (*path, key)) if is_deep else [(*path, key)]
    return found


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(copy[path[0]], path[1:], value)
    return copy


@QUIET
@given(data=st.data(), value=JSON)
def test_a_manifest_may_say_anything(
    bundle: Path, tmp_path: Path, data: st.DataObject, value: Any
) -> None:
    document = json.loads((bundle / "manifest.json").read_bytes())
    path = data.draw(st.sampled_from(paths_of(document)))
    copy = shutil.copytree(bundle, tmp_path / "copy", dirs_exist_ok=True)
    (copy / "manifest.json").write_text(json.dumps(changed(document, path, value)))

    assert main(["verify", str(copy)]) in ANSWERS
    assert main(["diff", str(bundle), str(copy)]) in ANSWERS


def test_an_image_of_a_manifest_may_have_a_name_that_is_none(bundle: Path, tmp_path: Path) -> None:
    document = json.loads((bundle / "manifest.json").read_bytes())
    copy = shutil.copytree(bundle, tmp_path / "copy")
    named = changed(document, ("images", 0, "name"), None)
    (copy / "manifest.json").write_text(json.dumps(named))

    assert main(["verify", str(copy)]) == 1


@QUIET
@given(data=st.data(), value=JSON)
def test_a_sealed_configuration_may_say_anything(
    bundle: Path, tmp_path: Path, data: st.DataObject, value: Any
) -> None:
    run = next(one for one in read_enclave(bundle).runs() if one.name == "sealed config")
    length = len(run.page(0).rstrip(b"\0"))
    document = json.loads(run.page(0)[:length])
    path = data.draw(st.sampled_from(paths_of(document)))
    text = json.dumps(changed(document, path, value), separators=(",", ":")).encode()
    page = text[:length].ljust(length)
    assume(page != run.page(0)[:length])  # `false` instead of `false` is no lie
    copy = shutil.copytree(bundle, tmp_path / "copy", dirs_exist_ok=True)
    stream = bytearray((bundle / "enclave.sgxs").read_bytes())
    for index, byte in enumerate(page):
        found = place(run, 0, index)
        assert found is not None
        stream[found.offset] = byte
    (copy / "enclave.sgxs").write_bytes(stream)

    assert main(["verify", str(copy)]) in {1, 2}
    assert main(["diff", str(bundle), str(copy), "--json"]) == 1


@QUIET
@given(content=st.binary(max_size=200))
def test_a_policy_may_be_anything(bundle: Path, tmp_path: Path, content: bytes) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(b"version: 1\n" + content)

    assert main(["verify", str(bundle), "--policy", str(policy)]) in ANSWERS


@pytest.mark.parametrize("name", ["enclave.sig", "enclave.sgxs", "manifest.json", "images"])
def test_a_part_may_be_missing_or_a_directory(bundle: Path, tmp_path: Path, name: str) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    path = copy / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    missing = main(["verify", str(copy)])
    path.mkdir()

    assert {missing, main(["verify", str(copy)])} <= {1, 2}
    assert main(["diff", str(copy), str(bundle)]) in ANSWERS
    assert main(["sign", str(copy), "--emit-tbs", str(tmp_path / "tbs")]) in ANSWERS
