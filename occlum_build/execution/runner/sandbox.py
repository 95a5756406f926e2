"""The sandbox: a directory that holds an action's declared inputs and nothing else.

It keeps an honest command from reading by a relative path what it did not declare; what
lies outside, its walls hide (see `walls`).
"""

import os
import stat
from typing import Self

from occlum_build.execution.files import (
    Identity,
    identity,
    identity_of,
    is_executable,
    make_parents,
    remove,
    tree,
)
from occlum_build.execution.runner.walls import HOST_NAME, Walls
from occlum_build.execution.spec import Spec, SpecInput

_LINK_FROM_BYTES = 16 << 20
"""Above this size an input is a link, not a copy: images of gigabytes are read, not edited."""
_TIME_SECONDS = 946_684_800
"""The time stamp of every input, 2000-01-01: real ones would differ between machines."""


class UndeclaredError(Exception):
    """An input that should exist does not."""


class Sandbox:
    """The directory tree of one run of one action; removed on exit unless kept."""

    def __init__(self, spec: Spec, *, keep: bool = False) -> None:
        """Prepare the sandbox of `spec`; `keep` leaves it for its user to look at."""
        self._spec = spec
        self._keep = keep
        base = f"{spec.workspace}/{spec.sandbox}"
        self._base = base
        self.root = f"{base}/root"
        self.home = f"{base}/home"
        self.temporary = ""
        self._links: list[tuple[SpecInput, str, list[Identity | None]]] = []

    def __enter__(self) -> Self:
        try:
            self._fill()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    def _fill(self) -> None:
        remove(self._base)
        os.makedirs(self.root)
        os.makedirs(self.home)
        self.temporary = _temporary_directory()
        for one in () if self._spec.is_lineage else self._spec.inputs:
            self._place(one)
        for output in self._spec.outputs:
            make_parents(f"{self.root}/{output.path}")

    def _discard(self) -> None:
        if self.temporary:
            remove(self.temporary)
        if not self._keep:
            remove(self._base)

    def changed_links(self) -> list[SpecInput]:
        """The inputs that are links, not copies, and were written to since they were placed."""
        return [one for one, source, known in self._links if _identities(source) != known]

    def walls(self) -> Walls | None:
        """What is hidden from the command; None if it is one that nothing is hidden from.

        A test may look at the machine, and a fetch needs the network and the user's settings
        of it: what they find out is a result, or is checked by its digest.
        """
        spec = self._spec
        if spec.is_test or spec.network:
            return None
        hidden = [spec.workspace, "/tmp", "/var/tmp"]  # noqa: S108  # hidden, not used
        hidden += [one for one in (os.environ.get("HOME", ""),) if os.path.isabs(one)]
        kept = [self.root, self.home, self.temporary, *spec.visible]
        kept += [source for _, source, _ in self._links]
        host_name = f"{self._base}/hostname"
        with open(host_name, "w", encoding="ascii") as file:
            file.write(f"{HOST_NAME}\n")
        return Walls(hidden, kept, host_name)

    def _place(self, one: SpecInput) -> None:
        target = f"{self.root}/{one.path}"
        source = one.place if one.place.startswith("/") else f"{self._spec.workspace}/{one.place}"
        make_parents(target)
        try:
            status = os.stat(source)
        except FileNotFoundError:
            raise UndeclaredError(one.path) from None
        if one.is_directory or status.st_size > _LINK_FROM_BYTES:
            os.symlink(source, target)
            self._links.append((one, source, _identities(source)))
            return
        _copy(source, target)
        os.chmod(target, 0o755 if is_executable(status) else 0o644)
        os.utime(target, (_TIME_SECONDS, _TIME_SECONDS))


def _temporary_directory() -> str:
    """A directory outside of every workspace: what runs in it must not find ours above it."""
    chosen = os.environ.get("TMPDIR", "")
    is_usable = os.path.isabs(chosen) and os.path.isdir(chosen)
    parent = chosen if is_usable else "/tmp"  # noqa: S108  # a random name, mode 0700
    path = f"{parent}/occlum-build-{os.urandom(8).hex()}"
    os.mkdir(path, 0o700)
    return path


def normalize(path: str) -> str | None:
    """Give an output, or every file of an output tree, a mode that no umask decides.

    A device, pipe or socket among them is returned: reading it might never end.
    """
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return None
    if stat.S_ISDIR(status.st_mode):
        os.chmod(path, 0o755)  # noqa: S103  # as a checkout has it
        found = (normalize(f"{path}/{name}") for name in sorted(os.listdir(path)))
        return next((one for one in found if one is not None), None)
    if not stat.S_ISREG(status.st_mode):
        return path
    os.chmod(path, 0o555 if is_executable(status) else 0o444)
    return None


def _identities(path: str) -> list[Identity | None]:
    """The identity of a file, or of all that a directory holds."""
    below = tree(path) if os.path.isdir(path) else ()
    return [identity_of(path), *(identity(os.lstat(one)) for _, one in below)]


def _copy(source: str, target: str) -> None:
    with open(source, "rb", buffering=0) as reader, open(target, "wb", buffering=0) as writer:
        while True:
            try:
                count = os.copy_file_range(reader.fileno(), writer.fileno(), 1 << 30)
            except OSError:
                count = os.sendfile(writer.fileno(), reader.fileno(), None, 1 << 30)
            if not count:
                return
