"""What an Occlum.yaml means, and what its defaults are."""

import pytest

from occlum_build.config import load
from occlum_build.config.checks import MAX_ADDED_BYTES, MAX_ENCLAVE_BYTES
from occlum_build.config.schema import MAX_THREADS
from occlum_build.sgx import layout
from tests.support.config_samples import HELLO, config_of, problems_of


def test_six_lines_are_a_whole_configuration() -> None:
    config = config_of(HELLO)

    assert len(HELLO.splitlines()) == 6
    assert config.process.command == ("/bin/hello",)
    assert config.entry_points == ("/bin",)
    assert config.resource_limits.user_space_size == 300 << 20
    assert config.resource_limits.max_num_of_threads == 32
    assert not config.metadata.debuggable
    assert config.feature.memory_model == "sgx1"


def test_nothing_is_no_path() -> None:
    (message,) = problems_of(HELLO + 'entry_points: [""]\n')

    assert message == "path `` is not absolute"


@pytest.mark.parametrize(("size", "problems"), [("508KB", 1), ("512KB", 0)])
def test_the_library_os_starts_with_no_smaller_heap(size: str, problems: int) -> None:
    text = f"resource_limits: {{kernel_space_heap_size: {size}}}\n" + HELLO

    _, diagnostics = load(text, "Occlum.yaml")

    said = [one.message for one in diagnostics]
    assert said == ["the LibOS needs a heap of at least 512KB"] * problems


def test_json_is_yaml_too() -> None:
    config = config_of(
        '{"process": {"command": ["/bin/hello"]},\n'
        ' "mount": [{"type": "erofs", "target": "/", "image": "root"}]}\n'
    )

    assert config == config_of(HELLO)


def test_everything_that_occlum_can_run_here_can_be_said() -> None:
    config = config_of("""\
resource_limits:
  kernel_space_heap_size: 64MB
  kernel_space_heap_max_size: 64MB
  kernel_space_stack_size: 1MB
  user_space_size: 300MiB
  user_space_max_size: 300MB
  max_num_of_threads: 16
  init_num_of_threads: 16
process:
  command: [/usr/bin/server, --port, "80"]
  host_arguments: append
  working_directory: /srv
  default_stack_size: 4MB
  default_heap_size: 32MB
  default_mmap_size: 100MB
entry_points: [/bin, /usr/bin/server]
env:
  default: [LANG=C, EMPTY=, "MOTTO=a = b"]
  untrusted: [TZ]
metadata:
  product_id: 0
  version_number: 65535
  debuggable: true
  disable_log: true
  enable_kss: true
  family_id: {high: "0xffffffffffffffff", low: "0x1"}
  ext_prod_id: {low: "0x2"}
  date: 2030-01-31
feature:
  memory_model: edmm
  amx: 0
  pkru: 0
  io_uring: 0
  enable_posix_shm: false
mount:
  - {type: erofs, target: /, image: root}
  - {type: erofs, target: /opt/data, image: data-1.0}
  - {type: tmpfs, target: /tmp, size: 8MB}
""")

    assert config.resource_limits.user_space_size == 300 << 20
    assert config.metadata.family_id.to_bytes() == b"\1" + bytes(7) + b"\xff" * 8
    assert config.env.default == ("LANG=C", "EMPTY=", "MOTTO=a = b")


@pytest.mark.parametrize("word", ["yes", "no", "on", "Off", "y", "TRUE", "True"])
def test_words_of_yaml_1_1_stay_strings(word: str) -> None:
    config = config_of(HELLO.replace("/bin/hello", f"/bin/hello, {word}"))

    assert config.process.command[1] == word


@pytest.mark.parametrize("number", ["0755", "1:30", "0x10", "1_000", "1.5", ".5", "1e3", "+1"])
def test_numbers_of_yaml_1_1_stay_strings(number: str) -> None:
    config = config_of(HELLO.replace("/bin/hello", f"/bin/hello, {number}"))

    assert config.process.command[1] == number


def test_an_alias_means_what_it_names() -> None:
    config = config_of(HELLO + "env: {default: &names [A=1]}\nentry_points: &x [/bin]\n")

    assert config.env.default == ("A=1",)


def test_a_value_that_is_used_twice_can_have_a_name() -> None:
    config = config_of(
        HELLO + "resource_limits: {user_space_size: &size 64MB, kernel_space_heap_size: *size}\n"
    )

    assert config.resource_limits.kernel_space_heap_size == 64 << 20


def test_all_problems_come_at_once_in_the_order_of_the_text() -> None:
    _, diagnostics = load(
        "metadata: {product_id: 70000}\nfeature: {amx: 1}\nx: 1\n" + HELLO.replace("/bin", "bin"),
        "Occlum.yaml",
    )

    assert [(one.span.line, one.code) for one in diagnostics if one.span] == [
        (1, "OB0213"),
        (2, "OB0230"),
        (3, "OB0210"),
        (5, "OB0220"),
    ]


def test_a_wrong_value_is_not_blamed_twice() -> None:
    text = "resource_limits: {user_space_size: 1XB}\nprocess: {default_heap_size: 2GB}\n"

    messages = problems_of(text)

    assert "size `1XB` has an unknown unit `XB`" in messages
    assert not any("too small" in message for message in messages)


def test_the_host_may_name_the_program_if_it_is_allowed_to() -> None:
    config = config_of(HELLO.replace("command: [/bin/hello]", "host_arguments: replace"))

    assert config.process.command == ()


@pytest.mark.parametrize(
    ("program", "entry_point"),
    [("/bin/hello", "/bin"), ("/bin/hello", "/bin/hello"), ("/bin/hello", "/")],
)
def test_a_program_lies_under_its_entry_point(program: str, entry_point: str) -> None:
    text = HELLO.replace("/bin/hello", program) + f"entry_points: [{entry_point}]\n"

    assert config_of(text).entry_points == (entry_point,)


@pytest.mark.parametrize("entry_point", ["/bi", "/bin/hell", "/bin/hello/x", "/sbin"])
def test_a_program_elsewhere_is_refused(entry_point: str) -> None:
    (message,) = problems_of(HELLO + f"entry_points: [{entry_point}]\n")

    assert message == "the program `/bin/hello` lies under no entry point"


def test_nobody_has_to_read_ten_thousand_problems() -> None:
    _, diagnostics = load("".join(f"key{n}: 1\n" for n in range(10_000)), "Occlum.yaml")

    assert len(diagnostics) == 101
    assert diagnostics[-1].message == "there are 9902 more problems"


def test_nobody_has_to_read_a_message_of_a_hundred_pages() -> None:
    (message,) = problems_of(HELLO + f"entry_points: [/bin, {'x' * 100_000}]\n")

    assert message.startswith("path `xxx")
    assert len(message) < 500


@pytest.mark.parametrize("path", ["/" + "n" * 256, "/n" * 2048])
def test_a_path_that_linux_could_not_use_is_refused(path: str) -> None:
    (message,) = problems_of(HELLO + f"entry_points: [/bin, {path}]\n")

    assert message == "a path has fewer than 4096 bytes, and a name at most 255"


def test_the_limits_are_those_of_the_layout() -> None:
    assert MAX_ENCLAVE_BYTES == layout.MAX_ENCLAVE_BYTES
    assert MAX_ADDED_BYTES == layout.MAX_ADDED_BYTES
    assert MAX_THREADS == layout.MAX_THREADS
