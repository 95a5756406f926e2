"""Resolve Debian packages and all that they depend on, and write them into a lock file.

It is run by a person, not by a build: what it writes is a source file, to be reviewed and
committed. Recommendations are left out, and so is nothing that a package cannot do without.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import apt
from apt import Offer
from program import ProgramError, replacing, say, start
from store import Store


def main() -> int:
    """Write `--output` anew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--package", action="append", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--store", type=Store.at, required=True)
    options = parser.parse_args()
    names = sorted(set(options.package))
    elsewhere = "resolve on a machine with apt, and commit the lock file"
    with apt.opened(options.store, "resolving packages", elsewhere) as machine:
        say(f"resolving {', '.join(names)}")
        machine.update()
        offers = machine.resolve(names)
    text = lock_text(options.target, offers)
    with replacing(options.output) as partial:
        partial.write_text(text, encoding="utf-8")
    say(f"{options.output}: {len(offers)} packages")
    return 0


def lock_text(target: str, offers: Sequence[Offer]) -> str:
    """The lock file, the same for the same packages whatever apt's order was."""
    head = "# Debian packages with all that they depend on.\n"
    parts = [f"{head}# Written by `occlum-build run {target}`; do not edit.\n"]
    for offer in sorted(offers, key=lambda one: one.name):
        needed = ", ".join(f'"{name}"' for name in _depends(offer, offers))
        parts.append(
            f'\n[[package]]\nname = "{offer.name}"\nversion = "{offer.version}"\n'
            f'sha256 = "{offer.sha256}"\ndepends = [{needed}]\n'
        )
    return "".join(parts)


def _depends(offer: Offer, offers: Sequence[Offer]) -> list[str]:
    """Which of the resolved packages this one depends on."""
    found: set[str] = set()
    for group in offer.relations:
        chosen = {one.name for one in offers if one.name in group}
        chosen = chosen or {one.name for one in offers if set(group) & set(one.provides)}
        if not chosen:
            raise ProgramError(
                f"apt resolved nothing for `{' | '.join(group)}`, which `{offer.name}` depends on"
            )
        found |= chosen
    return sorted(found - {offer.name})


if __name__ == "__main__":
    os.umask(0o022)
    start(main)
