import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() or mount is None:
        pytest.skip("a small file system needs root")
    words = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_packing_writes_an_image_and_its_facts(
    sample: Path,
    tmp_path: Path,
    command: Run,
) -> None:
    command("erofs", "--tree", sample, "--output", tmp_path / "out.erofs")

    facts = json.loads((tmp_path / "out.erofs.json").read_bytes())
    assert sorted(facts) == [
        *("block_size", "data_size", "hash_offset", "root_hash", "size", "tree_offset", "version"),
    ]
    said = command("verify", tmp_path / "out.erofs").stdout.decode()
    assert said.startswith(f"{facts['root_hash']}  {tmp_path}/out.erofs: ")
    command("verify", "--root-hash", facts["root_hash"], tmp_path / "out.erofs")


def test_a_listing_shows_type_mode_size_path_and_target(
    sample: Path,
    tmp_path: Path,
    command: Run,
) -> None:
    command("erofs", "--tree", sample, "--output", tmp_path / "out.erofs")

    lines = command("list", tmp_path / "out.erofs").stdout.decode().splitlines()

    assert "d1777            0 /tmp" in lines
    assert "-4755           18 /bin/also" in lines
    assert "-4755           18 /bin/tool link to /bin/also" in lines
    assert "l0777            4 /bin/sh -> tool" in lines
    assert "p0640            0 /etc/pipe" in lines
    assert "-0644            5 /café \\xff" in lines


def test_an_output_has_mode_0644_whatever_the_umask(
    sample: Path,
    tmp_path: Path,
    command: Run,
) -> None:
    command(
        *("erofs", "--tree", sample, "--output", tmp_path / "out.erofs"),
        limit=lambda: os.umask(0o077) and None,
    )

    for name in ("out.erofs", "out.erofs.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644


def test_wrong_input_exits_2_and_leaves_nothing(tmp_path: Path, command: Run) -> None:
    (tmp_path / "bad.tar").write_bytes(b"x" * 2000)

    done = command("erofs", "--tree", tmp_path / "bad.tar", "--output", tmp_path / "o", status=2)

    assert done.stderr.startswith(b"error[OB0605]: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar"]


def test_an_altered_image_exits_1(sample: Path, tmp_path: Path, command: Run) -> None:
    command("erofs", "--tree", sample, "--output", tmp_path / "out.erofs")
    with (tmp_path / "out.erofs").open("r+b") as file:
        file.seek(9000)
        file.write(b"?")

    assert command("verify", tmp_path / "out.erofs", status=1).stderr.startswith(b"error[OB0614]")


@pytest.mark.parametrize(
    "words",
    [[], ["frobnicate"], ["erofs"], ["verify", "--root-hash", "xyz", "image"]],
)
def test_a_wrong_command_line_exits_2(words: list[str], command: Run) -> None:
    assert command(*words, status=2).stderr.startswith(b"usage: ")


def test_a_missing_directory_is_named(sample: Path, tmp_path: Path, command: Run) -> None:
    done = command("erofs", "--tree", sample, "--output", tmp_path / "no/out", status=1)

    assert b"error[OB0591]: cannot write" in done.stderr
    assert b"make the directory" in done.stderr


def test_a_full_disk_is_one_clear_diagnostic_and_leaves_nothing(
    sample: Path,
    full_disk: Path,
    command: Run,
) -> None:
    (full_disk / "out.erofs").write_bytes(b"what stood there before")

    done = command("erofs", "--tree", sample, "--output", full_disk / "out.erofs", status=1)

    text = done.stderr.decode()
    assert text.count("error[") == 1
    assert "No space left on device" in text
    assert [path.name for path in full_disk.iterdir()] == ["out.erofs"]
    assert (full_disk / "out.erofs").read_bytes() == b"what stood there before"


@pytest.mark.parametrize("limit_bytes", [0, 1, 4096, 1_500_000, 3_990_000])
def test_a_file_size_limit_at_any_point_leaves_nothing(
    limit_bytes: int,
    sample: Path,
    tmp_path: Path,
    command: Run,
) -> None:
    (tmp_path / "out").mkdir()

    done = command(
        *("erofs", "--tree", sample, "--output", tmp_path / "out/x.erofs"),
        status=1,
        limit=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes)),
    )

    assert done.stderr.decode().count("error[OB0591]") == 1
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def quick_place(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if there is one: a busy disk can hold a process for a minute."""
    memory = Path("/dev/shm")  # noqa: S108 (mkdtemp makes the name)
    is_there = memory.is_dir() and os.access(memory, os.W_OK)
    with tempfile.TemporaryDirectory(dir=memory if is_there else tmp_path) as place:
        yield Path(place)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGQUIT, 131), (signal.SIGTERM, 143)],
)
def test_an_interrupt_leaves_nothing(
    number: int,
    status: int,
    tmp_path: Path,
    quick_place: Path,
) -> None:
    (tmp_path / "tree").mkdir()
    with (tmp_path / "tree/sparse").open("wb") as file:
        file.truncate(4 << 30)  # seconds of work, of which it does a few hundredths
    words = ["erofs", "--tree", f"{tmp_path}/tree", "--output", f"{quick_place}/x.erofs"]
    with subprocess.Popen(
        [sys.executable, "-m", "occlum_build.fs", *words],
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        stderr=subprocess.PIPE,
    ) as process:
        while not any(quick_place.iterdir()) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        _, said = process.communicate()

    assert process.returncode == status, said
    assert said == b""
    assert list(quick_place.iterdir()) == []


def test_a_reader_that_goes_away_is_no_bug(sample: Path, tmp_path: Path, command: Run) -> None:
    command("erofs", "--tree", sample, "--output", tmp_path / "out.erofs")
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "occlum_build.fs", "list", tmp_path / "out.erofs"],
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()

    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 128 + signal.SIGPIPE


def test_starting_imports_nothing_but_the_standard_library(sample: Path, tmp_path: Path) -> None:
    words = ["erofs", "--tree", str(sample), "--output", str(tmp_path / "out.erofs")]
    program = (
        "import sys; from occlum_build.fs.__main__ import main; "
        f"main({words!r}); print(*(n for n in sys.modules if '.' not in n))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        capture_output=True,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        check=True,
    )

    foreign = set(done.stdout.decode().split()) - sys.stdlib_module_names
    assert foreign == {"occlum_build", "__main__"}
