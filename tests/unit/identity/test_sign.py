"""`occlum-build sign`: every way to sign gives the same bytes, and a wrong one gives none."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from occlum_build.sgx.secinfo import READ_WRITE
from occlum_build.sgx.sigstruct import SigStruct
from occlum_build.sgx.stream import PageRun
from occlum_build.sgx.verify import parse_and_check
from tests.support.bundles import manifest_of
from tests.support.naive_stream import naive_stream
from tests.support.sgx_samples import vector

Run = Callable[..., subprocess.CompletedProcess[str]]
MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "4711"


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def signed(path: Path) -> SigStruct:
    return parse_and_check(path.read_bytes(), str(path))


@pytest.fixture
def elsewhere(bundle: Path, key: Path, verb: Run, tmp_path: Path) -> Path:
    """A directory with what a signer elsewhere gets and gives."""
    verb("sign", bundle, "--emit-tbs", tmp_path / "tbs", "--date", "2030-01-31")
    openssl("dgst", "-sha256", "-sign", key, "-out", tmp_path / "raw", tmp_path / "tbs")
    openssl("rsa", "-in", key, "-pubout", "-out", tmp_path / "public.pem")
    return tmp_path


def attach(folder: Path, *more: str | Path) -> list[str | Path]:
    return [
        *("sign", folder / "tbs", "--attach", folder / "raw"),
        *("--public-key", folder / "public.pem", "--output", folder / "there.sig", *more),
    ]


def test_two_steps_give_the_bytes_of_one(
    elsewhere: Path, bundle: Path, key: Path, verb: Run
) -> None:
    here = elsewhere / "here"
    verb("sign", bundle, "--key", key, "--date", "2030-01-31", "--output", here)
    verb(*attach(elsewhere))

    assert (elsewhere / "there.sig").read_bytes() == (here / "enclave.sig").read_bytes()


def test_what_is_to_be_signed_is_256_bytes_with_the_mrenclave(
    elsewhere: Path, bundle: Path
) -> None:
    tbs = (elsewhere / "tbs").read_bytes()

    assert len(tbs) == 256
    assert tbs[188:220] == hashlib.sha256((bundle / "enclave.sgxs").read_bytes()).digest()


def test_the_block_of_another_signer_is_completed(key: Path, verb: Run, tmp_path: Path) -> None:
    theirs = vector("mobilecoin-valid.css")
    (tmp_path / "tbs").write_bytes(theirs[:128] + theirs[900:1028])

    verb("sign", tmp_path / "tbs", "--key", key, "--output", tmp_path / "sig")

    assert signed(tmp_path / "sig").identity == SigStruct.parse(theirs).identity


def test_a_bundle_is_signed_into_another_that_says_so(
    bundle: Path, other_key: Path, verb: Run, tmp_path: Path
) -> None:
    before = {one: one.read_bytes() for one in bundle.rglob("*") if one.is_file()}

    verb("sign", bundle, "--key", other_key, "--version-number", "9", "--output", tmp_path / "new")

    sigstruct = signed(tmp_path / "new" / "enclave.sig")
    manifest = manifest_of(tmp_path / "new")
    assert before == {one: one.read_bytes() for one in bundle.rglob("*") if one.is_file()}
    assert sigstruct.identity.isv_svn == manifest["isv_svn"] == 9
    assert sigstruct.mrsigner.hex() == manifest["mrsigner"]
    assert manifest["mrenclave"] == manifest_of(bundle)["mrenclave"]
    digests = {
        str(one.relative_to(tmp_path / "new")): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in (tmp_path / "new").rglob("*")
        if one.is_file() and one.name != "manifest.json"
    }
    files = manifest["files"]
    assert isinstance(files, list)
    assert {one["path"]: one["sha256"] for one in files} == digests
    assert (tmp_path / "new" / "bin" / "occlum-run").stat().st_mode & 0o777 == 0o755


def test_a_bundle_that_was_changed_is_not_signed(
    bundle: Path, key: Path, verb: Run, tmp_path: Path
) -> None:
    changed = shutil.copytree(bundle, tmp_path / "changed")
    data = bytearray((changed / "enclave.sgxs").read_bytes())
    data[-100] ^= 1
    (changed / "enclave.sgxs").write_bytes(data)

    done = verb("sign", changed, "--key", key, "--output", tmp_path / "new", status=2)

    assert "OB0561" in done.stderr or "OB0542" in done.stderr
    assert not (tmp_path / "new").exists()


def test_an_sgxs_file_is_signed_with_the_fields_of_its_metadata(
    bundle: Path, key: Path, verb: Run, tmp_path: Path
) -> None:
    sgxs, metadata = bundle / "enclave.sgxs", bundle.parent / "metadata.json"

    verb(
        *("sign", sgxs, "--metadata", metadata),
        *("--key", key, "--output", tmp_path / "enclave.sig"),
    )

    assert (tmp_path / "enclave.sig").read_bytes() == (bundle / "enclave.sig").read_bytes()


def test_every_field_can_be_named(bundle: Path, key: Path, verb: Run, tmp_path: Path) -> None:
    verb(
        *("sign", bundle / "enclave.sgxs", "--key", key, "--output", tmp_path / "sig"),
        *("--date", "2031-12-01", "--product-id", "0x10", "--version-number", "2"),
        *("--debuggable", "false", "--enable-kss", "true"),
        *("--family-id", "aa" * 16, "--ext-prod-id", "bb" * 16),
        *("--misc-select", "0", "--misc-mask", "0xffffffff"),
    )

    identity = signed(tmp_path / "sig").identity
    assert (identity.date, identity.isv_prod_id, identity.isv_svn) == ("20311201", 16, 2)
    assert identity.family_id + identity.ext_prod_id == b"\xaa" * 16 + b"\xbb" * 16
    assert identity.attributes.flags == 0x84
    assert identity.attribute_mask.flags == 0xFFFF_FFFF_FFFF_FFFF
    assert (identity.misc_select, identity.misc_mask) == (0, 0xFFFF_FFFF)


def test_debug_mode_is_allowed_where_nothing_measured_forbids_it(
    elsewhere: Path, bundle: Path, key: Path, verb: Run, tmp_path: Path
) -> None:
    words = ["--key", key, "--output", tmp_path / "sig", "--debuggable", "true"]

    verb("sign", elsewhere / "tbs", *words)
    refused = verb("sign", bundle, *words, status=2)

    identity = signed(tmp_path / "sig").identity
    assert identity.attributes.flags == 0x6
    assert identity.attribute_mask.flags == 0xFFFF_FFFF_FFFF_FFFD
    assert "OB0569" in refused.stderr


def test_an_enclave_of_another_maker_is_measured_and_signed(
    key: Path, verb: Run, tmp_path: Path
) -> None:
    """Its page order is not canonical, as Gramine's is not."""
    runs = [
        PageRun("b", 0x3000, 1, READ_WRITE, measured=True, data=b"b"),
        PageRun("a", 0x1000, 1, READ_WRITE, measured=True, data=b"a"),
    ]
    stream = naive_stream(0x4000, 1, runs)
    (tmp_path / "x.sgxs").write_bytes(stream)

    verb("sign", tmp_path / "x.sgxs", "--key", key, "--output", tmp_path / "sig")

    assert signed(tmp_path / "sig").identity.mrenclave == hashlib.sha256(stream).digest()


