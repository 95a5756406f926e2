"""Files on disk: digests, identities, and writing so that nobody sees half a file.

Standard library only: the action runner and the fast path import it.
"""

import hashlib
import os
import stat
from collections.abc import Iterator

Identity = list[int]
"""What a stat says of a file: equal identities mean that nobody wrote it in between."""


def identity(status: os.stat_result) -> Identity:
    """The parts of a stat that change when a file's content, mode or place changes."""
    return [
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino,
        status.st_mode,
    ]


def identity_of(path: str) -> Identity | None:
    """The identity of what `path` leads to; None if nothing is there."""
    try:
        return identity(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def file_digest(path: str) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_executable(status: os.stat_result) -> bool:
    """Whether the owner may execute it: the one mode bit that a build may depend on."""
    return bool(status.st_mode & stat.S_IXUSR)


def tree_digest(root: str) -> str:
    """SHA-256 over all that a directory holds: names, contents, links and execute bits."""
    digest = hashlib.sha256()
    for name, path in tree(root):
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            line = f"link {name}\0{os.readlink(path)}"
        elif stat.S_ISDIR(status.st_mode):
            line = f"directory {name}"
        else:
            mode = "x" if is_executable(status) else "-"
            line = f"file {name}\0{mode}\0{file_digest(path)}"
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def tree(root: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each entry below a directory, as a relative name and a path, in a fixed order."""
    for name in sorted(os.listdir(root)):
        path = f"{root}/{name}"
        yield f"{prefix}{name}", path
        if stat.S_ISDIR(os.lstat(path).st_mode):
            yield from tree(path, f"{prefix}{name}/")


def write_atomically(path: str, content: bytes) -> None:
    """Make `path` hold `content`; on failure it holds what it held before."""
    temporary = f"{path}.{os.getpid()}.new"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def write_if_different(path: str, content: bytes) -> bool:
    """Make `path` hold `content`, without touching it if it does; True if it was written."""
    try:
        with open(path, "rb") as file:
            if file.read() == content:
                return False
    except (FileNotFoundError, NotADirectoryError):
        pass
    write_atomically(path, content)
    return True


def make_parents(path: str) -> None:
    """Make the directories that `path` lies in; a file that is in the way goes."""
    parent = os.path.dirname(path)
    if not parent:
        return
    try:
        os.makedirs(parent, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        part = parent
        while part and not os.path.lexists(part):
            part = os.path.dirname(part)
        remove(part)
        os.makedirs(parent, exist_ok=True)


def remove(path: str) -> None:
    """Remove a file, a link or a whole tree; nothing there is fine. Links are not followed."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    if not stat.S_ISDIR(status.st_mode):
        os.unlink(path)
        return
    os.chmod(path, 0o700)
    for name in os.listdir(path):
        remove(f"{path}/{name}")
    os.rmdir(path)
