"""`python -m occlum_build.reference`: write the pages of the reference."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from occlum_build.reference.pages import pages


def main(argv: Sequence[str] | None = None) -> int:
    """Write every page into the directory `--output`."""
    parser = argparse.ArgumentParser(
        prog="python -m occlum_build.reference", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIRECTORY")
    output: Path = parser.parse_args(argv).output
    output.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (output / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
