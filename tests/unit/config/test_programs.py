"""Whether a command is in an image: through links and mounts, and where nobody knows."""

import json

import pytest

from occlum_build.config.programs import Programs, check_command, read_programs
from occlum_build.diagnostic import DiagnosticError
from tests.support.config_samples import config_of

ROOT = Programs(
    frozenset({"/usr/bin/hello", "/opt/tool"}),
    {"/bin": "/usr/bin", "/usr/bin/hi": "/usr/bin/hello", "/data": "/", "/away": "/mnt/x"},
)
MOUNTS = """\
mount:
  - {type: unionfs, target: /, options: {layers: [{type: erofs, image: root}, {type: tmpfs}]}}
  - {type: erofs, target: /mnt, image: more}
  - {type: hostfs, target: /host, source: shared, executable: true}
entry_points: [/]
"""
MORE = Programs(frozenset({"/x"}), {"/y": "/opt/tool"})


def problems(program: str) -> list[str]:
    text = f"process: {{command: [{program}]}}\n{MOUNTS}"
    images = {"root": ROOT, "more": MORE}
    return [one.message for one in check_command(config_of(text), images, text, "Occlum.yaml")]


@pytest.mark.parametrize(
    "program",
    ["/bin/hello", "/usr/bin/hi", "/data/opt/tool", "/bin/../bin/hello", "/mnt/x", "/opt//./tool"],
)
def test_a_program_that_is_there_is_no_problem(program: str) -> None:
    assert problems(program) == []


@pytest.mark.parametrize("program", ["/hello", "/bin", "/bin/hello/x", "/mnt/z", "/usr/bin/hell"])
def test_a_program_that_is_not_there_is_one(program: str) -> None:
    image = "more" if program.startswith("/mnt") else "root"

    assert problems(program) == [f"the image `{image}` has no program `{program}`"]


@pytest.mark.parametrize("program", ["/host/anything", "/away", "/mnt/y"])
def test_nothing_is_said_of_what_the_list_cannot_know(program: str) -> None:
    assert problems(program) == []


def test_nothing_is_said_of_an_image_without_a_list() -> None:
    text = f"process: {{command: [/nothing]}}\n{MOUNTS}"

    assert check_command(config_of(text), {}, text, "Occlum.yaml") == []


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"version": 2, "programs": [], "links": {}},
        {"version": 1, "programs": ["bin/x"], "links": {}},
        {"version": 1, "programs": [3], "links": {}},
        {"version": 1, "programs": [], "links": []},
    ],
)
def test_what_is_no_list_is_refused(document: object) -> None:
    with pytest.raises(DiagnosticError, match="OB0244"):
        read_programs(json.dumps(document).encode(), "programs.json")
