"""Fetch Debian packages by name, version and SHA-256, without root.

apt does the talking. The digest in the lock file decides whether what came is what was
meant. One package becomes a file; several, with all that the lock file says they depend
on, become a directory that holds `NAME.deb` for each.
"""

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import apt
import lockfile
from apt import Apt
from lockfile import Pin
from program import ProgramError, persist, say, start
from store import Store, sha256_of


def main() -> int:
    """Write what the lock file pins to `--output` or into `--directory`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--package", action="append", required=True)
    parser.add_argument("--store", type=Store.at, required=True)
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output", type=Path)
    place.add_argument("--directory", type=Path)
    options = parser.parse_args()
    store: Store = options.store
    if options.output is not None:
        (name,) = options.package
        pin = lockfile.find(options.lock, name)
        store.deliver(pin.sha256, options.output, partial(download, store, pin))
        return 0
    pins = lockfile.closure(options.lock, options.package)
    fill(store, pins)
    for pin in pins:
        output = options.directory / f"{pin.name}.deb"
        store.deliver(pin.sha256, output, partial(download, store, pin))
    return 0


def fill(store: Store, pins: Sequence[Pin]) -> None:
    """Fetch what the store lacks, all of it with one call of apt."""
    kept = store.directory("sha256")
    missing = [pin for pin in pins if not (kept / pin.sha256).exists()]
    if len(missing) <= 1:
        return
    with store.scratch() as folder, _machine(store, missing) as machine:
        say(f"fetching {len(missing)} packages through apt")
        check_offers(machine, missing)
        files = machine.download(missing, folder)
        for pin in missing:
            file = files[pin.name]
            if sha256_of(file) == pin.sha256:
                file.chmod(0o444)
                file.replace(kept / pin.sha256)


def download(store: Store, pin: Pin, folder: Path) -> Path:
    """The package as an archive of Debian has it, in `folder`."""
    with _machine(store, [pin]) as machine:
        say(f"fetching {pin.name} {pin.version} through apt")
        check_offers(machine, [pin])
        return persist(lambda: machine.download([pin], folder)[pin.name])


def check_offers(machine: Apt, pins: Sequence[Pin]) -> None:
    """Make sure that apt can fetch each version.

    The lists that an earlier call fetched are tried first; an archive forgets old
    versions and learns new ones, so they are fetched anew if a version is not found.

    Raises:
        ProgramError: no source has one of them.
    """
    names = [pin.name for pin in pins]
    offers = machine.offers(names)
    if all(pin.version in offers[pin.name] for pin in pins):
        return
    machine.update()
    offers = machine.offers(names)
    for pin in pins:
        if pin.version not in offers[pin.name]:
            raise ProgramError(
                f"no source of this machine's apt has `{pin.name}` version `{pin.version}`",
                f"they have {_listed(offers[pin.name])}; pin one of these, or add a source that"
                " still has the version, such as a snapshot of the archive",
            )


def _machine(store: Store, pins: Sequence[Pin]) -> AbstractContextManager[Apt]:
    names = ", ".join(f"`{pin.name}`" for pin in pins)
    places = ", ".join(f"`{store.root}/sha256/{pin.sha256}`" for pin in pins[:3])
    if len(pins) == 1:
        how = f"fetch the package elsewhere and put it at {places}"
    else:
        how = f"fetch the packages elsewhere and put each at the place of its digest: {places}, …"
    return apt.opened(store, f"fetching {names}", how)


def _listed(offers: dict[str, str]) -> str:
    known = [f"`{version}` with SHA-256 {sha256}" for version, sha256 in offers.items()]
    return ", ".join(known) or "no version of it"


if __name__ == "__main__":
    start(main)
