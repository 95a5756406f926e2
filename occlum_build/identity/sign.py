"""`occlum-build sign`: with a key in a file, on a device, or in two steps with one elsewhere."""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

from occlum_build.diagnostic import DiagnosticError, error, render
from occlum_build.identity.bundle import rebundle
from occlum_build.identity.enclave_argument import add_companion_arguments, companions
from occlum_build.identity.signable import (
    Signable,
    changed,
    check_debuggable,
    read_file,
    read_signable,
)
from occlum_build.output_file import replacing
from occlum_build.sgx.attributes import AttributeFlags, Attributes
from occlum_build.sgx.sigstruct import EnclaveIdentity, SigStruct

SCHEMA: Final = 1
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_ID_BYTES: Final = 16
_MRSIGNER_BYTES: Final = 32
_ALL_64: Final = (1 << 64) - 1
_MAX_SIGNATURE_BYTES: Final = 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of the verb."""
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="a bundle or another enclave, a SIGSTRUCT, or the 256 bytes of `--emit-tbs`",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help="the SIGSTRUCT to write; for a bundle a directory that is not there yet",
    )
    add_companion_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print what was signed as JSON")
    _key_arguments(parser.add_argument_group("the key: one of these"))
    _device_arguments(parser.add_argument_group("a key on a PKCS#11 device"))
    _field_arguments(parser.add_argument_group("what is signed, where it is not as it was"))


def _key_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--key", type=Path, metavar="PEM", help="a private key, RSA-3072, exponent 3"
    )
    group.add_argument(
        "--pkcs11-module", type=Path, metavar="PATH", help="the library of a device with the key"
    )
    group.add_argument(
        "--emit-tbs", type=Path, metavar="FILE", help="write the 256 bytes to sign elsewhere"
    )
    group.add_argument(
        "--attach", type=Path, metavar="FILE", help="the 384 bytes that were made elsewhere"
    )
    group.add_argument(
        "--public-key", type=Path, metavar="PEM", help="the public half, with `--attach`"
    )
    group.add_argument(
        "--mrsigner", type=_hash, metavar="HASH", help="refuse a key with another MRSIGNER"
    )


def _device_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--token", metavar="LABEL", help="the label of the token")
    group.add_argument("--token-serial", metavar="SERIAL", help="the serial number of the token")
    group.add_argument("--key-id", type=_key_id, metavar="HEX", help="the id of the key (CKA_ID)")
    group.add_argument("--pin-file", type=Path, metavar="FILE", help="its first line is the PIN")
    group.add_argument("--pin-env", metavar="NAME", help="the environment variable with the PIN")


def _field_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--metadata", type=Path, metavar="JSON", help="`NAME_measured.metadata.json` of a build"
    )
    group.add_argument("--date", type=_date, help="DATE: YYYY-MM-DD, or 0000-00-00 for none")
    group.add_argument(
        "--product-id", dest="isv_prod_id", type=_uint16, metavar="N", help="ISVPRODID"
    )
    group.add_argument(
        "--version-number", dest="isv_svn", type=_uint16, metavar="N", help="ISVSVN"
    )
    group.add_argument(
        "--debuggable", choices=("true", "false"), help="whether the host may start it with DEBUG"
    )
    group.add_argument("--enable-kss", choices=("true", "false"), help="ATTRIBUTES.KSS")
    group.add_argument(
        "--family-id", type=_identifier, metavar="HEX", help="ISVFAMILYID, 16 bytes"
    )
    group.add_argument(
        "--ext-prod-id", type=_identifier, metavar="HEX", help="ISVEXTPRODID, 16 bytes"
    )
    group.add_argument(
        "--attributes", type=_attributes, metavar="FLAGS:XFRM", help="both halves, as `0x4:0x3`"
    )
    group.add_argument(
        "--attribute-mask",
        type=_attributes,
        metavar="FLAGS:XFRM",
        help="which of these bits the host cannot choose",
    )
    group.add_argument("--misc-select", type=_uint32, metavar="BITS", help="MISCSELECT")
    group.add_argument(
        "--misc-mask",
        type=_uint32,
        metavar="BITS",
        help="which bits of MISCSELECT the host cannot choose",
    )


_FIELDS: Final = (
    "date",
    "isv_prod_id",
    "isv_svn",
    "debuggable",
    "enable_kss",
    "family_id",
    "ext_prod_id",
    "attributes",
    "attribute_mask",
    "misc_select",
    "misc_mask",
)


def run(arguments: argparse.Namespace) -> int:
    """Sign, or write what is to be signed; raises `DiagnosticError`."""
    way = _way(arguments)
    signable = read_signable(arguments.file, arguments.metadata, companions(arguments))
    identity = changed(signable.identity, _wanted(arguments))
    check_debuggable(signable, identity)
    if way == "emit_tbs":
        _write(arguments.emit_tbs, identity.signed_bytes())
        _report(arguments, signable, identity, None, arguments.emit_tbs)
        return 0
    sigstruct = _WAYS[way](arguments, identity)
    if signable.bundle is None:
        _write(arguments.output, sigstruct.pack())
    else:
        rebundle(signable.bundle, sigstruct, arguments.output)
    _report(arguments, signable, identity, sigstruct, arguments.output)
    return 0


def _way(arguments: argparse.Namespace) -> str:
    """Which of the ways to sign was asked for; raises `DiagnosticError` if none or several."""
    ways = [
        name for name in ("key", "pkcs11_module", "emit_tbs", "attach") if getattr(arguments, name)
    ]
    options = ", ".join(f"`--{name.replace('_', '-')}`" for name in ways)
    if not ways:
        raise _misuse(
            "no key is named",
            "name one with `--key PEM` or `--pkcs11-module PATH`;"
            " with a key elsewhere write what it has to sign with `--emit-tbs FILE`",
        )
    if len(ways) > 1:
        raise _misuse(f"{options} are different ways to sign", "give one of them")
    (way,) = ways
    for option, needed_by in _NEEDED.items():
        is_given = getattr(arguments, option) is not None
        name = f"`--{option.replace('_', '-')}`"
        if way in needed_by and not is_given:
            raise _misuse(f"{options} needs {name}", _NEEDED_FOR[option])
    for option, usable_by in _USABLE.items():
        if getattr(arguments, option) is not None and way not in usable_by:
            name = f"`--{option.replace('_', '-')}`"
            raise _misuse(f"{name} means nothing with {options}", f"leave {name} out")
    return way


_SIGNING: Final = ("key", "pkcs11_module", "attach")
_NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "output": _SIGNING,
    "public_key": ("attach",),
    "key_id": ("pkcs11_module",),
}
_NEEDED_FOR: Final = {
    "output": "`--output PATH` says where the result goes",
    "public_key": "`--public-key PEM` is the key that the signature is checked against",
    "key_id": "`--key-id HEX` names the key; a label is no name, as two keys can have the same",
}
_USABLE: Final[dict[str, tuple[str, ...]]] = {
    **_NEEDED,
    "mrsigner": _SIGNING,
    "token": ("pkcs11_module",),
    "token_serial": ("pkcs11_module",),
    "pin_file": ("pkcs11_module",),
    "pin_env": ("pkcs11_module",),
}


def _sign_with_file(arguments: argparse.Namespace, identity: EnclaveIdentity) -> SigStruct:
    from occlum_build.sgx.key import read_private_key
    from occlum_build.sgx.sign import check_signer, sign

    key = read_private_key(arguments.key)
    _warn_of_readers(arguments.key, "private key")
    check_signer(key.public_key().public_numbers().n, arguments.mrsigner, str(arguments.key))
    return sign(identity, key)


def _sign_on_device(arguments: argparse.Namespace, identity: EnclaveIdentity) -> SigStruct:
    from occlum_build.sgx.device_key import DeviceKey, sign_on_device
    from occlum_build.sgx.sign import attach, check_signer

    module: Path = arguments.pkcs11_module
    key = DeviceKey(module, arguments.key_id, arguments.token, arguments.token_serial)
    modulus, signature = sign_on_device(
        key,
        identity.signed_bytes(),
        pin=lambda: _pin(arguments),
        check=lambda found: check_signer(found, arguments.mrsigner, str(module)),
    )
    return attach(identity, modulus, signature, str(module))


def _warn_of_readers(path: Path, what: str) -> None:
    from occlum_build.private_file import readable_by_others

    if (open_to_others := readable_by_others(path, what)) is not None:
        sys.stderr.write(f"{render(open_to_others)}\n")


def _attach(arguments: argparse.Namespace, identity: EnclaveIdentity) -> SigStruct:
    from occlum_build.sgx.key import read_public_key
    from occlum_build.sgx.sign import attach, check_signer

    modulus = read_public_key(arguments.public_key).public_numbers().n
    check_signer(modulus, arguments.mrsigner, str(arguments.public_key))
    signature = read_file(arguments.attach, _MAX_SIGNATURE_BYTES)
    return attach(identity, modulus, signature, str(arguments.attach))


_WAYS: Final = {"key": _sign_with_file, "pkcs11_module": _sign_on_device, "attach": _attach}


def _pin(arguments: argparse.Namespace) -> str:
    """The PIN; never an argument, which every process of the machine could read."""
    if arguments.pin_file is not None:
        _warn_of_readers(arguments.pin_file, "PIN")
        text = read_file(arguments.pin_file, _MAX_SIGNATURE_BYTES).decode("utf-8", "replace")
        return text.split("\n", 1)[0].rstrip("\r")
    if arguments.pin_env is not None:
        value = os.environ.get(arguments.pin_env)
        if value is None:
            raise _misuse(f"the variable `{arguments.pin_env}` is not set", "it holds the PIN")
        return value
    if not sys.stdin.isatty():
        raise _misuse(
            "there is no terminal to ask for the PIN on",
            "name a file with `--pin-file FILE` or a variable with `--pin-env NAME`",
        )
    from getpass import getpass

    return getpass("PIN of the token: ")


def _wanted(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in _FIELDS}
    booleans = {"true": True, "false": False}
    return {
        name: booleans[value] if name in ("debuggable", "enable_kss") else value
        for name, value in given.items()
        if value is not None
    }


def _report(
    arguments: argparse.Namespace,
    signable: Signable,
    identity: EnclaveIdentity,
    sigstruct: SigStruct | None,
    output: Path,
) -> None:
    facts = {
        "mrenclave": identity.mrenclave.hex(),
        "is_measured": signable.is_measured,
        "mrsigner": None if sigstruct is None else sigstruct.mrsigner.hex(),
        "isv_prod_id": identity.isv_prod_id,
        "isv_svn": identity.isv_svn,
        "date": identity.date,
        "debug": bool(identity.attributes.flags & AttributeFlags.DEBUG),
        "output": str(output),
    }
    if arguments.json:
        document = {"schema": f"occlum-build/sign/{SCHEMA}", **facts}
        sys.stdout.write(json.dumps(document, sort_keys=True, indent=2) + "\n")
        return
    claimed = "" if signable.is_measured else "  (as the file claims: nothing was measured)"
    lines = [f"  MRENCLAVE {facts['mrenclave']}{claimed}"]
    if sigstruct is not None:
        lines.append(f"  MRSIGNER  {facts['mrsigner']}")
    who = f"product {identity.isv_prod_id}, version {identity.isv_svn}"
    lines.append(f"  {who}, {_dated(identity.date)}, debug mode {_debug_mode(identity)}")
    if sigstruct is None:
        lines.append(
            "to be signed as RSA-3072 with exponent 3, PKCS#1 v1.5 and SHA-256;"
            " `--attach` takes the signature"
        )
    sys.stdout.write(f"{output}\n" + "".join(f"{line}\n" for line in lines))


def _dated(date: str) -> str:
    if not date.strip("0"):
        return "no date"
    return f"dated {date[:4]}-{date[4:6]}-{date[6:]}"


def _debug_mode(identity: EnclaveIdentity) -> str:
    """What EINIT does with a host that sets DEBUG."""
    if not identity.attribute_mask.flags & AttributeFlags.DEBUG:
        return "allowed"
    return "demanded" if identity.attributes.flags & AttributeFlags.DEBUG else "forbidden"


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as output:
        output.write(content)


def _misuse(message: str, help_text: str) -> DiagnosticError:
    return DiagnosticError(error("OB0001", message, helps=(help_text,)))


def _hash(text: str) -> bytes:
    return _hex(text, _MRSIGNER_BYTES)


def _identifier(text: str) -> bytes:
    return _hex(text, _ID_BYTES)


def _hex(text: str, size: int) -> bytes:
    if not re.fullmatch(f"[0-9A-Fa-f]{{{2 * size}}}", text):
        raise argparse.ArgumentTypeError(f"`{text}` is not {2 * size} hexadecimal digits")
    return bytes.fromhex(text)


def _key_id(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", "").removeprefix("0x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"`{text}` is not hexadecimal") from None


def _date(text: str) -> str:
    from datetime import date

    if text != "0000-00-00":
        try:
            date.fromisoformat(text if _DATE.fullmatch(text) else "")
        except ValueError:
            raise argparse.ArgumentTypeError(f"`{text}` is no date as 2030-01-31") from None
    return text.replace("-", "")


def _attributes(text: str) -> Attributes:
    flags, _, xfrm = text.partition(":")
    return Attributes(_number(flags, 64), _number(xfrm, 64))


def _uint16(text: str) -> int:
    return _number(text, 16)


def _uint32(text: str) -> int:
    return _number(text, 32)


def _number(text: str, bits: int) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << bits:
        raise argparse.ArgumentTypeError(f"`{text}` is not a number of {bits} bits")
    return number
