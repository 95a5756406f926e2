"""Circumstances of a build: all that differs between two machines and must not matter."""

import locale
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_OTHER_USER: Final = "4321"
_OTHER_HOST: Final = "elsewhere"
_OLD_TIME: Final = 1_000_000_000  # 2001-09-09
_NEW_TIME: Final = 2_000_000_000  # 2033-05-18
_RENAME_HOST: Final = (
    f"hostname {_OTHER_HOST} 2>/dev/null || echo {_OTHER_HOST} > /proc/sys/kernel/hostname;"
    f' exec unshare --user --map-user={_OTHER_USER} -- "$@"'
)
_NAMESPACES: Final = (
    ("unshare", "--user", "--map-root-user", "--uts", "--", "sh", "-ec", _RENAME_HOST, "sh"),
    ("unshare", "--user", f"--map-user={_OTHER_USER}", "--"),
)
"""Commands that give another user and host name; kernels and containers allow some of them."""


@dataclass(frozen=True)
class Circumstances:
    """Where and how one build runs.

    `wrapper` is a command that runs the build in its place. `facts` say the same for people.
    """

    place: Path
    env: Mapping[str, str] = field(default_factory=dict)
    umask: int = 0o022
    wrapper: tuple[str, ...] = ()
    jobs: int | None = None
    backwards: bool = False
    file_time: int | None = None
    user_settings: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> Path:
        """The copy of the source tree."""
        return self.place / "source"

    @property
    def cache(self) -> Path:
        """Downloads and unpacked tools."""
        return self.place / "cache"

    @property
    def home(self) -> Path:
        """An empty home directory, or one with settings of a user's own."""
        return self.place / "home"

    @property
    def temporary(self) -> Path:
        """Where temporary files go."""
        return self.place / "tmp"


@dataclass(frozen=True)
class Varied:
    """One circumstance in the two builds. What this machine does not let vary is the same."""

    name: str
    first: str
    second: str

    @property
    def does_differ(self) -> bool:
        """Whether the two builds differ in it."""
        return self.first != self.second


def plain(place: Path, jobs: int | None) -> Circumstances:
    """Those of an audit: an empty home and a new place, and else the machine as it is."""
    return Circumstances(place, jobs=jobs)


def twins(base: Path, jobs: int | None) -> tuple[Circumstances, Circumstances]:
    """Two that differ wherever two machines could, as far as this one allows."""
    cpus = sorted(os.sched_getaffinity(0))
    one_cpu = ("taskset", "-c", str(cpus[0])) if shutil.which("taskset") else ()
    first = _with_facts(
        Circumstances(
            base / "a" / "x",
            env={"TZ": "UTC", "LANG": "C", "USER": "alice", "LOGNAME": "alice"},
            umask=0o022,
            wrapper=one_cpu,
            jobs=1,
            file_time=_OLD_TIME,
        )
    )
    second = _with_facts(
        Circumstances(
            base / "another place" / "much deeper/than/the other/checkout",
            env={
                "TZ": "Asia/Kathmandu",
                "LANG": "de_DE.UTF-8",
                "LC_ALL": "de_DE.UTF-8",
                "USER": "bob",
                "LOGNAME": "bob",
                "CFLAGS": "-DEVIL",
                "RUSTFLAGS": "--cfg evil",
                "SOURCE_DATE_EPOCH": "1234567890",
            },
            umask=0o077,
            wrapper=_namespaces(),
            jobs=jobs or max(4, len(cpus)),
            backwards=True,
            file_time=_NEW_TIME,
            user_settings=True,
        )
    )
    return first, second


def varied(first: Circumstances, second: Circumstances) -> list[Varied]:
    """Each circumstance, in both."""
    return [Varied(name, text, second.facts[name]) for name, text in first.facts.items()]


def clock() -> str:
    """What the clock shows, in seconds: the least that two builds must differ by."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())


def varied_clock(first: str, second: str) -> tuple[Varied, Varied]:
    """What two builds that began then could see of time: a clock moves, a date seldom does."""
    return Varied("clock", first, second), Varied("date", first[:10], second[:10])


def clock_after(earlier: str) -> str:
    """What the clock shows as soon as that is not `earlier` any more."""
    while (now := clock()) == earlier:
        time.sleep(0.05)
    return now


def prepare(one: Circumstances) -> None:
    """Make the directories, and the settings of the user where there are to be some."""
    for folder in (one.home, one.temporary, one.cache / "sha256"):
        folder.mkdir(parents=True)
    if one.user_settings:
        _leave_traps(one)


def set_times(one: Circumstances) -> None:
    """Give every source file the time of these circumstances."""
    if one.file_time is not None:
        for path in one.source.rglob("*"):
            os.utime(path, (one.file_time, one.file_time), follow_symlinks=False)


def _leave_traps(one: Circumstances) -> None:
    """Settings where cargo would find them if it were let."""
    for folder, text in (
        (one.place, '[build]\nrustc = "/bin/false"\n'),
        (one.home, '[build]\nrustflags = ["--cfg", "evil"]\n[profile.release]\nopt-level = 0\n'),
    ):
        (folder / ".cargo").mkdir()
        (folder / ".cargo/config.toml").write_text(text, encoding="utf-8")


def _namespaces() -> tuple[str, ...]:
    for wrapper in _NAMESPACES:
        if _output(*wrapper, "true") is not None:
            return wrapper
    return ()


def _with_facts(one: Circumstances) -> Circumstances:
    """The same, with what a program that runs in it would see."""
    env = one.env
    noise = [name for name in ("CFLAGS", "RUSTFLAGS", "SOURCE_DATE_EPOCH") if name in env]
    times = one.file_time or 0
    facts = {
        "path": str(one.source),
        "user": f"{env['USER']} ({_output(*one.wrapper, 'id', '-u') or 'unknown'})",
        "host name": _output(*one.wrapper, "uname", "-n") or "unknown",
        "umask": f"{one.umask:04o}",
        "time zone": env["TZ"],
        "locale": env.get("LC_ALL", env["LANG"]),
        "processors": _output(*one.wrapper, "nproc") or "unknown",
        "actions at once": str(one.jobs),
        "order of files": "last first" if one.backwards else "first first",
        "times of files": time.strftime("%Y-%m-%d", time.gmtime(times)),
        "variables": ", ".join(noise) or "none",
        "settings of cargo": "hostile ones in the home and above" if one.user_settings else "none",
    }
    return Circumstances(
        one.place, env, one.umask, one.wrapper, one.jobs, one.backwards, one.file_time,
        one.user_settings, facts,
    )  # fmt: skip


def _output(*words: str) -> str | None:
    """What a program prints; None if it cannot run here."""
    try:
        done = subprocess.run(
            words, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    return done.stdout.decode(locale.getencoding(), "replace").strip()
