"""Golden records: small, the same for the same enclave, and able to say what differs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occlum_build.evidence.__main__ import main
from occlum_build.evidence.golden import explain, read_golden
from tests.support.bundles import make_bundle


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from occlum_build.sgx.__main__ import main as sgx

    path = tmp_path_factory.mktemp("key") / "key.pem"
    assert sgx(["development-key", "--output", str(path)]) == 0
    return path


def record(folder: Path, key: Path, **changes: Any) -> Any:
    """The record of an enclave that was really laid out."""
    make_bundle(folder, key, **changes)
    words = ["--sgxs", "enclave.sgxs", "--report", "enclave.json", "--sealed", "sealed.json"]
    paths = [one if one.startswith("-") else str(folder / one) for one in words]
    assert main(["golden", *paths, "--output", str(folder / "golden.json")]) == 0
    return json.loads((folder / "golden.json").read_bytes())


YAML = """\
resource_limits:
  kernel_space_heap_size: {heap}
  kernel_space_stack_size: 64KB
  user_space_size: 64MB
  max_num_of_threads: {threads}
process:
  command: [/bin/hello{more}]
mount:
  - {{{{type: erofs, target: /, image: root}}}}
"""


def yaml(heap: str = "1MB", threads: int = 2, more: str = "") -> str:
    return YAML.format(heap=heap, threads=threads, more=more)


def test_the_same_enclave_gives_the_same_record(tmp_path: Path, key: Path) -> None:
    first, second = record(tmp_path / "a", key), record(tmp_path / "b", key)

    assert first == second
    assert explain(first, second) == []


def test_threads_are_one_entry_however_many_there_are(tmp_path: Path, key: Path) -> None:
    few = record(tmp_path / "a", key, yaml=yaml(threads=2))
    many = record(tmp_path / "b", key, yaml=yaml(threads=40))

    assert len(few["regions"]) == len(many["regions"])
    assert len(json.dumps(many)) < 8000
    lines = explain(few, many)
    assert "configuration: `threads.max` is 40, and was 2" in lines
    assert any("region `thread * TCS` (41 pages, ---): pages: 41, was 3" in one for one in lines)


def test_every_region_that_is_measured_has_a_digest(tmp_path: Path, key: Path) -> None:
    found = {one["name"]: one["sha256"] for one in record(tmp_path, key)["regions"]}

    assert found["config"] is not None
    assert found["libos text"] is not None
    assert found["user"] is None
    assert found["kernel heap"] is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"yaml": yaml(heap="2MB")},
         "configuration: `memory.kernel_space_heap_size` is 2097152, and was 1048576"),
        ({"yaml": yaml(heap="2MB")}, "region `kernel heap` (512 pages, rw-): pages: 512, was 256"),
        ({"yaml": yaml(more=", again")},
         'configuration: `process.command[1]` is "again", and was not there'),
        ({"yaml": yaml(), "hello": b"hallo\n"},
         'image "root": a file in it, its mode or its name (another root hash)'),
    ],
)  # fmt: skip
def test_a_change_is_named_where_people_made_it(
    tmp_path: Path, key: Path, changes: dict[str, Any], line: str
) -> None:
    before = record(tmp_path / "a", key, yaml=yaml())

    assert line in explain(before, record(tmp_path / "b", key, **changes))


def test_a_mount_that_comes_or_goes_is_one_line(tmp_path: Path, key: Path) -> None:
    one = record(tmp_path / "a", key, yaml=yaml())
    more = "  - {{type: tmpfs, target: /tmp, size: 1MB}}\n"
    two = record(tmp_path / "b", key, yaml=yaml() + more)
    mount = json.dumps(two["config"]["mount"][1])

    assert [line for line in explain(one, two) if "region" not in line] == [
        f"configuration: `mount[1]` is {mount}, and was not there"
    ]
    assert [line for line in explain(two, one) if "region" not in line] == [
        f"configuration: `mount[1]` is gone, and was {mount}"
    ]


def test_a_change_of_the_libos_names_the_region(tmp_path: Path, key: Path) -> None:
    before = record(tmp_path, key)
    after = json.loads(json.dumps(before))
    after["mrenclave"] = "0" * 64
    text = next(one for one in after["regions"] if one["name"] == "libos text")
    text |= {"sha256": "0" * 64, "offset": text["offset"] + 8192}

    assert explain(before, after) == [
        f"region `libos text` ({text['pages']} pages, r-x): other content, moved by +2 pages"
    ]


def test_an_empty_file_is_a_record_that_was_not_accepted_yet(tmp_path: Path) -> None:
    (tmp_path / "golden.json").touch()

    assert read_golden(tmp_path / "golden.json") is None


def compared(tmp_path: Path, expected: bytes, key: Path, capsys: Any) -> tuple[int, str]:
    record(tmp_path / "enclave", key)
    (tmp_path / "expected.json").write_bytes(expected)
    status = main([
        "compare", "--expected", str(tmp_path / "expected.json"),
        "--found", str(tmp_path / "enclave/golden.json"), "--target", "//app:t",
    ])  # fmt: skip
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def accepted(tmp_path: Path, key: Path, change: Callable[[Any], None] = lambda _: None) -> bytes:
    found = record(tmp_path / "accepted", key)
    change(found)
    return json.dumps(found).encode()


def test_the_accepted_enclave_passes(tmp_path: Path, key: Path, capsys: Any) -> None:
    status, said = compared(tmp_path, accepted(tmp_path, key), key, capsys)

    assert status == 0
    assert "as expected" in said


def test_another_enclave_fails_and_says_how_to_accept_it(
    tmp_path: Path, key: Path, capsys: Any
) -> None:
    def other(found: Any) -> None:
        found["mrenclave"] = "0" * 64
        found["config"]["threads"]["max"] = 3

    status, said = compared(tmp_path, accepted(tmp_path, key, other), key, capsys)

    assert status == 1
    assert "configuration: `threads.max` is 2, and was 3" in said
    assert "`occlum-build test --accept //app:t`" in said


def test_an_empty_record_fails(tmp_path: Path, key: Path, capsys: Any) -> None:
    status, said = compared(tmp_path, b"\n", key, capsys)

    assert status == 1
    assert "no MRENCLAVE was accepted yet" in said


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"version":1}', b'{"version":9}', b"null"])
def test_what_is_no_record_is_refused(tmp_path: Path, text: bytes, key: Path, capsys: Any) -> None:
    status, said = compared(tmp_path, text, key, capsys)

    assert status == 2
    assert "error[OB080" in said
