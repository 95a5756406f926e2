"""Walls around an action: no network, no host name, none of the user's files but declared ones.

They are namespaces of the kernel (`namespaces(7)`): as root as they are, else inside a user
namespace. They keep an honest command from depending on what nobody declared, and are no
defence against a hostile one. Where the kernel permits none, the action runs without and
`raise_walls` says so.
"""

import fcntl
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# linux/sched.h, linux/mount.h, linux/sockios.h, linux/if.h
_CLONE_NEWNS: Final = 0x0002_0000
_CLONE_NEWUTS: Final = 0x0400_0000
_CLONE_NEWUSER: Final = 0x1000_0000
_CLONE_NEWNET: Final = 0x4000_0000
_MS_RDONLY: Final = 1
_MS_NOSUID: Final = 2
_MS_NODEV: Final = 4
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 0x1000
_MS_REC: Final = 0x4000
_MS_PRIVATE: Final = 1 << 18
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1

HOST_NAME: Final = "localhost"
_HOST_NAME_FILE: Final = "/etc/hostname"
_WRITABLE: Final = ("/tmp", "/var/tmp")  # noqa: S108  # everybody's, and the action's own now
_SYSTEM: Final = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr")
"""What stays, wherever a user's home lies."""


@dataclass
class Walls:
    """What an action must not see, and what of that it sees after all.

    `hidden` are directories that look empty. `kept` are files and directories below them
    that stay where they are. `host_name` is a file with another host name.
    """

    hidden: list[str]
    kept: list[str]
    host_name: str


class WallError(Exception):
    """The wall for files stands by half: the process must not go on."""


def raise_walls(walls: Walls, *, hides_files: bool = True) -> list[str]:
    """Put this process, and what it becomes, behind walls; what is missing of them.

    Raises:
        WallError: some files are hidden and some not.
    """
    kernel = _Kernel()
    if kernel.unshare(_CLONE_NEWNS) and (why_not := kernel.become_its_own_root()):
        return [f"network and files: {why_not}"]
    missing = []
    if why_not := kernel.unshare(_CLONE_NEWNET) or _start_loopback():
        missing.append(f"network: {why_not}")
    if not kernel.unshare(_CLONE_NEWUTS):
        kernel.name_host(HOST_NAME)
    if not hides_files:
        return missing
    if why_not := kernel.unshare(_CLONE_NEWNS):
        return [*missing, f"files: {why_not}"]
    try:
        _hide(kernel, walls)
    except OSError as problem:
        raise WallError(f"files: {problem.strerror}: {problem.filename}") from None
    return missing


class _Kernel:
    """The system calls that Python has no functions for."""

    def __init__(self) -> None:
        import ctypes  # most actions have nothing to do, and never come here

        self._ctypes = ctypes
        self._libc = ctypes.CDLL(None, use_errno=True)

    def unshare(self, flags: int) -> str:
        """Leave the namespaces of these kinds; why that is impossible, or nothing."""
        return os.strerror(self._ctypes.get_errno()) if self._libc.unshare(flags) else ""

    def name_host(self, name: str) -> None:
        """Give the host a name, for this process and what it becomes."""
        self._libc.sethostname(name.encode(), len(name))

    def become_its_own_root(self) -> str:
        """Enter a user namespace with the same user in it; why that is impossible, or nothing."""
        user, group = os.geteuid(), os.getegid()
        if why_not := self.unshare(_CLONE_NEWUSER):
            return why_not
        try:
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"{user} {user} 1"),
                ("gid_map", f"{group} {group} 1"),
            ):
                with open(f"/proc/self/{name}", "w", encoding="utf-8") as file:
                    file.write(text)
        except OSError as problem:
            return str(problem.strerror)
        return ""

    def mount(self, source: str, target: str, kind: str, flags: int, options: str = "") -> None:
        """Call `mount(2)`.

        Raises:
            OSError: it failed.
        """
        words = (os.fsencode(one) if one else None for one in (source, target, kind))
        if self._libc.mount(*words, self._ctypes.c_ulong(flags), os.fsencode(options) or None):
            number = self._ctypes.get_errno()
            raise OSError(number, os.strerror(number), target)


def _start_loopback() -> str:
    """Bring up the network that leads nowhere: a program may talk to itself."""
    import socket

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sH14x", b"lo", _IFF_UP)
            fcntl.ioctl(any_socket, _SIOCSIFFLAGS, request)
    except OSError as problem:
        return str(problem.strerror)
    return ""


def _hide(kernel: _Kernel, walls: Walls) -> None:
    kernel.mount("", "/", "", _MS_REC | _MS_PRIVATE)
    if os.path.isfile(_HOST_NAME_FILE):
        kernel.mount(walls.host_name, os.path.realpath(_HOST_NAME_FILE), "", _MS_BIND)
    kept = {path: os.open(path, os.O_PATH) for path in _outermost(spellings(walls.kept))}
    flags = _MS_NOSUID | _MS_NODEV
    for hidden in to_hide(walls):
        kernel.mount("tmpfs", hidden, "tmpfs", flags, "mode=1777")
        for path, place in kept.items():
            if is_below(path, hidden):
                _make_place(path, like=place)
                kernel.mount(f"/proc/self/fd/{place}", path, "", _MS_BIND | _MS_REC)
        if hidden not in _WRITABLE:
            kernel.mount("", hidden, "", _MS_REMOUNT | _MS_BIND | _MS_RDONLY | flags)
    for place in kept.values():
        os.close(place)


def _make_place(path: str, *, like: int) -> None:
    """Make an empty directory or file for something to be shown at."""
    if os.path.isdir(f"/proc/self/fd/{like}"):
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


def to_hide(walls: Walls) -> list[str]:
    """The directories that become empty, none inside another.

    One that lies in something that is kept stays as it is: the home of a user may be `/usr`.
    """
    kept = [*_SYSTEM, *spellings(walls.kept)]
    found = (os.path.realpath(one) for one in walls.hidden)
    return _outermost(
        one
        for one in found
        if one != "/"
        and os.path.isdir(one)
        and not any(one == kept_one or is_below(one, kept_one) for kept_one in kept)
    )


def spellings(paths: Iterable[str]) -> list[str]:
    """`paths` that exist, and what they lead to, if they are links, at every step."""
    found: dict[str, None] = {}
    for path in paths:
        one = path
        while os.path.lexists(one) and one not in found:
            found[one] = None
            found[os.path.realpath(one)] = None
            if not os.path.islink(one):
                break
            one = os.path.normpath(f"{os.path.dirname(one)}/{os.readlink(one)}")
    return [one for one in found if os.path.exists(one)]


def is_below(path: str, directory: str) -> bool:
    """Whether `path` lies in `directory`, as they are spelt."""
    return path.startswith(f"{directory}/")


def _outermost(paths: Iterable[str]) -> list[str]:
    found: list[str] = []
    for path in sorted(set(paths), key=len):
        if not any(is_below(path, one) for one in found):
            found.append(path)
    return found
