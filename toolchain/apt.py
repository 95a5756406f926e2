"""The machine's apt, asked without root and without leaving a trace in its own state.

It keeps the machine's sources, keys and proxies, but has lists and caches of its own in the
store, believes that no package is installed, and runs nothing that the machine hooks in.
"""

import re
import shutil
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lockfile import Pin
from program import WRONG_INPUT, ProgramError, capture, network_environment, persist, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store import Store

_FIELD: Final = re.compile(r"^([A-Za-z0-9-]+): (.*)$", re.MULTILINE)
_RELATIONS: Final = ("Pre-Depends", "Depends")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_CHOSEN: Final = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
_NO_HOOKS: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
"""


@dataclass(frozen=True)
class Offer:
    """One version of one package, as the signed lists of an archive describe it.

    `relations` are what it depends on: each a group of names, one of which is enough.
    """

    name: str
    version: str
    sha256: str
    relations: tuple[tuple[str, ...], ...]
    provides: tuple[str, ...]


@contextmanager
def opened(store: "Store", task: str, otherwise: str) -> "Iterator[Apt]":
    """apt, for one process at a time.

    Raises:
        ProgramError: the machine has none; `task` is what needs it, `otherwise` what helps.
    """
    if shutil.which("apt-get") is None:
        raise ProgramError(f"{task} needs apt, which this machine does not have", otherwise)
    with store.lock("apt"):
        yield Apt(store.directory("apt"))


class Apt:
    """The machine's apt, with every place that it writes to moved below `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        for part in ("lists/partial", "cache/archives/partial"):
            (self.home / part).mkdir(parents=True, exist_ok=True)
        (self.home / "no-hooks.conf").write_text(_NO_HOOKS, encoding="utf-8")
        (self.home / "status").write_bytes(b"")

    def update(self) -> None:
        """Fetch the lists of packages; a source that fails is apt's warning, not our error."""
        try:
            self._run("update", cwd=self.home)
        except ProgramError as error:
            say(f"warning: {error}")

    def offers(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """The versions of packages that the lists know of, each with its SHA-256."""
        try:
            stanzas = self._stanzas(names)
        except ProgramError:
            # apt fails as a whole when it does not know one of them.
            if len(names) == 1:
                return {names[0]: {}}
            return {name: found for one in names for name, found in self.offers([one]).items()}
        found: dict[str, dict[str, str]] = {name: {} for name in names}
        for one in stanzas:
            found.get(one.name, {})[one.version] = one.sha256
        return found

    def resolve(self, names: Sequence[str]) -> list[Offer]:
        """What it takes to install `names` on an empty system, recommendations aside.

        Raises:
            ProgramError: apt does not know a name, or cannot satisfy all at once.
        """
        try:
            plan = self._run(
                "install", "--simulate", "--no-install-recommends", *names, cwd=self.home
            )
        except ProgramError as error:
            raise ProgramError(
                f"apt cannot resolve {', '.join(names)}: {error}",
                "check the names; the machine's apt sources decide what there is",
                status=WRONG_INPUT,
            ) from None
        chosen = dict(_CHOSEN.findall(plan))
        offers = self._stanzas([f"{name}={version}" for name, version in chosen.items()])
        return [one for one in offers if chosen.get(one.name) == one.version]

    def download(self, pins: Sequence[Pin], folder: Path) -> dict[str, Path]:
        """Put the packages into `folder`; each one's file by its name.

        Raises:
            ProgramError: the network failed, or apt did.
        """
        wanted = [f"{pin.name}={pin.version}" for pin in pins]
        persist(lambda: self._run("download", *wanted, cwd=folder))
        found: dict[str, Path] = {}
        for pin in pins:
            archives = sorted(folder.glob(f"{pin.name}_*.deb"))
            if len(archives) != 1:
                raise ProgramError(f"apt left {len(archives)} archives for `{pin.name}`")
            found[pin.name] = archives[0]
        return found

    def _stanzas(self, names: Sequence[str]) -> list[Offer]:
        text = self._run("show", *names, program="apt-cache", cwd=self.home)
        found = []
        for stanza in text.split("\n\n"):
            fields = dict(_FIELD.findall(stanza))
            if {"Package", "Version", "SHA256"} <= fields.keys():
                found.append(_offer(fields))
        return found

    def _run(self, *words: str, cwd: Path, program: str = "apt-get") -> str:
        settings = {
            "Dir::State::lists": str(self.home / "lists"),
            "Dir::State::status": str(self.home / "status"),
            "Dir::Cache": str(self.home / "cache"),
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Retries": "3",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
        }
        options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        return capture(
            [program, "--config-file", self.home / "no-hooks.conf", *options, *words],
            env=network_environment(),
            cwd=cwd,
            name=f"{program} {words[0]}",
        )


def _offer(fields: dict[str, str]) -> Offer:
    """The stanza of a package (deb-control(5)); versions in its relations are apt's to check."""
    relations = [
        tuple(_NAME.findall(alternative)[0] for alternative in group.split("|"))
        for relation in _RELATIONS
        for group in fields.get(relation, "").split(",")
        if group.strip()
    ]
    provides = [
        group.split()[0] for group in fields.get("Provides", "").split(",") if group.strip()
    ]
    return Offer(
        fields["Package"], fields["Version"], fields["SHA256"], tuple(relations), tuple(provides)
    )
