"""Everything that can be said about a SIGSTRUCT without a key and without SGX hardware."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from occlum_build.identity.changed_bit import changed_bit, field_at
from occlum_build.identity.check import Check, Verdict, demanded, judged
from occlum_build.identity.terms import CET_NAMES, bit_names
from occlum_build.sgx.attributes import AttributeFlags, MiscSelect, Xfrm, flag_names
from occlum_build.sgx.sigstruct import (
    EXPONENT,
    KEY_BITS,
    EnclaveIdentity,
    SigStruct,
    constant_faults,
    quotients,
    signed_part,
)
from occlum_build.sgx.verify import is_signature

if TYPE_CHECKING:
    from occlum_build.identity.policy import Policy

_ALL_64: Final = (1 << 64) - 1

PUBLISHED_KEYS: Final = {
    "07a2cf8fe5e57c1321e852797462924ee9b3b1d2bfcba0723b8fb346df646391": (
        "the sample SealUnseal of Intel's SGX SDK"
    ),
    "6c1c59c89ed4dd9825649494fcb2ebf96a8a617a1d0589fe0147f0ef1b3f784d": (
        "the sample SampleAttestedTLS of Intel's SGX SDK"
    ),
    "731649156f5359cd12ecb488586055173d08e77f76ebbcc6858d6b82e1fd321f": (
        "`Enclave_private_test.pem` of projects made from Intel's samples"
    ),
}
"""MRSIGNER of keys whose private half anyone can download: where it is."""


def format_checks(data: bytes) -> Iterator[Check]:
    """The bytes that the manual fixes."""
    wrong: dict[str, list[str]] = {}
    for name, message in constant_faults(data):
        wrong.setdefault(name, []).append(message)
    identity = SigStruct.read(data).identity
    vendor, date = identity.vendor, identity.date
    for name, right, why in (
        ("HEADER", "HEADER is the constant of the manual", "EINIT refuses any other"),
        ("HEADER2", "HEADER2 is the constant of the manual", "EINIT refuses any other"),
        (
            "VENDOR",
            "VENDOR is 0, as for everyone but Intel" if not vendor else "VENDOR is Intel's",
            "EINIT refuses any other than these two",
        ),
        ("RESERVED", "reserved bytes are zero", "EINIT refuses anything else"),
        ("EXPONENT", f"EXPONENT is {EXPONENT}", "EINIT takes no other"),
        (
            "DATE",
            f"DATE is {_dated(date)}",
            "the signer chose it, and no processor looks at it",
        ),
    ):
        found = "; ".join(wrong.get(name, ()))
        yield judged(name.lower(), is_right=not found, right=right, wrong=found, why=why)


def signature_checks(data: bytes) -> Iterator[Check]:
    """MODULUS, SIGNATURE, Q1 and Q2, as EINIT looks at them."""
    sigstruct = SigStruct.read(data)
    bits = sigstruct.modulus.bit_length()
    has_size = bits == KEY_BITS and bool(sigstruct.modulus & 1)
    yield judged(
        "modulus",
        is_right=has_size,
        right=f"MODULUS is an odd number of {KEY_BITS} bits",
        wrong=f"MODULUS has {bits} bits, or is even",
        why="SGX takes RSA-3072 alone, and no RSA modulus is even",
    )
    is_right = has_size and is_signature(sigstruct, signed_part(data))
    yield Check(
        "signature",
        Verdict.PASS if is_right else Verdict.FAIL,
        "SIGNATURE is the signer's signature of these fields"
        if is_right
        else "SIGNATURE is not the signer's signature of these fields",
        "whoever holds the key vouches for every field, or nobody does",
        () if is_right else _where_changed(data),
    )
    q1, q2 = quotients(sigstruct.signature, sigstruct.modulus) if sigstruct.modulus else (-1, -1)
    for name, is_equal in (("Q1", q1 == sigstruct.q1), ("Q2", q2 == sigstruct.q2)):
        yield judged(
            name.lower(),
            is_right=is_equal,
            right=f"{name} belongs to SIGNATURE and MODULUS",
            wrong=f"{name} does not belong to SIGNATURE and MODULUS",
            why="the processor computes with it, and refuses the enclave if it is wrong",
        )


def _where_changed(data: bytes) -> tuple[str, ...]:
    found = changed_bit(data)
    if found is None:
        return ("more than one bit was changed since it was signed, or another key signed",)
    offset, bit = found
    where = f"bit {bit} of byte {offset}, in {field_at(offset)}"
    return (f"one bit was changed since: {where}; flipped back, the signature is right",)


def signer_checks(
    data: bytes,
    expected: frozenset[str],
    policy: "Policy | None",
    *,
    is_development: bool,
) -> Iterator[Check]:
    """Who signed, and whether that means anything."""
    sigstruct = SigStruct.read(data)
    mrsigner = sigstruct.mrsigner.hex()
    why = "anyone can sign: the signer's name is what makes a signature worth something"
    if expected:
        yield judged(
            "mrsigner",
            is_right=mrsigner in expected,
            right=f"MRSIGNER {mrsigner} is the one that was expected",
            wrong=f"MRSIGNER {mrsigner} is not the one that was expected",
            why=why,
        )
    else:
        finding = f"MRSIGNER is {mrsigner}, and nothing says who it must be"
        yield Check("mrsigner", Verdict.WARN, finding, why)
    published = PUBLISHED_KEYS.get(mrsigner)
    finding = "the key is not known to be a development key or a published one"
    if published is not None:
        finding = f"the private half of this key is public: it is in {published}"
    elif is_development:
        finding = "the key is a development key, as the bundle itself says"
    is_bad = published is not None or is_development
    yield Check(
        "published-key",
        demanded(policy, "published_key") if is_bad else Verdict.PASS,
        finding,
        "such a key vouches for nothing",
    )


def term_checks(identity: EnclaveIdentity, policy: "Policy | None") -> Iterator[Check]:
    """What the signer lets a host start, and how the product is called."""
    yield _debug(identity, policy)
    yield from _flags(identity, policy)
    yield _xfrm(identity, policy)
    yield _misc(identity)
    yield from _kss(identity, policy)
    yield _cet(identity, policy)
    yield from _product(identity, policy)


def _debug(identity: EnclaveIdentity, policy: "Policy | None") -> Check:
    is_set = bool(identity.attributes.flags & AttributeFlags.DEBUG)
    is_pinned = bool(identity.attribute_mask.flags & AttributeFlags.DEBUG)
    finding = {
        (False, True): "DEBUG is off, and pinned by the mask",
        (
            False,
            False,
        ): "DEBUG is off but not pinned: a host may set it, and a report then says so",
        (True, False): "DEBUG is allowed: this is a debug enclave",
        (True, True): "DEBUG is demanded: this is a debug enclave",
    }[is_set, is_pinned]
    is_good = is_pinned and not is_set
    return Check(
        "debug",
        Verdict.PASS if is_good else demanded(policy, "debug"),
        finding,
        "in debug mode the host reads and writes all of the enclave's memory",
    )


def _flags(identity: EnclaveIdentity, policy: "Policy | None") -> Iterator[Check]:
    flags, mask = identity.attributes.flags, identity.attribute_mask.flags
    rights = AttributeFlags.PROVISIONKEY | AttributeFlags.EINITTOKEN_KEY
    strange = flags & ~sum(AttributeFlags) | flags & AttributeFlags.INIT
    wanted = policy.attributes if policy is not None else None
    required = _mask_of(wanted.required if wanted else ())
    forbidden = _mask_of(wanted.forbidden if wanted else ())
    wrong = [
        *(f"{name} is not set, or not pinned" for name in _named(required & ~(flags & mask))),
        *(f"{name} is set, or not pinned" for name in _named(forbidden & (flags | ~mask))),
        *(f"{name} cannot be set" for name in _named(strange)),
    ]
    finding = f"ATTRIBUTES are {' '.join(flag_names(flags)) or 'none'}"
    verdict = Verdict.FAIL if wrong else Verdict.PASS
    if not wrong and flags & rights:
        verdict = Verdict.PASS if policy is not None else Verdict.WARN
    yield Check(
        "attributes",
        verdict,
        finding,
        "they are rights: PROVISIONKEY, for instance, gives keys that outlive the owner",
        tuple(wrong),
    )
    loose = _ALL_64 & ~mask & ~AttributeFlags.DEBUG
    is_right_open = bool(loose & rights) and not flags & rights
    shown = " ".join(flag_names(loose))
    yield Check(
        "attribute-mask",
        Verdict.WARN if is_right_open else Verdict.PASS,
        f"the mask leaves {shown} to the host" if loose else "the mask pins every other attribute",
        "what is not pinned, the host chooses when it starts the enclave",
    )


def _xfrm(identity: EnclaveIdentity, policy: "Policy | None") -> Check:
    xfrm, mask = identity.attributes.xfrm, identity.attribute_mask.xfrm
    legacy = Xfrm.X87 | Xfrm.SSE
    possible = xfrm | _ALL_64 & ~mask
    names = [
        name
        for name, one in Xfrm.__members__.items()
        if one not in legacy and possible & one == one
    ]
    wrong = ["x87 and SSE are not both set"] if xfrm & legacy != legacy else []
    if policy is not None and policy.xfrm is not None:
        wrong += [f"{name} is possible" for name in names if name not in policy.xfrm]
    return Check(
        "xfrm",
        Verdict.FAIL if wrong else Verdict.PASS,
        f"besides x87 and SSE the enclave may have {', '.join(names) or 'nothing'}",
        "state that the enclave's code does not save or clear can leave it",
        tuple(wrong),
    )


def _misc(identity: EnclaveIdentity) -> Check:
    names = [one.name or "" for one in MiscSelect if identity.misc_select & one]
    strange = identity.misc_select & ~sum(MiscSelect)
    return Check(
        "misc-select",
        Verdict.FAIL if strange else Verdict.PASS,
        f"MISCSELECT has bits without a meaning: {strange:#x}"
        if strange
        else f"MISCSELECT is {' '.join(names) or 'none'}",
        "it says what the processor saves beside the registers when an exception ends an entry",
    )


def _kss(identity: EnclaveIdentity, policy: "Policy | None") -> Iterator[Check]:
    has_kss = bool(identity.attributes.flags & AttributeFlags.KSS)
    has_ids = any(identity.family_id + identity.ext_prod_id)
    why = "without KSS the processor neither looks at these ids nor puts them into keys"
    if has_ids or has_kss:
        yield judged(
            "kss",
            is_right=has_kss,
            right=f"KSS: family {identity.family_id.hex()}, product {identity.ext_prod_id.hex()}",
            wrong="ISVFAMILYID or ISVEXTPRODID is set, and KSS is not",
            why=why,
        )
    else:
        yield Check("kss", Verdict.PASS, "no KSS, and none of its ids", why)
    for name, found in (("family_id", identity.family_id), ("ext_prod_id", identity.ext_prod_id)):
        expected = getattr(policy.kss, name) if policy is not None else None
        if expected is not None:
            yield judged(
                name.replace("_", "-"),
                is_right=has_kss and found.hex() == expected,
                right=f"it is {expected}",
                wrong=f"it is {found.hex()}, not {expected}, or KSS is not set",
                why="the policy names it",
            )


def _cet(identity: EnclaveIdentity, policy: "Policy | None") -> Check:
    has_cet = bool(identity.attributes.flags & AttributeFlags.CET)
    found, mask = identity.cet_attributes, identity.cet_attributes_mask
    wrong = [] if has_cet or not found else ["CET_ATTRIBUTES is set, and ATTRIBUTES lacks CET"]
    for bit, name in CET_NAMES.items():
        is_demanded = policy is not None and name in policy.cet.required
        if is_demanded and not (has_cet and found & mask & 1 << bit):
            wrong.append(f"{name} is not set, or not pinned")
    names = " ".join(bit_names(found, CET_NAMES, 8)) or "none"
    return Check(
        "cet",
        Verdict.FAIL if wrong else Verdict.PASS,
        f"CET_ATTRIBUTES are {names}, under the mask {mask:#04x}"
        if has_cet or found
        else "no CET",
        "shadow stacks and branch tracking work only if both fields say so",
        tuple(wrong),
    )


def _product(identity: EnclaveIdentity, policy: "Policy | None") -> Iterator[Check]:
    product, version = identity.isv_prod_id, identity.isv_svn
    expected = policy.product_id if policy is not None else None
    least = policy.min_version_number if policy is not None else 0
    yield judged(
        "product-id",
        is_right=expected in (None, product),
        right=f"ISVPRODID is {product}",
        wrong=f"ISVPRODID is {product}, not {expected}",
        why="products of one signer can read each other's sealed data only if it is the same",
    )
    yield judged(
        "version-number",
        is_right=version >= least,
        right=f"ISVSVN is {version}",
        wrong=f"ISVSVN is {version}, less than {least}",
        why="older versions have known holes, and newer ones can read what they sealed",
    )
    if policy is not None and policy.earliest_date is not None:
        yield judged(
            "date-limit",
            is_right=identity.date >= policy.earliest_date.replace("-", ""),
            right=f"DATE is not before {policy.earliest_date}",
            wrong=f"DATE is {_dated(identity.date)}, before {policy.earliest_date}",
            why="the policy names it",
        )


def _mask_of(names: tuple[str, ...]) -> int:
    return sum(AttributeFlags[name] for name in set(names))


def _named(bits: int) -> list[str]:
    return flag_names(bits & _ALL_64)


def _dated(date: str) -> str:
    return "none" if not date.strip("0") else f"{date[:4]}-{date[4:6]}-{date[6:]}"
