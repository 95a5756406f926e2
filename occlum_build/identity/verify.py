"""`occlum-build verify`: is this enclave what it claims to be, and is that good enough.

The pages are measured anew; nothing that a file says about itself is believed.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from occlum_build.diagnostic import DiagnosticError, Span, error
from occlum_build.identity.check import Check, Verdict, judged
from occlum_build.identity.enclave_argument import add_enclave_arguments, given_enclave
from occlum_build.identity.signable import MANIFEST, read_file
from occlum_build.identity.text import visible
from occlum_build.sgx.sigstruct import SIGSTRUCT_BYTES, SigStruct
from occlum_build.sgx.stream import ECREATE_TAG

if TYPE_CHECKING:  # what they import takes time, and each is needed only at its place
    from occlum_build.enclave_file.image import EnclaveImage
    from occlum_build.identity.policy import Policy

SCHEMA: Final = 1
_HASH: Final = re.compile(r"[0-9A-Fa-f]{64}")
_MAX_POLICY_BYTES: Final = 1 << 18
_MEASURED_WHY: Final = "MRENCLAVE is computed here from every page; EINIT refuses another"
_EXPECTED_WHY: Final = "it names this enclave and no other"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The grammar of the verb."""
    add_enclave_arguments(parser)
    parser.add_argument("--mrenclave", type=_hash, metavar="HASH", help="what it must measure")
    parser.add_argument("--mrsigner", type=_hash, metavar="HASH", help="who must have signed it")
    parser.add_argument(
        "--policy", type=Path, metavar="YAML", help="what else it must be: a file of demands"
    )
    parser.add_argument(
        "--provenance-key",
        type=Path,
        metavar="PEM",
        help="the public key of whoever must have signed a bundle's provenance",
    )
    parser.add_argument(
        "--accept-claim",
        action="store_true",
        help="let a SIGSTRUCT alone answer: its MRENCLAVE is compared, nothing is measured",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")


@dataclass(frozen=True)
class _Subject:
    """What is checked: an enclave with or without a signature, a signature alone, or neither.

    `bundle` is the directory, if it is one. `problems` say why there is no enclave to look at.
    """

    file: Path
    image: "EnclaveImage | None" = None
    sigstruct: bytes | None = None
    bundle: Path | None = None
    problems: tuple[Check, ...] = ()


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and answer: 0 if nothing failed, else 1; raises `DiagnosticError`."""
    policy = _policy(arguments.policy)
    subject = _read(arguments)
    _refuse_unused(arguments, subject)
    checks = list(_checks(arguments, subject, policy))
    show = _print_json if arguments.json else _print
    show(subject, checks)
    return 1 if any(one.verdict is Verdict.FAIL for one in checks) else 0


def _policy(path: Path | None) -> "Policy | None":
    if path is None:
        return None
    from occlum_build.identity.policy import read_policy

    try:
        text = read_file(path, _MAX_POLICY_BYTES + 1).decode()
    except UnicodeDecodeError as problem:
        message = f"this is not UTF-8: byte {problem.start} cannot be read"
        raise DiagnosticError(error("OB0201", message, Span(str(path)))) from None
    return read_policy(path, text)


def _read(arguments: argparse.Namespace) -> _Subject:
    """The enclave. What is wrong with that of a bundle is an answer, not the end."""
    file = Path(arguments.file)
    if _is_sigstruct(file):
        return _Subject(file, sigstruct=read_file(file, SIGSTRUCT_BYTES))
    bundle = file if file.is_dir() else None
    try:
        image = given_enclave(arguments)
    except DiagnosticError as problem:
        has_manifest = bundle is not None and (bundle / MANIFEST).is_file()
        if not has_manifest or arguments.signature is not None:
            raise
        why = "what cannot be read cannot be loaded either"
        found = problem.diagnostics
        failed = (Check("enclave", Verdict.FAIL, one.message, why, one.notes) for one in found)
        return _Subject(file, bundle=bundle, problems=tuple(failed))
    return _Subject(file, image, image.sigstruct_bytes, bundle)


def _refuse_unused(arguments: argparse.Namespace, subject: _Subject) -> None:
    """Refuse what would be passed over: whoever gives it expects it to be checked."""
    is_alone = subject.image is None and subject.bundle is None
    for option, is_unused, why in (
        ("signature", is_alone, "this file is a signature itself"),
        ("provenance_key", subject.bundle is None, "only a bundle has a provenance"),
    ):
        if is_unused and getattr(arguments, option) is not None:
            name = f"--{option.replace('_', '-')}"
            message = f"`{name}` means nothing with `{subject.file.name}`: {why}"
            raise DiagnosticError(error("OB0001", message, helps=(f"leave `{name}` out",)))


def _is_sigstruct(file: Path) -> bool:
    return (
        file.is_file()
        and file.stat().st_size == SIGSTRUCT_BYTES
        and read_file(file, len(ECREATE_TAG)) != ECREATE_TAG
    )


def _checks(
    arguments: argparse.Namespace, subject: _Subject, policy: "Policy | None"
) -> Iterator[Check]:
    from occlum_build.identity.bundle_checks import bundle_checks, is_development

    image, bundle = subject.image, subject.bundle
    yield from subject.problems
    if not subject.problems:
        yield from _measurement(arguments, subject, policy)
        is_known = bundle is not None and is_development(bundle)
        yield from _signature(arguments, subject, policy, is_development=is_known)
    if image is not None:
        yield from _pages(image, policy)
    if bundle is not None:
        yield from bundle_checks(bundle, image, arguments.provenance_key)


def _pages(image: "EnclaveImage", policy: "Policy | None") -> Iterator[Check]:
    from occlum_build.identity.bundle_checks import layout_checks
    from occlum_build.identity.page_checks import page_checks

    yield from page_checks(image, policy)
    is_right = image.claimed_mrenclave in (None, image.mrenclave)
    yield from layout_checks(image, is_measured_right=is_right)
    for remark in image.remarks:
        why = "; ".join(remark.notes) or "it does not prevent measuring"
        yield Check("remark", Verdict.WARN, remark.message, why)


def _measurement(
    arguments: argparse.Namespace, subject: _Subject, policy: "Policy | None"
) -> Iterator[Check]:
    image = subject.image
    expected = _expected(arguments.mrenclave, policy.mrenclave if policy is not None else ())
    if image is None:
        is_enough = arguments.accept_claim or (policy is not None and policy.claim == "allowed")
        yield from _claim(subject, policy, expected, is_enough=is_enough)
        return
    measured, claimed = image.mrenclave.hex(), image.claimed_mrenclave
    if claimed is not None:
        is_right = measured == claimed.hex()
        yield Check(
            "measurement",
            Verdict.PASS if is_right else Verdict.FAIL,
            "the pages are those that were signed"
            if is_right
            else "the pages are not those that were signed",
            _MEASURED_WHY,
            () if is_right else (f"measured {measured}", f"signed   {claimed.hex()}"),
        )
    if expected:
        yield judged(
            "mrenclave",
            is_right=measured in expected,
            right=f"MRENCLAVE {measured} is the one that was expected",
            wrong=f"MRENCLAVE {measured} is not the one that was expected",
            why=_EXPECTED_WHY,
        )


def _claim(
    subject: _Subject, policy: "Policy | None", expected: frozenset[str], *, is_enough: bool
) -> Iterator[Check]:
    """What a signature without its enclave is worth: nothing, to somebody who asks for pages."""
    is_asked = bool(expected) or policy is not None
    demands = [] if policy is None else _demands_on_pages(policy)
    is_refused = (is_asked and not is_enough) or bool(demands)
    details = []
    if demands:
        details.append(f"the policy judges pages, and there are none: {', '.join(demands)}")
    if is_refused:
        name = subject.file.name
        details.append(f"give the enclave itself, and this file with it: `--signature {name}`")
        if not demands:
            details.append(
                "`--accept-claim`, or `claim: allowed` in a policy, says that a claim is enough"
            )
    yield Check(
        "measurement",
        Verdict.FAIL if is_refused else Verdict.WARN,
        "nothing was measured: this is a signature without its enclave",
        _MEASURED_WHY,
        tuple(details),
    )
    claimed = _sigstruct(subject).identity.mrenclave.hex()
    if expected:
        is_expected = claimed in expected
        yield Check(
            "mrenclave",
            Verdict.WARN if is_expected else Verdict.FAIL,
            f"MRENCLAVE {claimed} is claimed, and is the one that was expected"
            if is_expected
            else f"MRENCLAVE {claimed} is claimed, and is not the one that was expected",
            _EXPECTED_WHY,
        )


def _demands_on_pages(policy: "Policy") -> list[str]:
    """The keys of a policy that only pages can answer."""
    permissions = ("writable_executable", "unmeasured")
    demands = [name for name in permissions if getattr(policy, name) == "forbidden"]
    return demands if policy.max_threads is None else [*demands, "max_threads"]


def _signature(
    arguments: argparse.Namespace,
    subject: _Subject,
    policy: "Policy | None",
    *,
    is_development: bool,
) -> Iterator[Check]:
    from occlum_build.identity.sigstruct_checks import (
        format_checks,
        signature_checks,
        signer_checks,
        term_checks,
    )

    data = subject.sigstruct
    if data is None:
        why = "a processor starts no enclave that nobody signed"
        is_pinned = arguments.mrenclave is not None
        # A signer, and all that a policy demands, would have to be read in the signature.
        asks_more = arguments.mrsigner is not None or policy is not None
        verdict = Verdict.WARN if is_pinned and not asks_more else Verdict.FAIL
        yield Check("signature", verdict, "there is no signature; `--signature` can name it", why)
        return
    expected = _expected(arguments.mrsigner, policy.mrsigner if policy is not None else ())
    yield from format_checks(data)
    yield from signature_checks(data)
    yield from signer_checks(data, expected, policy, is_development=is_development)
    yield from term_checks(_sigstruct(subject).identity, policy)


def _sigstruct(subject: _Subject) -> SigStruct:
    return SigStruct.read(subject.sigstruct or b"")


def _expected(given: str | None, more: Iterable[str]) -> frozenset[str]:
    """What is accepted: what the command line names, and nothing else then."""
    return frozenset(more) if given is None else frozenset({given})


def _print(subject: _Subject, checks: list[Check]) -> None:
    lines = [str(subject.file)]
    if subject.image is not None:
        lines.append(f"  MRENCLAVE {subject.image.mrenclave.hex()}  (measured)")
    if subject.sigstruct is not None:
        lines.append(f"  MRSIGNER  {_sigstruct(subject).mrsigner.hex()}")
    width = max(len(one.name) for one in checks)
    for one in checks:
        lines += one.lines(width)
    counts = {verdict: sum(one.verdict is verdict for one in checks) for verdict in Verdict}
    verdict = "REFUSED" if counts[Verdict.FAIL] else "accepted"
    lines.append(
        f"{verdict}: {counts[Verdict.FAIL]} failed, {counts[Verdict.WARN]} warned,"
        f" {counts[Verdict.PASS]} passed"
    )
    sys.stdout.write("".join(f"{visible(line)}\n" for line in lines))


def _print_json(subject: _Subject, checks: list[Check]) -> None:
    image = subject.image
    mrsigner = None if subject.sigstruct is None else _sigstruct(subject).mrsigner.hex()
    document = {
        "schema": f"occlum-build/verify/{SCHEMA}",
        "file": str(subject.file),
        "format": None if image is None else image.format.value,
        "mrenclave": None if image is None else image.mrenclave.hex(),
        "mrsigner": mrsigner,
        "accepted": all(one.verdict is not Verdict.FAIL for one in checks),
        "checks": [one.as_json() for one in checks],
    }
    sys.stdout.write(json.dumps(document, indent=2, sort_keys=True) + "\n")


def _hash(text: str) -> str:
    if not _HASH.fullmatch(text):
        raise argparse.ArgumentTypeError(f"`{text}` is not 64 hexadecimal digits")
    return text.lower()
