"""The arguments by which every verb of this package is given an enclave."""

import argparse
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # reading an enclave is for the verb that runs
    from occlum_build.enclave_file.image import EnclaveImage

_FILE_HELP: Final = (
    "a bundle, an SGXS file, an enclave signed by `sgx_sign`, `oesign` or `ego sign`,"
    " or a Gramine manifest"
)


def add_enclave_arguments(parser: argparse.ArgumentParser) -> None:
    """`FILE`, and the files that belong to it if they cannot be found beside it."""
    parser.add_argument("file", metavar="FILE", help=_FILE_HELP)
    add_companion_arguments(parser)


def add_companion_arguments(parser: argparse.ArgumentParser) -> None:
    """The files that belong to an enclave alone."""
    parser.add_argument(
        "--signature", metavar="FILE", help="its SIGSTRUCT, if it is a file of its own"
    )
    parser.add_argument(
        "--libpal", metavar="FILE", help="Gramine's `libpal.so`, with a Gramine manifest"
    )
    parser.add_argument(
        "--ego-enclave", metavar="FILE", help="EGo's `ego-enclave`, with an EGo program"
    )


def given_enclave(arguments: argparse.Namespace) -> "EnclaveImage":
    """The enclave that was given; raises `DiagnosticError` if it cannot be read."""
    from occlum_build.enclave_file.companions import Companions
    from occlum_build.enclave_file.read import read_enclave

    companions = Companions(arguments.signature, arguments.libpal, arguments.ego_enclave)
    return read_enclave(arguments.file, companions)
