"""A copy of an action's sources that lives on between actions, so that cargo can reuse work.

cargo decides by modification times. The copy is therefore written by content: a file that
has not changed keeps its time, one that has gets a time later than all that cargo knows.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_STAMP: Final = ".last-use"


def refresh(copy: Path, sources: Mapping[str, Path], *, products: Path) -> None:
    """Make `copy` hold exactly `sources`, by their path in it.

    `products`, which cargo made from the copy, is dropped if the clock was set back: its
    times would be later than that of a source which has changed since.
    """
    stamp = products / _STAMP
    if stamp.exists() and stamp.stat().st_mtime_ns > time.time_ns():
        shutil.rmtree(products)
    copy.mkdir(parents=True, exist_ok=True)
    for path in sorted(copy.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(copy).as_posix() not in sources:
            path.unlink()
    for name, source in sources.items():
        _copy(source, copy / name)


def mark_used(products: Path) -> None:
    """Remember that cargo worked until now."""
    products.mkdir(parents=True, exist_ok=True)
    (products / _STAMP).write_bytes(b"")


def _copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    if target.is_file() and target.read_bytes() == content:
        return
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
