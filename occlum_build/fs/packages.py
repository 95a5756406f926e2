"""The Debian packages of a directory, as layers of a root file system."""

from pathlib import Path

from occlum_build.fs.deb import Expectation, unpack
from occlum_build.fs.problem import Code, refusal, unreadable
from occlum_build.fs.specification import Layer, Specification

_SUFFIX = ".deb"


def package_layers(specification: Specification, folder: Path) -> tuple[Layer, ...]:
    """A layer for each package that the specification names, unpacked into `folder`.

    Each file's name is the name that the package must give itself. The layers last as
    long as `folder` does.
    """
    if specification.debs is None:
        return ()
    archives = Path(specification.debs)
    try:
        files = sorted(archives.iterdir())
    except OSError as failure:
        raise unreadable(str(archives), failure) from failure
    layers = []
    for file in files:
        if file.suffix != _SUFFIX:
            raise refusal(Code.BAD_PACKAGE, "it is no Debian package", file=str(file))
        tar = folder / f"{file.stem}.tar"
        origin = unpack(file, tar, Expectation(package=file.stem))
        layers.append(Layer(str(tar), file.stem, (), specification.debs_exclude, origin))
    return tuple(layers)
