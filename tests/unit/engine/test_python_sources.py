"""An edit of the engine re-signs nothing: a tool's key holds its own sources."""

from occlum_build.execution.python_sources import python_sources
from tests.support.workspace import ROOT

ENGINE = ("analysis", "cli", "execution", "loading")


def test_no_engine_module_is_part_of_a_tool() -> None:
    for tool in ("sgx", "fs", "config"):
        files = [
            one.relative_to(ROOT / "occlum_build")
            for one in python_sources(ROOT, f"occlum_build.{tool}")
        ]

        assert {one.parts[0] for one in files} & set(ENGINE) == set()
        assert f"{tool}/__main__.py" in {str(one) for one in files}


def test_what_a_tool_imports_is_part_of_it() -> None:
    files = {one.name for one in python_sources(ROOT, "occlum_build.sgx")}

    assert "diagnostic.py" in files


def test_modules_of_others_are_the_lock_files_business() -> None:
    assert python_sources(ROOT, "pip") == []
