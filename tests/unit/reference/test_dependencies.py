"""`docs/adr/0008-dependencies.md` says why each direct dependency is there."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "adr" / "0008-dependencies.md"
NAME = re.compile(r"[A-Za-z0-9_.-]+")


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def explained() -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def python_packages() -> Iterator[str]:
    project = read(ROOT / "pyproject.toml")
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *(one for extra in project["project"]["optional-dependencies"].values() for one in extra),
        *project["dependency-groups"]["dev"],
    ]
    for requirement in wanted:
        name = NAME.match(requirement)
        assert name is not None
        yield name[0].lower()


def fuzzing() -> set[str]:
    """What `tests/fuzz` installs beyond what the other tests have."""
    locks = {name: pinned(ROOT / name) for name in ("requirements-dev.lock", "requirements.lock")}
    return pinned(ROOT / "tests" / "fuzz" / "requirements.lock") - set().union(*locks.values())


def pinned(lock: Path) -> set[str]:
    return set(re.findall(r"^([\w.-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE))


def crates() -> Iterator[str]:
    manifests = [
        *(ROOT / "libos_src").glob("**/Cargo.toml"),
        *(ROOT / "examples").glob("**/Cargo.toml"),
    ]
    for manifest in manifests:
        content = read(manifest)
        tables = [content, content.get("workspace", {}), *content.get("target", {}).values()]
        for table in tables:
            yield from outside(table)


def outside(table: dict[str, Any]) -> Iterable[str]:
    """The dependencies of a table that are no crates of this project."""
    for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
        for name, wanted in table.get(kind, {}).items():
            if isinstance(wanted, str) or "path" not in wanted:
                yield wanted.get("package", name) if isinstance(wanted, dict) else name


def tools() -> set[str]:
    locks = [ROOT / "toolchain" / name for name in ("go.lock", "zig.lock")]
    return {one["name"] for lock in locks for one in read(lock)["package"]}


def test_every_direct_dependency_is_explained_and_nothing_else() -> None:
    assert set(explained()) == {*python_packages(), *fuzzing(), *crates(), *tools()}


def test_a_dependency_is_explained_once() -> None:
    assert sorted(explained()) == sorted(set(explained()))


def test_every_python_package_is_in_a_lock_file() -> None:
    locked = {
        found[1]
        for name in ("requirements.lock", "requirements-dev.lock")
        for found in re.finditer(r"^([a-z0-9-]+)==", (ROOT / name).read_text(), re.MULTILINE)
    }

    assert set(python_packages()) <= locked
