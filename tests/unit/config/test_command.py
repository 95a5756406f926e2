"""`python -m occlum_build.config`, as an action runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.config_samples import HELLO, ROOT_IMAGE

Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def command() -> Run:
    def run(*words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "occlum_build.config", *words],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
            preexec_fn=lambda: os.umask(0o077) and None,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Occlum.yaml").write_text(HELLO)
    (tmp_path / "root.json").write_text(
        json.dumps(
            {
                "version": 1,
                "data_size": ROOT_IMAGE.data_size,
                "tree_offset": ROOT_IMAGE.tree_offset,
                "root_hash": ROOT_IMAGE.root_hash,
            }
        )
    )
    return tmp_path


def seal(folder: Path, *images: str) -> list[str | Path]:
    return [
        *("seal", "--config", folder / "Occlum.yaml"),
        *(word for image in images for word in ("--image", image)),
        *("--output", folder / "sealed.json", "--metadata", folder / "metadata.json"),
    ]


def test_a_configuration_is_sealed(folder: Path, command: Run) -> None:
    command(*seal(folder, f"root={folder}/root.json"))

    assert json.loads((folder / "sealed.json").read_text())["mount"][0]["image"]["name"] == "root"
    assert json.loads((folder / "metadata.json").read_text())["date"] == "0000-00-00"
    assert (folder / "sealed.json").stat().st_mode & 0o777 == 0o644


def test_problems_are_shown_in_the_text(folder: Path, command: Run) -> None:
    (folder / "Occlum.yaml").write_text(HELLO.replace("image:", "imgae:"))

    done = command("check", folder / "Occlum.yaml", status=2)

    assert "error[OB0210]: unknown key `imgae` in `mount[0]`" in done.stderr
    assert "6 |     imgae: root" in done.stderr
    assert "= help: a key `image` exists" in done.stderr


def test_an_image_that_nobody_gave_is_named_where_it_is_mounted(
    folder: Path, command: Run
) -> None:
    done = command(*seal(folder, f"boot={folder}/root.json"), status=2)

    assert "error[OB0240]: there is no image `root` to mount" in done.stderr
    assert "6 |     image: root" in done.stderr
    assert "= note: images of this enclave: `boot`" in done.stderr
    assert "error[OB0242]: the image `boot` is mounted nowhere" in done.stderr
    assert not (folder / "sealed.json").exists()


def test_a_program_that_is_in_no_image_is_shown_where_it_is_named(
    folder: Path, command: Run
) -> None:
    listed = {"version": 1, "programs": ["/usr/bin/hallo"], "links": {"/bin": "/usr/bin"}}
    (folder / "programs.json").write_text(json.dumps(listed))
    words = seal(folder, f"root={folder}/root.json")

    done = command(*words, "--programs", f"root={folder}/programs.json", status=2)

    assert "error[OB0243]: the image `root` has no program `/bin/hello`" in done.stderr
    assert "2 |   command: [/bin/hello]" in done.stderr
    assert "= help: there is `/usr/bin/hallo`" in done.stderr
    assert not (folder / "sealed.json").exists()

    listed["programs"] = ["/usr/bin/hello"]
    (folder / "programs.json").write_text(json.dumps(listed))
    command(*words, "--programs", f"root={folder}/programs.json")


def test_a_file_that_is_not_text_is_refused(folder: Path, command: Run) -> None:
    (folder / "Occlum.yaml").write_bytes(b"a: \xff")

    done = command("check", folder / "Occlum.yaml", status=2)

    assert "error[OB0201]: this is not UTF-8: byte 3 cannot be read" in done.stderr


def test_a_missing_file_is_named(folder: Path, command: Run) -> None:
    done = command("check", folder / "No.yaml", status=2)

    assert "error[OB0290]: cannot read `No.yaml`: No such file or directory" in done.stderr


def test_a_folder_that_cannot_be_written_is_named(folder: Path, command: Run) -> None:
    done = command("schema", "--output", folder / "no" / "schema.json", status=1)

    assert "error[OB0591]: cannot write `schema.json`: No such file or directory" in done.stderr


def test_an_image_without_a_name_is_wrong_usage(folder: Path, command: Run) -> None:
    done = command(*seal(folder, "root.json"), status=2)

    assert "`root.json` is not NAME=FILE" in done.stderr
