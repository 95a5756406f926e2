"""Signing keys: secret halves stay outside the graph; public halves are its inputs."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from occlum_build.action import SigningKey
from occlum_build.artifact import Artifact, Root
from occlum_build.diagnostic import Diagnostic, DiagnosticError, error, near
from occlum_build.execution.files import write_if_different
from occlum_build.execution.layout import public_key_path
from occlum_build.label import Label

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

DEVELOPMENT: Final = "development"
# Intel SDM vol. 3D, "SIGSTRUCT": MODULUS is 3072 bits, EXPONENT is 3.
_BITS: Final = 3072
_EXPONENT: Final = 3
_PYTHON_TOOL: Final = Path(__file__).with_name("python_tool.py")
_PACKAGE_PARENT: Final = Path(__file__).parents[2]


class KeyRing:
    """The keys that the user named with `--key NAME=FILE`, and the development key.

    The development key is made on first use, outside the workspace. Anyone on this
    machine who can read it can sign as it: it vouches for nothing.
    """

    def __init__(self, named: Mapping[str, Path]) -> None:
        """Hold the keys that the user named."""
        self._named = dict(named)
        self._asked: set[str] = set()

    def find(self, name: str) -> SigningKey | None:
        """The key of this name, as rules see it; nothing is read yet."""
        self._asked.add(name)
        if name not in self._named and name != DEVELOPMENT:
            return None
        label = Label("", "", f"{name}.pem")
        public = Artifact(public_key_path(name), label, Root.PUBLIC_KEY.value)
        return SigningKey(name, public, is_development=name not in self._named)

    def check_used(self) -> None:
        """Refuse keys that no target of this run has asked for, but for the development key.

        A name that was misspelt would leave unsigned what its user wants signed.

        Raises:
            DiagnosticError: with every name that nothing asks for.
        """
        problems = []
        for name in sorted({*self._named} - self._asked - {DEVELOPMENT}):
            guess = near(name, self._asked)
            asked = ", ".join(f"`{one}`" for one in sorted(self._asked)) or "none"
            problems.append(
                error(
                    "OB0129",
                    f"no target of this run has a use for the key `{name}`",
                    notes=(f"they ask for {asked}",),
                    helps=(f"a key `{guess}` is asked for",) if guess else (),
                )
            )
        if problems:
            raise DiagnosticError(problems)

    def secret_path(self, key: SigningKey) -> Path:
        """Where the private key lies."""
        return self._named.get(key.name) or development_key_path()

    def publish(self, key: SigningKey, workspace_root: Path) -> None:
        """Write the public half where actions find it.

        Raises:
            DiagnosticError: the key cannot be read, or cannot sign what it is for.
        """
        from cryptography.hazmat.primitives import serialization

        if key.is_development and key.signs == "enclaves":
            _make_development_key(development_key_path(), workspace_root)
        check = _why_not_enclaves if key.signs == "enclaves" else _why_not_documents
        private = _read(self.secret_path(key), key, check)
        content = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        target = workspace_root / key.public.path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_if_different(str(target), content)


def development_key_path() -> Path:
    """Where the development key lies, by the XDG base directory specification."""
    chosen = os.environ.get("XDG_CONFIG_HOME")
    base = Path(chosen) if chosen and Path(chosen).is_absolute() else Path.home() / ".config"
    return base / "occlum-build" / "development.pem"


def _make_development_key(path: Path, workspace_root: Path) -> None:
    """Make the key unless it exists, with the program that knows how; it refuses the workspace."""
    if path.exists() and not path.resolve().is_relative_to(workspace_root.resolve()):
        return
    words = [sys.executable, "-I", str(_PYTHON_TOOL), str(_PACKAGE_PARENT), "occlum_build.sgx"]
    words += ["development-key", "--output", str(path), "--workspace", str(workspace_root)]
    done = subprocess.run(
        words, capture_output=True, check=False, stdin=subprocess.DEVNULL, text=True
    )
    if done.returncode:
        message = "the development key cannot be made"
        helps = (f"`--key {DEVELOPMENT}=FILE` takes another in its place",)
        code = "OB0410" if "error[OB0552]" in done.stderr else "OB0412"
        raise DiagnosticError(error(code, message, notes=(done.stderr.rstrip(),), helps=helps))


def _read(
    path: Path, key: SigningKey, check: "Callable[[PrivateKeyTypes], str | None]"
) -> "PrivateKeyTypes":
    from cryptography.hazmat.primitives import serialization

    try:
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as problem:
        raise DiagnosticError(_bad(key, path, f"{problem.strerror}")) from None
    except TypeError:
        raise DiagnosticError(_bad(key, path, "it is encrypted")) from None
    except Exception as problem:  # noqa: BLE001  # the library raises many kinds
        raise DiagnosticError(_bad(key, path, f"it is no private key in PEM: {problem}")) from None
    why_not = check(private)
    if why_not is not None:
        raise DiagnosticError(_bad(key, path, why_not))
    return private


def _why_not_enclaves(private: "PrivateKeyTypes") -> str | None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    if not isinstance(private, rsa.RSAPrivateKey):
        return "it is no RSA key"
    exponent = private.public_key().public_numbers().e
    if (private.key_size, exponent) != (_BITS, _EXPONENT):
        return f"it has {private.key_size} bits and the exponent {exponent}"
    return None


def _why_not_documents(private: "PrivateKeyTypes") -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    is_p256 = isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(
        private.curve, ec.SECP256R1
    )
    if is_p256 or isinstance(private, ed25519.Ed25519PrivateKey):
        return None
    return "it is another kind of key"


def _bad(key: SigningKey, path: Path, why: str) -> Diagnostic:
    if key.signs == "documents":
        what = "provenance"
        need = "provenance is signed with Ed25519, or with ECDSA on the curve P-256"
        make = f"openssl genpkey -algorithm ed25519 -out {path.name}"
    else:
        what = "an enclave"
        need = "an enclave needs an RSA key of 3072 bits with the exponent 3"
        make = f"openssl genrsa -3 -out {path.name} 3072"
    return error(
        "OB0410",
        f"the key `{key.name}` cannot sign {what}",
        notes=(f"`{path}`: {why}", need),
        helps=(f"make one with `{make}`",),
    )
