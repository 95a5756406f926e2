"""The arguments by which every verb of this package is given an enclave."""

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # reading an enclave is for the verb that runs
    from occlum_build.enclave_file.companions import Companions
    from occlum_build.enclave_file.image import EnclaveImage

_FILE_HELP: Final = (
    "a bundle, an SGXS file, an enclave signed by `sgx_sign`, `oesign` or `ego sign`,"
    " or a Gramine manifest"
)


def add_enclave_arguments(parser: argparse.ArgumentParser) -> None:
    """`FILE`, and the files that belong to it if they cannot be found beside it."""
    parser.add_argument("file", metavar="FILE", help=_FILE_HELP)
    add_companion_arguments(parser)


def add_companion_arguments(parser: argparse.ArgumentParser, side: str = "") -> None:
    """The files that belong to an enclave alone; `side` ends the options if there are two."""
    parser.add_argument(
        f"--signature{side}", metavar="FILE", help="its SIGSTRUCT, if it is a file of its own"
    )
    parser.add_argument(
        f"--libpal{side}", metavar="FILE", help="Gramine's `libpal.so`, with a Gramine manifest"
    )
    parser.add_argument(
        f"--ego-enclave{side}", metavar="FILE", help="EGo's `ego-enclave`, with an EGo program"
    )


def companions(arguments: argparse.Namespace, side: str = "") -> "Companions":
    """The files that belong to an enclave, as far as they were given."""
    from occlum_build.enclave_file.companions import Companions

    names = (f"{name}{side.replace('-', '_')}" for name in ("signature", "libpal", "ego_enclave"))
    return Companions(*(getattr(arguments, name) for name in names))


def given_enclave(
    arguments: argparse.Namespace, file: str = "file", side: str = ""
) -> "EnclaveImage":
    """The enclave that was given; raises `DiagnosticError` if it cannot be read."""
    from occlum_build.enclave_file.read import read_enclave

    return read_enclave(getattr(arguments, file), companions(arguments, side))
