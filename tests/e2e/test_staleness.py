"""A change rebuilds exactly what depends on it: each case is a bug that other tools have had."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.checkout import Checkout, copy_project, machine_cache, make_key

pytestmark = pytest.mark.slow

ENCLAVE = "//app:enclave"
BUILD = """\
load("@occlum//rules:defs.bzl", "cc_binary", "deb_archive", "enclave_app", "rootfs")

cc_binary(
    name = "hello",
    srcs = ["hello.c", "hello.h"],
    target = "x86_64-linux-gnu.2.36",
)

deb_archive(name = "libc6", package = "libc6")

rootfs(name = "extra", files = {"/etc/extra": "extra.txt"})

enclave_app(
    name = "enclave",
    config = "Occlum.yaml",
    files = {"/bin/hello": ":hello", "/bin/script": "script"},
    libraries = [":libc6", ":extra"],
    packages = [":extra"],
    symlinks = {"/bin/link": "hello"},
)
"""
CONFIG = """\
process: {command: [/bin/hello]}
metadata: {version_number: 1}
mount: [{type: erofs, target: /, image: root}]
"""
PROGRAM = '#include <stdio.h>\n#include "hello.h"\nint main(void) { puts(TEXT); return 0; }\n'


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout with a package `app`, built once."""
    place = tmp_path_factory.mktemp("staleness")
    root = place / "source"
    copy_project(root)
    app = root / "app"
    app.mkdir()
    for name, content in {
        "BUILD": BUILD,
        "Occlum.yaml": CONFIG,
        "hello.c": PROGRAM,
        "hello.h": '#define TEXT "hello"\n',
        "script": "#!/bin/hello\n",
        "extra.txt": "one\n",
    }.items():
        (app / name).write_text(content, encoding="utf-8")
    for name in ("first", "second"):
        make_key(place / f"{name}.pem")
    made = Checkout(root, machine_cache())
    build(made)
    return made


def build(checkout: Checkout, key: str = "first") -> set[str]:
    """Build the enclave with a key; the kinds of actions that ran."""
    pem = checkout.root.parent / f"{key}.pem"
    return checkout.run("build", "--key", f"development={pem}", ENCLAVE).mnemonics


def measurement(checkout: Checkout) -> bytes:
    """The measured enclave."""
    return checkout.output("app/enclave_measured.sgxs").read_bytes()


DESCRIBED = {"Lineage", "Evidence", "Bundle"}
"""What follows any change of a source: the provenance names another digest."""
AFTER_IMAGE = {"SealConfig", "Enclave", "Sign"} | DESCRIBED


def replace(path: Path, old: str, new: str) -> None:
    """Change a text; its time is put back, as a careless tool would do."""
    status = path.stat()
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def changed(checkout: Checkout, change: Callable[[], None]) -> tuple[set[str], bool]:
    """What ran after the change, and whether the measurement is another one."""
    build(checkout)
    before = measurement(checkout)
    change()
    ran = build(checkout)
    assert build(checkout) == set(), "a second build has nothing to do"
    return ran, measurement(checkout) != before


def test_a_second_build_does_nothing(checkout: Checkout) -> None:
    build(checkout)

    assert build(checkout) == set()


def test_a_new_time_stamp_alone_changes_nothing(checkout: Checkout) -> None:
    def touch() -> None:
        for file in (checkout.root / "app").iterdir():
            file.touch()

    assert changed(checkout, touch) == (set(), False)


def test_another_key_signs_anew_and_measures_nothing(checkout: Checkout) -> None:
    build(checkout, "first")
    before = measurement(checkout)

    assert build(checkout, "second") == {"Sign", "Bundle"}
    assert measurement(checkout) == before
    assert build(checkout, "first") == {"Sign", "Bundle"}


def test_a_changed_configuration_measures_anew(checkout: Checkout) -> None:
    config = checkout.root / "app/Occlum.yaml"

    ran = changed(checkout, lambda: replace(config, "[/bin/hello]", "[/bin/hello, again]"))

    assert ran == (AFTER_IMAGE, True)


def test_what_only_the_signature_says_measures_nothing(checkout: Checkout) -> None:
    config = checkout.root / "app/Occlum.yaml"

    ran = changed(checkout, lambda: replace(config, "version_number: 1", "version_number: 2"))

    assert ran == ({"SealConfig", "Sign"} | DESCRIBED, False)


def test_a_comment_in_the_configuration_stops_at_the_sealed_form(checkout: Checkout) -> None:
    config = checkout.root / "app/Occlum.yaml"

    ran = changed(checkout, lambda: replace(config, "process:", "# a comment\nprocess:"))

    assert ran == ({"SealConfig"} | DESCRIBED, False)


def test_a_changed_header_compiles_and_measures_anew(checkout: Checkout) -> None:
    header = checkout.root / "app/hello.h"

    ran = changed(checkout, lambda: replace(header, "hello", "hallo"))

    assert ran == ({"CcCompile", "CcLink", "Rootfs", "ErofsImage"} | AFTER_IMAGE, True)


def test_a_comment_in_a_source_stops_at_the_object_file(checkout: Checkout) -> None:
    source = checkout.root / "app/hello.c"

    ran = changed(checkout, lambda: replace(source, "int main", "/* here */ int main"))

    assert ran == ({"CcCompile"} | DESCRIBED, False)


def test_a_changed_file_of_a_layer_measures_anew(checkout: Checkout) -> None:
    ran = changed(checkout, lambda: replace(checkout.root / "app/extra.txt", "one", "two"))

    assert ran == ({"Rootfs", "ErofsImage"} | AFTER_IMAGE, True)


