"""Fetch one Debian package by name, version and SHA-256, without root.

apt does the talking, with the machine's own sources, keys and proxies, but with lists and
caches of its own in the store, and without running anything that the machine hooks into
apt. The digest in the lock file decides whether what came is what was meant.
"""

import argparse
import re
import shutil
from pathlib import Path
from typing import Final

import lockfile
from lockfile import Pin
from program import ProgramError, capture, network_environment, persist, say, start
from store import Store

_FIELDS: Final = ("Version", "SHA256")
_FIELD: Final = re.compile(rf"^({'|'.join(_FIELDS)}): (.+)$", re.MULTILINE)
_NO_HOOKS: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
"""


def main() -> int:
    """Write the package that the lock file pins to `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--package", required=True)
    parser.add_argument("--store", type=Store.at, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    pin = lockfile.find(options.lock, options.package)
    store: Store = options.store
    store.deliver(pin.sha256, options.output, lambda folder: download(store, pin, folder))
    return 0


def download(store: Store, pin: Pin, folder: Path) -> Path:
    """The package as an archive of Debian has it, in `folder`.

    The lists that an earlier call fetched are tried first; an archive forgets old
    versions and learns new ones, so they are fetched anew if the version is not found.
    """
    if shutil.which("apt-get") is None:
        raise ProgramError(
            f"fetching `{pin.name}` needs apt, which this machine does not have",
            f"fetch the package elsewhere and put it at `{store.root}/sha256/{pin.sha256}`",
        )
    with store.lock("apt"):
        apt = Apt(store.directory("apt"))
        say(f"fetching {pin.name} {pin.version} through apt")
        if pin.version not in apt.offers(pin.name):
            apt.update()
        offers = apt.offers(pin.name)
        if pin.version not in offers:
            raise ProgramError(
                f"no source of this machine's apt has `{pin.name}` version `{pin.version}`",
                f"they have {_listed(offers)}; pin one of these, or add a source that still has"
                " the version, such as a snapshot of the archive",
            )
        return persist(lambda: apt.download(pin, folder))


class Apt:
    """The machine's apt, with every place that it writes to moved below `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        for part in ("lists/partial", "cache/archives/partial"):
            (self.home / part).mkdir(parents=True, exist_ok=True)
        (self.home / "no-hooks.conf").write_text(_NO_HOOKS, encoding="utf-8")

    def update(self) -> None:
        """Fetch the lists of packages; a source that fails is apt's warning, not our error."""
        try:
            self._run("update", cwd=self.home)
        except ProgramError as error:
            say(f"warning: {error}")

    def offers(self, name: str) -> dict[str, str]:
        """The versions of a package that the lists know of, each with its SHA-256."""
        try:
            text = self._run("show", name, program="apt-cache", cwd=self.home)
        except ProgramError:
            return {}
        stanzas = (dict(_FIELD.findall(one)) for one in text.split("\n\n"))
        return {one["Version"]: one["SHA256"] for one in stanzas if len(one) == len(_FIELDS)}

    def download(self, pin: Pin, folder: Path) -> Path:
        """Put the package into `folder`.

        Raises:
            ProgramError: the network failed, or apt did.
        """
        self._run("download", f"{pin.name}={pin.version}", cwd=folder)
        archives = sorted(folder.glob("*.deb"))
        if len(archives) != 1:
            raise ProgramError(f"apt left {len(archives)} archives for `{pin.name}`")
        return archives[0]

    def _run(self, *words: str, cwd: Path, program: str = "apt-get") -> str:
        settings = {
            "Dir::State::lists": str(self.home / "lists"),
            "Dir::Cache": str(self.home / "cache"),
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Retries": "3",
            "APT::Architecture": "amd64",
            "APT::Sandbox::User": "root",
        }
        options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        return capture(
            [program, "--config-file", self.home / "no-hooks.conf", *options, *words],
            env=network_environment(),
            cwd=cwd,
            name=f"{program} {words[0]}",
        )


def _listed(offers: dict[str, str]) -> str:
    known = [f"`{version}` with SHA-256 {sha256}" for version, sha256 in offers.items()]
    return ", ".join(known) or "no version of it"


if __name__ == "__main__":
    start(main)
