"""The promise: two people who share nothing but the sources and a key build the same bytes."""

import filecmp
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import Checkout, copy_project, make_key, share_downloads

EXAMPLES = ("hello_c", "hello_glibc", "hello_rust", "hello_cpp", "custom_rule")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Checkout, Checkout]]:
    """All examples, built twice in circumstances that differ wherever two machines could."""
    keys = tmp_path_factory.mktemp("keys")
    key = keys / "key.pem"
    make_key(key)
    first = make(
        tmp_path_factory.mktemp("a") / "x",
        env={"TZ": "UTC", "LANG": "C", "USER": "alice", "LOGNAME": "alice"},
        umask=0o022,
        backwards=False,
    )
    second = make(
        tmp_path_factory.mktemp("another place") / "much deeper/than/the other/checkout",
        env={
            "TZ": "Asia/Kathmandu",
            "LANG": "de_DE.UTF-8",
            "LC_ALL": "de_DE.UTF-8",
            "USER": "bob",
            "LOGNAME": "bob",
            "CFLAGS": "-DEVIL",
            "RUSTFLAGS": "--cfg evil",
            "SOURCE_DATE_EPOCH": "1234567890",
        },
        umask=0o077,
        backwards=True,
        wrapper=other_user(),
    )
    leave_traps(second)
    labels = [f"//examples/{one}:enclave" for one in EXAMPLES]
    for checkout, jobs in ((first, "1"), (second, "4")):
        checkout.run("build", "--jobs", jobs, "--key", f"development={key}", *labels)
    yield first, second
    for checkout in (first, second):
        shutil.rmtree(checkout.root, ignore_errors=True)
        shutil.rmtree(checkout.cache, ignore_errors=True)


def make(
    place: Path,
    *,
    env: dict[str, str],
    umask: int,
    backwards: bool,
    wrapper: tuple[str, ...] = (),
) -> Checkout:
    """A checkout below `place` with a home, a directory for temporary files and a cache."""
    home, temporary, cache, root = (place / one for one in ("home", "tmp", "cache", "source"))
    for folder in (home, temporary):
        folder.mkdir(parents=True)
    old = os.umask(umask)
    try:
        copy_project(root, backwards=backwards)
    finally:
        os.umask(old)
    share_downloads(cache)
    real_home = os.environ.get("HOME", "/")
    places = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", f"{real_home}/.rustup"),
        # rustup is a prerequisite and not of this home; where it lies is not part of any output.
        "PATH": f"{os.environ.get('PATH', os.defpath)}:{real_home}/.cargo/bin",
    }
    return Checkout(root, cache, {**places, **env}, umask, wrapper)


def leave_traps(checkout: Checkout) -> None:
    """Settings of a user's own, where cargo would find them if it were let."""
    home = Path(checkout.env["HOME"])
    for folder, text in (
        (checkout.root.parent, '[build]\nrustc = "/bin/false"\n'),
        (home, '[build]\nrustflags = ["--cfg", "evil"]\n[profile.release]\nopt-level = 0\n'),
    ):
        (folder / ".cargo").mkdir()
        (folder / ".cargo/config.toml").write_text(text, encoding="utf-8")


def other_user() -> tuple[str, ...]:
    """A command that gives another user name and number, where the kernel allows it."""
    wrapper = ("unshare", "--user", "--map-user=4321")
    try:
        done = subprocess.run([*wrapper, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return ()
    return wrapper if done.returncode == 0 else ()


def entries(root: Path) -> dict[str, int]:
    """Each entry below a directory, with its mode."""
    found = sorted(root.rglob("*"))
    return {one.relative_to(root).as_posix(): stat.S_IMODE(one.lstat().st_mode) for one in found}


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_file_of_a_bundle_is_the_same(
    twins: tuple[Checkout, Checkout], example: str
) -> None:
    first, second = (one.output(f"examples/{example}/enclave.bundle") for one in twins)

    assert entries(first) == entries(second)
    files = [name for name in entries(first) if (first / name).is_file()]
    assert {"manifest.json", "enclave.sgxs", "enclave.sig", "images/root.erofs"} <= set(files)
    assert filecmp.cmpfiles(first, second, files, shallow=False)[1:] == ([], [])


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_step_on_the_way_is_the_same(twins: tuple[Checkout, Checkout], example: str) -> None:
    first, second = (one.output(f"examples/{example}") for one in twins)

    modes = [
        {name: mode for name, mode in entries(root).items() if (root / name).is_file()}
        for root in (first, second)
    ]
    assert modes[0] == modes[1]
    assert filecmp.cmpfiles(first, second, list(modes[0]), shallow=False)[1:] == ([], [])


def test_the_libos_and_the_runner_are_the_same(twins: tuple[Checkout, Checkout]) -> None:
    first, second = (one.output("libos_src") for one in twins)

    for name in ("libos.elf", "occlum_run"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_no_output_names_a_place_of_the_machine(twins: tuple[Checkout, Checkout]) -> None:
    for checkout in twins:
        places = [str(checkout.root), str(checkout.cache), str(Path.home())]
        for file in checkout.output("").rglob("*"):
            if file.is_file() and not file.is_symlink() and file.suffix != ".whl":
                content = file.read_bytes()
                assert not [one for one in places if f"{one}/".encode() in content], file