def test_a_changed_mode_bit_measures_anew(checkout: Checkout) -> None:
    script = checkout.root / "app/script"

    ran = changed(checkout, lambda: script.chmod(0o755))

    assert ran == ({"Rootfs", "ErofsImage"} | AFTER_IMAGE, True)


def test_a_mode_bit_that_a_umask_decides_changes_nothing(checkout: Checkout) -> None:
    def narrow() -> None:
        for name in ("extra.txt", "hello.c", "hello.h"):
            (checkout.root / "app" / name).chmod(0o600)

    assert changed(checkout, narrow) == (set(), False)


def test_a_changed_symlink_measures_anew(checkout: Checkout) -> None:
    build_file = checkout.root / "app/BUILD"

    ran = changed(
        checkout, lambda: replace(build_file, '"/bin/link": "hello"', '"/bin/link": "script"')
    )

    assert ran == ({"Write", "Rootfs", "ErofsImage"} | AFTER_IMAGE, True)


def test_a_source_that_is_a_symlink_is_followed(checkout: Checkout) -> None:
    app = checkout.root / "app"
    (app / "other").write_text("three\n", encoding="utf-8")

    def link() -> None:
        (app / "extra.txt").unlink()
        (app / "extra.txt").symlink_to("other")

    assert changed(checkout, link)[1]
    ran = changed(checkout, lambda: replace(app / "other", "three", "four"))
    assert ran == ({"Rootfs", "ErofsImage"} | AFTER_IMAGE, True)


def test_a_changed_library_measures_anew(checkout: Checkout) -> None:
    """The library that the closure takes is replaced by one that differs in one byte."""
    app = checkout.root / "app"
    tree = checkout.output("app/libc6.tar")
    name = "lib/x86_64-linux-gnu/libc.so.6"
    subprocess.run(
        ["tar", "-xf", tree, "-C", app, name, "lib64/ld-linux-x86-64.so.2",
         "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"], check=True,
    )  # fmt: skip
    shutil.copyfile(app / name, app / "libc.so.6")
    shutil.copyfile(app / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", app / "ld.so")
    for one in ("lib", "lib64"):
        shutil.rmtree(app / one)
    replace(
        app / "BUILD",
        'deb_archive(name = "libc6", package = "libc6")',
        'rootfs(name = "libc6", files = {"/lib64/ld-linux-x86-64.so.2": "ld.so",'
        ' "/lib/x86_64-linux-gnu/libc.so.6": "libc.so.6"})',
    )

    def patch() -> None:
        library = app / "libc.so.6"
        content = library.read_bytes()
        assert b"GNU C Library" in content
        library.write_bytes(content.replace(b"GNU C Library", b"GNU D Library"))

    assert changed(checkout, patch) == ({"Rootfs", "ErofsImage"} | AFTER_IMAGE, True)


def test_a_changed_packer_packs_anew_and_stops_where_nothing_differs(
    checkout: Checkout,
) -> None:
    packer = checkout.root / "occlum_build/fs/__init__.py"

    def edit() -> None:
        packer.write_text(packer.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")

    ran, is_new = changed(checkout, edit)

    assert {"Rootfs", "ErofsImage"} <= ran
    assert not ran & {"CcCompile", "CcLink", "Enclave", "Sign"}
    assert not is_new


def test_an_edit_of_the_engine_rebuilds_nothing(checkout: Checkout) -> None:
    engine = checkout.root / "occlum_build/analysis/outputs.py"

    def edit() -> None:
        engine.write_text(engine.read_text(encoding="utf-8") + "# edited\n", encoding="utf-8")

    assert changed(checkout, edit) == (set(), False)


def test_a_changed_libos_measures_anew_and_compiles_no_program(checkout: Checkout) -> None:
    manifest = checkout.root / "libos_src/crates/libos/src/main.rs"

    def edit() -> None:
        with manifest.open("a", encoding="utf-8") as file:
            file.write("\n// edited\n")

    ran, _ = changed(checkout, edit)

    assert "Libos" in ran
    assert not ran & {"CcCompile", "CcLink", "Rootfs", "ErofsImage", "SealConfig"}


@pytest.mark.parametrize("name", ["enclave_measured.sgxs", "enclave_root.erofs", "hello"])
def test_an_output_that_is_gone_is_made_again(checkout: Checkout, name: str) -> None:
    output = checkout.output(f"app/{name}")
    build(checkout)
    before = output.read_bytes()

    output.unlink()
    build(checkout)

    assert output.read_bytes() == before


def test_an_output_that_somebody_edited_is_made_again(checkout: Checkout) -> None:
    output = checkout.output("app/enclave_measured.sgxs")
    build(checkout)
    before = output.read_bytes()

    output.chmod(0o644)
    output.write_bytes(b"evil" + before[4:])
    build(checkout)

    assert output.read_bytes() == before


def test_a_source_that_goes_back_in_time_is_noticed(checkout: Checkout) -> None:
    header = checkout.root / "app/hello.h"
    old = header.read_text(encoding="utf-8")
    build(checkout)
    before = measurement(checkout)
    header.write_text('#define TEXT "something newer"\n', encoding="utf-8")
    build(checkout)
    assert measurement(checkout) != before

    header.write_text(old, encoding="utf-8")
    os.utime(header, (0, 0))
    build(checkout)

    assert measurement(checkout) == before