def test_ids_without_kss_are_refused(bundle: Path, key: Path, verb: Run, tmp_path: Path) -> None:
    done = verb(
        *("sign", bundle / "enclave.sgxs", "--key", key, "--output", tmp_path / "sig"),
        *("--family-id", "aa" * 16),
        status=2,
    )

    assert "OB0565" in done.stderr
    assert not (tmp_path / "sig").exists()


def test_a_signature_in_the_byte_order_of_sigstruct_is_named(elsewhere: Path, verb: Run) -> None:
    (elsewhere / "raw").write_bytes((elsewhere / "raw").read_bytes()[::-1])

    done = verb(*attach(elsewhere), status=2)

    assert "this signature is in the wrong byte order" in done.stderr
    assert not (elsewhere / "there.sig").exists()


def test_a_signature_by_another_key_is_named(elsewhere: Path, other_key: Path, verb: Run) -> None:
    openssl("dgst", "-sha256", "-sign", other_key, "-out", elsewhere / "raw", elsewhere / "tbs")

    done = verb(*attach(elsewhere), status=2)

    assert "this signature was not made by this key" in done.stderr
    assert not (elsewhere / "there.sig").exists()


def test_a_signature_of_other_bytes_is_named(elsewhere: Path, verb: Run) -> None:
    done = verb(*attach(elsewhere, "--version-number", "4"), status=2)

    assert "was made by this key, but for other bytes" in done.stderr
    assert not (elsewhere / "there.sig").exists()


