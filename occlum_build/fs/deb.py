"""A Debian package as a tree, without running anything that is in it.

deb(5), ar(5), deb-control(5). Maintainer scripts, owners and times are left
behind; so are triggers and alternatives, which only scripts would make.
"""

from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Final

from occlum_build.fs.archive import read_foreign_archive, write_archive
from occlum_build.fs.content import STRIDE_BYTES, Storage
from occlum_build.fs.decompression import METHODS, decompress
from occlum_build.fs.origins import render_origins
from occlum_build.fs.problem import Code, refusal, shown_name
from occlum_build.fs.scratch import scratch
from occlum_build.fs.tree import Kind, Origin, Tree
from occlum_build.output_file import replacing

_AR_MAGIC: Final = b"!<arch>\n"
_AR_HEADER_BYTES: Final = 60
_AR_HEADER_END: Final = b"`\n"
_MAX_AR_MEMBERS: Final = 100
_MAX_CONTROL_BYTES: Final = 64 << 20
_MAX_CONTROL_FILE_BYTES: Final = 1 << 20
_MAX_DATA_BYTES: Final = 16 << 30


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the package must say about itself; None where anything will do."""

    package: str | None = None
    version: str | None = None
    architecture: str | None = None


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    start: int
    size: int


def unpack(
    package_file: Path, output: Path, expected: Expectation, origins: Path | None = None
) -> Origin:
    """Write the files of a package to `output` as a canonical tar, and their `origins`.

    It returns the one origin that they all have: what the package says of itself, and the
    digest of the package.
    """
    storage = Storage.open(package_file)
    control, data = _members(storage)
    with scratch(output) as spool:
        decompress(storage, control.start, control.size, control.name, spool, _MAX_CONTROL_BYTES)
        spooled = Storage.of(spool, f"{storage.name}({control.name})")
        about = _control_fields(read_foreign_archive(spooled), storage)
        _check_expected(storage, about, expected)
    origin = {
        "deb": {
            **{one.name: about[one.name] for one in fields(Expectation)},
            "sha256": _digest(storage),
        }
    }
    with scratch(output) as spool:
        decompress(storage, data.start, data.size, data.name, spool, _MAX_DATA_BYTES)
        tree = read_foreign_archive(Storage.of(spool, f"{storage.name}({data.name})"))
        with replacing(output) as archive:
            write_archive(tree, archive)
    if origins is not None:
        with replacing(origins) as file:
            file.write(render_origins(tree, origin))
    return origin


def _digest(storage: Storage) -> str:
    digest = sha256()
    for offset in range(0, storage.size, STRIDE_BYTES):
        digest.update(storage.read(offset, min(STRIDE_BYTES, storage.size - offset)))
    return digest.hexdigest()


def _members(storage: Storage) -> tuple[_Member, _Member]:
    """The control and the data member, which come second and third."""
    if storage.read_up_to(0, len(_AR_MAGIC)) != _AR_MAGIC:
        raise _broken(storage, "it does not start as an ar archive")
    found: list[_Member] = []
    offset = len(_AR_MAGIC)
    while offset < storage.size and len(found) < _MAX_AR_MEMBERS:
        member = _ar_member(storage, offset)
        offset = member.start + member.size + member.size % 2
        if not member.name.startswith("_"):  # deb(5): programs ignore those
            found.append(member)
    names = [member.name for member in found]
    if names[:1] != ["debian-binary"]:
        raise _broken(storage, "its first member is not `debian-binary`")
    version = storage.read(found[0].start, min(found[0].size, 8))
    if not version.startswith(b"2."):
        raise _broken(storage, "its format version is not 2")
    if [name.partition(".tar")[0] for name in names[1:3]] != ["control", "data"]:
        raise _broken(storage, "`control.tar` and `data.tar` do not follow `debian-binary`")
    for member in found[1:3]:
        suffix = member.name.partition(".tar")[2]
        if suffix not in METHODS:
            raise refusal(
                Code.BAD_PACKAGE,
                f"`{member.name}` is compressed in a way that cannot be read here",
                file=storage.name,
                notes=[f"known are {', '.join(sorted(name or 'none' for name in METHODS))}"],
                helps=["repack it: `dpkg-deb --raw-extract`, then `dpkg-deb -Zxz --build`"],
            )
    return found[1], found[2]


def _ar_member(storage: Storage, offset: int) -> _Member:
    header = storage.read_up_to(offset, _AR_HEADER_BYTES)
    size = header[48:58].strip()
    if len(header) < _AR_HEADER_BYTES or header[58:] != _AR_HEADER_END or not size.isdigit():
        raise _broken(storage, f"there is no ar header at byte {offset}")
    name = header[:16].rstrip().removesuffix(b"/")
    member = _Member(shown_name(name), offset + _AR_HEADER_BYTES, int(size))
    if member.start + member.size > storage.size:
        raise _broken(storage, f"its member `{member.name}` is cut short")
    return member


def _control_fields(tree: Tree, storage: Storage) -> dict[str, str]:
    """The fields of the control file; of folded ones only the first line."""
    node = tree.names.get(b"control")
    if node is None or node.kind is not Kind.FILE or node.content is None:
        raise _broken(storage, "it has no control file")
    if node.size > _MAX_CONTROL_FILE_BYTES:
        raise _broken(storage, "its control file is too large")
    try:
        text = node.content.read(0, node.size).decode()
    except UnicodeDecodeError as failure:
        raise _broken(storage, "its control file is not UTF-8") from failure
    found: dict[str, str] = {}
    for line in text.strip("\n").split("\n"):
        name, colon, value = line.partition(":")
        if line.startswith((" ", "\t", "#")):
            continue
        if not colon or name.lower() in found:
            raise _broken(storage, "its control file is malformed")
        found[name.lower()] = value.strip()
    return found


def _check_expected(storage: Storage, control: dict[str, str], expected: Expectation) -> None:
    for field in fields(Expectation):
        wanted: str | None = getattr(expected, field.name)
        found = control.get(field.name)
        if not found:
            raise _broken(storage, f"its control file has no field `{field.name.title()}`")
        if wanted is not None and found != wanted:
            raise refusal(
                Code.OTHER_PACKAGE,
                f"the package is not the one that was asked for: its {field.name} is `{found}`",
                file=storage.name,
                notes=[f"`{wanted}` was expected"],
                helps=["correct the lock file, or fetch the package again"],
            )


def _broken(storage: Storage, why: str) -> Exception:
    return refusal(Code.BAD_PACKAGE, f"the Debian package is malformed: {why}", file=storage.name)
