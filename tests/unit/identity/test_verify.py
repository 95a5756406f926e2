"""`occlum-build verify`: what it accepts, what it refuses, and what a policy changes."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occlum_build.cli.start import is_standalone
from occlum_build.identity.check import Verdict
from occlum_build.identity.policy import Policy, PolicyError, read_policy
from occlum_build.identity.sigstruct_checks import (
    PUBLISHED_KEYS,
    format_checks,
    signature_checks,
    signer_checks,
    term_checks,
)
from occlum_build.sgx.attributes import AttributeFlags, Attributes
from occlum_build.sgx.key import read_private_key
from occlum_build.sgx.sign import sign
from tests.support.bundles import ROOT, make_bundle
from tests.support.sgx_samples import metadata, vector

Run = Callable[..., subprocess.CompletedProcess[str]]


def verdicts(answer: subprocess.CompletedProcess[str]) -> dict[str, str]:
    document: dict[str, Any] = json.loads(answer.stdout)
    assert document["schema"] == "occlum-build/verify/1"
    return {one["name"]: one["verdict"] for one in document["checks"]}


def judge(policy: str = "", **changes: object) -> dict[str, Verdict]:
    """The verdicts on the terms of a signature with these metadata."""
    identity = metadata(**changes).identity(bytes(32))
    read = read_policy(Path("p.yaml"), f"version: 1\n{policy}") if policy else None
    return {one.name: one.verdict for one in term_checks(identity, read)}


def test_a_release_passes_every_check_but_that_of_an_unnamed_signer(
    bundle: Path, verb: Run
) -> None:
    found = verdicts(verb("verify", "--json", bundle))

    warned = {name for name, verdict in found.items() if verdict == "warn"}
    without = {"bill-of-materials", "provenance"}
    assert warned == {"mrsigner", "writable-executable", "unmeasured", *without}
    assert "fail" not in found.values()


def test_the_expected_measurement_and_signer_are_compared(bundle: Path, verb: Run) -> None:
    facts = json.loads((bundle / "manifest.json").read_bytes())
    right = ["--mrenclave", facts["mrenclave"].upper(), "--mrsigner", facts["mrsigner"]]

    found = verdicts(verb("verify", "--json", bundle, *right))
    wrong = verdicts(verb("verify", "--json", bundle, "--mrenclave", "0" * 64, status=1))

    assert (found["mrenclave"], found["mrsigner"]) == ("pass", "pass")
    assert wrong["mrenclave"] == "fail"


def test_a_stream_is_checked_with_a_signature_beside_it(bundle: Path, verb: Run) -> None:
    sgxs, signature = bundle / "enclave.sgxs", bundle / "enclave.sig"

    found = verdicts(verb("verify", "--json", sgxs, "--signature", signature))
    alone = verdicts(verb("verify", "--json", sgxs, status=1))
    mrenclave = json.loads((bundle / "manifest.json").read_bytes())["mrenclave"]
    pinned = verdicts(verb("verify", "--json", sgxs, "--mrenclave", mrenclave))

    assert found["measurement"] == found["signature"] == "pass"
    assert alone["signature"] == "fail"
    assert pinned["signature"] == "warn"


def test_what_only_a_signature_can_answer_is_not_passed_over_without_one(
    bundle: Path, verb: Run, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\nmin_version_number: 9\n")
    mrenclave = json.loads((bundle / "manifest.json").read_bytes())["mrenclave"]
    words = ["verify", "--json", bundle / "enclave.sgxs", "--mrenclave", mrenclave]

    for more in (["--mrsigner", "0" * 64], ["--policy", policy]):
        found = verdicts(verb(*words, *more, status=1))

        assert (found["mrenclave"], found["signature"]) == ("pass", "fail")


def test_a_bundle_without_its_signature_is_measured_and_refused(
    tmp_path: Path, bundle: Path, verb: Run
) -> None:
    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / "enclave.sig").unlink()

    measured = verb("measure", copy).stdout.strip()
    found = verdicts(verb("verify", "--json", copy, status=1))
    pinned = verdicts(verb("verify", "--json", copy, "--mrenclave", measured, status=1))

    assert measured == verb("measure", bundle).stdout.strip()
    assert found["signature"] == found["files"] == "fail"
    assert found["image root"] == "pass"
    assert (pinned["signature"], pinned["files"]) == ("warn", "fail")


def test_a_signature_without_its_enclave_is_checked_as_far_as_that_goes(
    bundle: Path, verb: Run
) -> None:
    found = verdicts(verb("verify", "--json", bundle / "enclave.sig"))

    assert found["measurement"] == "warn"
    assert found["signature"] == found["q2"] == "pass"


def test_a_claim_is_no_answer_to_who_expects_a_measurement(
    bundle: Path, verb: Run, tmp_path: Path
) -> None:
    signature, policy = bundle / "enclave.sig", tmp_path / "policy.yaml"
    mrenclave = json.loads((bundle / "manifest.json").read_bytes())["mrenclave"]
    words: tuple[str | Path, ...] = ("verify", "--json", signature, "--mrenclave", mrenclave)
    policy.write_text("version: 1\n")

    pinned = verdicts(verb(*words, status=1))
    judged = verdicts(verb("verify", "--json", signature, "--policy", policy, status=1))
    by_option = verdicts(verb(*words, "--accept-claim"))
    policy.write_text(f"version: 1\nclaim: allowed\nmrenclave: [{mrenclave}]\n")
    by_policy = verdicts(verb("verify", "--json", signature, "--policy", policy))
    words = ("verify", "--json", signature, "--accept-claim", "--mrenclave", "0" * 64)
    another = verdicts(verb(*words, status=1))

    assert (pinned["measurement"], pinned["mrenclave"]) == ("fail", "warn")
    assert judged["measurement"] == "fail"
    assert (by_option["measurement"], by_option["mrenclave"]) == ("warn", "warn")
    assert (by_policy["measurement"], by_policy["mrenclave"]) == ("warn", "warn")
    assert (another["measurement"], another["mrenclave"]) == ("warn", "fail")


@pytest.mark.parametrize(
    "demand", ["writable_executable: forbidden", "unmeasured: forbidden", "max_threads: 4"]
)
def test_a_demand_on_pages_needs_pages_whatever_a_claim_is_worth(
    demand: str, bundle: Path, verb: Run, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"version: 1\nclaim: allowed\n{demand}\n")

    found = verdicts(
        verb("verify", "--json", bundle / "enclave.sig", "--policy", policy, status=1)
    )

    assert found["measurement"] == "fail"


def test_what_would_not_be_looked_at_is_refused(bundle: Path, key: Path, verb: Run) -> None:
    signature, stream = bundle / "enclave.sig", bundle / "enclave.sgxs"

    twice = verb("verify", signature, "--signature", signature, status=2)
    without = verb("verify", stream, "--signature", signature, "--provenance-key", key, status=2)

    assert "this file is a signature itself" in twice.stderr
    assert "only a bundle has a provenance" in without.stderr


@pytest.mark.parametrize("name", ["mobilecoin-valid.css", "fortanix-sig1.sigstruct.bin"])
def test_a_signature_that_others_made_is_right(name: str) -> None:
    data = vector(name)

    checks = [*format_checks(data), *signature_checks(data)]

    assert {one.verdict for one in checks} == {Verdict.PASS}


def test_a_bundle_of_a_development_key_is_called_out(tmp_path: Path, key: Path, verb: Run) -> None:
    bundle = make_bundle(tmp_path, key, debuggable=True, is_development=True)

    found = verdicts(verb("verify", "--json", bundle))

    assert (found["published-key"], found["debug"]) == ("warn", "warn")


def test_a_published_key_is_called_out(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = sign(metadata().identity(bytes(32)), read_private_key(key))
    monkeypatch.setitem(PUBLISHED_KEYS, signed.mrsigner.hex(), "a book")

    _, check = signer_checks(signed.pack(), frozenset(), None, is_development=False)

    assert check.verdict is Verdict.WARN
    assert check.finding == "the private half of this key is public: it is in a book"


def test_a_file_that_the_manifest_does_not_name_is_found(
    tmp_path: Path, key: Path, verb: Run
) -> None:
    bundle = make_bundle(tmp_path, key)
    (bundle / "images" / "extra.erofs").write_bytes(b"")

    found = verdicts(verb("verify", "--json", bundle, status=1))

    assert found["files"] == "fail"


def test_a_file_that_is_missing_or_a_link_is_found(tmp_path: Path, key: Path, verb: Run) -> None:
    bundle = make_bundle(tmp_path, key)
    (bundle / "images" / "root.erofs").rename(tmp_path / "elsewhere")
    missing = verdicts(verb("verify", "--json", bundle, status=1))
    (bundle / "images" / "root.erofs").symlink_to(tmp_path / "elsewhere")
    linked = verdicts(verb("verify", "--json", bundle, status=1))

    assert missing["files"] == missing["image root"] == "fail"
    assert linked["files"] == "fail"


def test_the_image_of_another_bundle_is_refused_even_if_the_manifest_agrees(
    tmp_path: Path, key: Path, verb: Run
) -> None:
    bundle = make_bundle(tmp_path / "a", key)
    other = make_bundle(tmp_path / "b", key, hello=b"other\n")
    for name in ("images/root.erofs", "manifest.json"):
        (bundle / name).write_bytes((other / name).read_bytes())

    found = verdicts(verb("verify", "--json", bundle, status=1))

    assert found["image root"] == found["manifest-facts"] == "fail"


@pytest.mark.parametrize(
    ("policy", "changes", "name", "verdict"),
    [
        ("", {"debuggable": True}, "debug", Verdict.WARN),
        ("debug: allowed", {"debuggable": True}, "debug", Verdict.PASS),
        ("debug: forbidden", {"debuggable": True}, "debug", Verdict.FAIL),
        ("product_id: 7", {"debuggable": True}, "debug", Verdict.FAIL),
        ("product_id: 8", {}, "product-id", Verdict.FAIL),
        ("product_id: 7", {}, "product-id", Verdict.PASS),
        ("min_version_number: 3", {}, "version-number", Verdict.PASS),
        ("min_version_number: 4", {}, "version-number", Verdict.FAIL),
        ("earliest_date: 2030-01-31", {}, "date-limit", Verdict.PASS),
        ("earliest_date: 2030-02-01", {}, "date-limit", Verdict.FAIL),
        ("xfrm: [AVX, AVX512]", {}, "xfrm", Verdict.PASS),
        ("xfrm: [AVX]", {}, "xfrm", Verdict.FAIL),
        ("attributes: {required: [KSS]}", {}, "attributes", Verdict.FAIL),
        ("attributes: {required: [KSS]}", {"enable_kss": True}, "attributes", Verdict.PASS),
        ("attributes: {forbidden: [MODE64BIT]}", {}, "attributes", Verdict.FAIL),
        ("cet: {required: [ENDBR_EN]}", {}, "cet", Verdict.FAIL),
        ("cet: {required: []}", {}, "cet", Verdict.PASS),
        (f"kss: {{family_id: {'00' * 16}}}", {"enable_kss": True}, "family-id", Verdict.PASS),
        (f"kss: {{family_id: {'00' * 16}}}", {}, "family-id", Verdict.FAIL),
    ],
)
def test_a_policy_is_held(
    policy: str, changes: dict[str, object], name: str, verdict: Verdict
) -> None:
    assert judge(policy, **changes)[name] is verdict


def test_rights_and_strange_bits_are_called_out(key: Path) -> None:
    identity = metadata().identity(bytes(32))
    flags = identity.attributes.flags

    def verdict(name: str, **changes: Any) -> Verdict:
        checks = term_checks(replace(identity, **changes), None)
        return {one.name: one.verdict for one in checks}[name]

    provision = Attributes(flags | AttributeFlags.PROVISIONKEY, 3)
    strange = Attributes(flags | 1 << 48, 3)
    started = Attributes(flags | AttributeFlags.INIT, 3)
    loose = Attributes(~int(AttributeFlags.PROVISIONKEY) & (1 << 64) - 1, 3)
    assert verdict("attributes", attributes=provision) is Verdict.WARN
    assert verdict("attributes", attributes=strange) is Verdict.FAIL
    assert verdict("attributes", attributes=started) is Verdict.FAIL
    assert verdict("attribute-mask", attribute_mask=loose) is Verdict.WARN
    assert verdict("xfrm", attributes=Attributes(flags, 1)) is Verdict.FAIL
    assert verdict("misc-select", misc_select=1 << 5) is Verdict.FAIL
    assert verdict("kss", family_id=b"x" * 16) is Verdict.FAIL
    assert verdict("cet", cet_attributes=1) is Verdict.FAIL
    packed = sign(identity, read_private_key(key)).pack()
    assert {one.verdict for one in signature_checks(packed)} == {Verdict.PASS}


def test_debug_that_is_off_but_not_pinned_is_a_warning() -> None:
    identity = metadata().identity(bytes(32))
    mask = replace(identity.attribute_mask, flags=identity.attribute_mask.flags & ~2)

    (check,) = [
        one
        for one in term_checks(replace(identity, attribute_mask=mask), None)
        if one.name == "debug"
    ]

    assert check.verdict is Verdict.WARN
    assert "not pinned" in check.finding


def test_a_policy_without_demands_forbids_debug_and_published_keys() -> None:
    policy = read_policy(Path("p.yaml"), "version: 1\n")

    assert (policy.debug, policy.published_key) == ("forbidden", "forbidden")
    assert policy == Policy(version=1)


@pytest.mark.parametrize(
    "text", ["", "[]", "version: 2", "version: 1\ndebug: no", "version: 1\nkss: {", "version: '1'"]
)
def test_a_policy_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        read_policy(Path("p.yaml"), text)


@pytest.mark.parametrize("verb_name", ["verify", "diff"])
def test_it_runs_where_no_package_is_installed(bundle: Path, verb_name: str) -> None:
    """Python's `-S` hides what is installed; the launcher starts these verbs like that."""
    files = [str(bundle)] * (2 if verb_name == "diff" else 1)
    words = [verb_name, *files]
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1));"
        "from occlum_build.cli.start import is_standalone, work;"
        "assert is_standalone(sys.argv[1:]); sys.exit(work(sys.argv[1:]))"
    )

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, ROOT, *words],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_options_that_need_packages_are_known_to_the_launcher() -> None:
    assert is_standalone(["verify", "x", "--json"])
    assert not is_standalone(["verify", "x", "--policy", "p.yaml"])
    assert not is_standalone(["verify", "x", "--provenance-key=k.pem"])
    assert not is_standalone(["sign", "x"])
    assert not is_standalone([])