def test_a_signature_that_is_wrapped_is_named(elsewhere: Path, verb: Run) -> None:
    openssl("base64", "-in", elsewhere / "raw", "-out", elsewhere / "raw.txt")
    (elsewhere / "raw.txt").rename(elsewhere / "raw")

    assert "a signature has 384 bytes" in verb(*attach(elsewhere), status=2).stderr


def test_a_key_of_another_signer_is_refused_before_anything_is_written(
    elsewhere: Path, bundle: Path, key: Path, verb: Run
) -> None:
    expected = ("--mrsigner", "ab" * 32)

    for words in (
        attach(elsewhere, *expected),
        ["sign", bundle, "--key", key, "--output", elsewhere / "new", *expected],
    ):
        assert "OB0563" in verb(*words, status=2).stderr
    assert not (elsewhere / "there.sig").exists()
    assert not (elsewhere / "new").exists()


def test_the_expected_signer_is_taken(elsewhere: Path, bundle: Path, verb: Run) -> None:
    mrsigner = signed(bundle / "enclave.sig").mrsigner.hex()

    verb(*attach(elsewhere, "--mrsigner", mrsigner))

    assert signed(elsewhere / "there.sig").mrsigner.hex() == mrsigner


def test_json_says_what_was_signed(bundle: Path, key: Path, verb: Run, tmp_path: Path) -> None:
    done = verb("sign", bundle, "--json", "--key", key, "--output", tmp_path / "new")

    facts = json.loads(done.stdout)
    assert facts["schema"] == "occlum-build/sign/1"
    assert facts["mrenclave"] == manifest_of(bundle)["mrenclave"]
    assert (facts["isv_prod_id"], facts["isv_svn"], facts["debug"]) == (7, 3, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no key is named"),
        (["--key", "k", "--attach", "s"], "`--key`, `--attach` are different ways to sign"),
        (["--key", "k"], "`--key` needs `--output`"),
        (["--attach", "s", "--output", "o"], "`--attach` needs `--public-key`"),
        (["--pkcs11-module", "m", "--output", "o"], "`--pkcs11-module` needs `--key-id`"),
        (["--key", "k", "--output", "o", "--token", "t"], "`--token` means nothing with `--key`"),
        (["--key", "k", "--output", "o", "--date", "2030-02-30"], "is no date"),
        (["--key", "k", "--output", "o", "--version-number", "65536"], "not a number of 16 bits"),
        (["--key", "k", "--output", "o", "--mrsigner", "00"], "not 64 hexadecimal digits"),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much_is_refused(
    bundle: Path, verb: Run, words: list[str], message: str
) -> None:
    assert message in verb("sign", bundle, *words, status=2).stderr


def test_what_is_written_takes_the_place_of_a_file_and_of_nothing_else(
    bundle: Path, verb: Run, tmp_path: Path
) -> None:
    pipe, link, there = tmp_path / "pipe", tmp_path / "link", tmp_path / "there"
    os.mkfifo(pipe)
    there.write_bytes(b"old")
    link.symlink_to(there)

    refused = verb("sign", bundle, "--emit-tbs", pipe, status=1)
    verb("sign", bundle, "--emit-tbs", link)

    assert "it is not a regular file" in refused.stderr
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert len(there.read_bytes()) == 256


class TestDevice:
    """Keys on a token of SoftHSM2, which Debian has as `softhsm2`."""

    @pytest.fixture
    def token(self, key: Path, other_key: Path, tmp_path: Path) -> dict[str, str]:
        """The environment of a token with two keys of one label, the wrong one first."""
        pytest.importorskip("pkcs11")
        if shutil.which("softhsm2-util") is None:
            pytest.skip("softhsm2 is not installed")
        (tmp_path / "tokens").mkdir()
        configuration = tmp_path / "softhsm2.conf"
        configuration.write_text(
            f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n"
        )
        env = {"SOFTHSM2_CONF": str(configuration)}
        there = ["--token", "release", "--label", "key", "--pin", PIN]
        commands = [
            ["--init-token", "--free", "--label", "release", "--so-pin", "1234", "--pin", PIN],
            *(
                ["--import", str(pem), "--id", number, *there]
                for number, pem in (("01", other_key), ("a1b2", key))
            ),
        ]
        for words in commands:
            subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, env=env)
        (tmp_path / "pin").write_text(f"{PIN}\n")
        return env

    @staticmethod
    def words(folder: Path, **changes: str) -> list[str | Path]:
        options = {
            "pkcs11-module": MODULE,
            "token": "release",
            "key-id": "a1b2",
            "pin-file": str(folder / "pin"),
            "output": str(folder / "device.sig"),
        } | {name.replace("_", "-"): value for name, value in changes.items()}
        return [word for name, value in options.items() if value for word in (f"--{name}", value)]

    def test_a_device_gives_the_bytes_of_a_local_signature(
        self, token: dict[str, str], elsewhere: Path, verb: Run
    ) -> None:
        verb(*attach(elsewhere))

        verb("sign", elsewhere / "tbs", *self.words(elsewhere), **token)

        assert (elsewhere / "device.sig").read_bytes() == (elsewhere / "there.sig").read_bytes()

    def test_the_id_chooses_among_keys_of_one_label(
        self, token: dict[str, str], elsewhere: Path, other_key: Path, verb: Run
    ) -> None:
        verb("sign", elsewhere / "tbs", "--key", other_key, "--output", elsewhere / "other.sig")

        verb("sign", elsewhere / "tbs", *self.words(elsewhere, key_id="01"), **token)

        assert (elsewhere / "device.sig").read_bytes() == (elsewhere / "other.sig").read_bytes()

    def test_a_pin_that_others_can_read_is_told(
        self, token: dict[str, str], elsewhere: Path, verb: Run
    ) -> None:
        said = []
        for mode in (0o644, 0o600):
            (elsewhere / "pin").chmod(mode)
            done = verb("sign", elsewhere / "tbs", *self.words(elsewhere), **token)
            said.append("warning[OB0555]: everybody can read this PIN" in done.stderr)

        assert said == [True, False]

    def test_the_pin_may_come_from_the_environment(
        self, token: dict[str, str], elsewhere: Path, verb: Run
    ) -> None:
        words = self.words(elsewhere, pin_file="", pin_env="THE_PIN")

        verb("sign", elsewhere / "tbs", *words, THE_PIN=PIN, **token)

        assert (elsewhere / "device.sig").exists()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"key_id": "ff"}, "the token has 0 private keys with the id `ff`"),
            ({"token": "other"}, "shows 0 tokens where the token `other` was expected"),
            ({"pkcs11_module": "/no/module.so"}, "the module `/no/module.so` does not load"),
            ({"pin_file": "", "pin_env": "NO_PIN"}, "the variable `NO_PIN` is not set"),
            ({"pin_file": ""}, "there is no terminal to ask for the PIN on"),
            ({"mrsigner": "00" * 32}, "this is another key than the one that was expected"),
        ],
    )
    def test_what_is_wrong_is_named_and_nothing_is_written(
        self,
        token: dict[str, str],
        elsewhere: Path,
        verb: Run,
        changes: dict[str, str],
        message: str,
    ) -> None:
        words = self.words(elsewhere, **changes)

        done = verb("sign", elsewhere / "tbs", *words, status=2, stdin="", **token)

        assert message in done.stderr
        assert not (elsewhere / "device.sig").exists()

    def test_a_wrong_pin_is_tried_once(
        self, token: dict[str, str], elsewhere: Path, verb: Run
    ) -> None:
        (elsewhere / "pin").write_text("0000")

        done = verb("sign", elsewhere / "tbs", *self.words(elsewhere), status=2, **token)

        assert "the PIN is wrong" in done.stderr
