"""The sealed configuration and the metadata: canonical, complete, and read by the layout."""

import json

import pytest

from occlum_build.config.images import image_names, read_image
from occlum_build.config.seal import metadata_json, sealed_json
from occlum_build.diagnostic import DiagnosticError
from occlum_build.sgx.boot import MemoryModel
from occlum_build.sgx.metadata import read_metadata
from occlum_build.sgx.sealed import read_sealed
from tests.support.config_samples import HELLO, ROOT_IMAGE, config_of

IMAGES = {"root": ROOT_IMAGE}


def test_the_sealed_form_says_everything_with_numbers_and_in_order() -> None:
    assert sealed_json(config_of(HELLO), IMAGES) == (
        '{"debuggable":false,"disable_log":true,"entry_points":["/bin"],'
        '"env":{"default":[],"untrusted":[]},'
        '"memory":{"kernel_space_heap_size":33554432,"kernel_space_stack_size":262144,'
        '"model":"sgx1","user_space_size":314572800},'
        '"mount":[{"image":{"data_size":8192,"index":0,"name":"root","root_hash":"'
        + "ab"
        * 32
        + '","tree_offset":12288},"target":"/","type":"erofs"}],'
        '"process":{"command":["/bin/hello"],"default_heap_size":33554432,'
        '"default_mmap_size":276824064,"default_stack_size":4194304,"host_arguments":"deny",'
        '"host_signals":["SIGCONT","SIGHUP","SIGINT","SIGQUIT","SIGTERM","SIGTSTP","SIGWINCH"],'
        '"working_directory":"/"},"threads":{"max":32},"version":1}'
    )


def test_two_ways_to_say_the_same_give_the_same_bytes() -> None:
    other = (
        "# a comment\n"
        'mount: [{image: root, "type": "erofs", target: /}]\n'
        "resource_limits: {user_space_size: 307200KiB, max_num_of_threads: 32}\n"
        "process: {host_arguments: deny, command: [/bin/hello]}\n"
    )

    assert sealed_json(config_of(other), IMAGES) == sealed_json(config_of(HELLO), IMAGES)


def test_mounts_are_sealed_parents_first_whatever_their_order() -> None:
    config = config_of(
        "process: {command: [/bin/hello]}\n"
        "mount:\n"
        "  - {type: tmpfs, target: /z/tmp}\n"
        "  - {type: erofs, target: /z, image: a}\n"
        "  - {type: erofs, target: /, image: root}\n"
    )

    mounts = json.loads(sealed_json(config, {"root": ROOT_IMAGE, "a": ROOT_IMAGE}))["mount"]

    assert [one["target"] for one in mounts] == ["/", "/z", "/z/tmp"]
    assert [one["image"]["index"] for one in mounts if "image" in one] == [1, 0]
    assert image_names(config) == ["a", "root"]


def test_the_log_is_silent_unless_debugging() -> None:
    for metadata, silent in (
        ("{debuggable: true}", False),
        ("{debuggable: false}", True),
        ("{debuggable: true, disable_log: true}", True),
        ("{disable_log: false}", False),
    ):
        sealed = json.loads(sealed_json(config_of(HELLO + f"metadata: {metadata}\n"), IMAGES))
        assert sealed["disable_log"] is silent


def test_the_signature_metadata_is_not_sealed() -> None:
    signed = HELLO + "metadata: {product_id: 7, version_number: 3, date: 2030-01-31}\n"

    assert sealed_json(config_of(signed), IMAGES) == sealed_json(config_of(HELLO), IMAGES)
    metadata = read_metadata(metadata_json(config_of(signed)).encode(), "metadata.json")
    assert (metadata.product_id, metadata.version_number) == (7, 3)
    assert metadata.date == "2030-01-31"


def test_the_date_is_never_today_by_itself() -> None:
    metadata = read_metadata(metadata_json(config_of(HELLO)).encode(), "metadata.json")

    assert metadata.identity(bytes(32)).date == "00000000"


def test_family_and_product_ids_reach_the_signature_little_endian() -> None:
    config = config_of(
        HELLO + 'metadata: {enable_kss: true, family_id: {high: "0x8", low: "0x0102"}}\n'
    )

    metadata = read_metadata(metadata_json(config).encode(), "metadata.json")

    assert metadata.identity(bytes(32)).family_id == b"\2\1" + bytes(6) + b"\x08" + bytes(7)


@pytest.mark.parametrize("model", ["sgx1", "edmm"])
def test_the_layout_reads_what_was_sealed(model: str) -> None:
    text = (
        HELLO
        + f"feature: {{memory_model: {model}}}\n"
        + "resource_limits: {kernel_space_heap_size: 16MB, user_space_size: 1GB,\n"
        + "  kernel_space_stack_size: 128KB, max_num_of_threads: 5}\n"
    )
    data = sealed_json(config_of(text), IMAGES).encode()

    sealed = read_sealed(data, "sealed.json")

    assert sealed.data == data
    assert sealed.memory_model is MemoryModel[model.upper()]
    assert sealed.user_space_bytes == 1 << 30
    assert sealed.kernel_heap_bytes == 16 << 20
    assert sealed.kernel_stack_bytes == 128 << 10
    assert sealed.thread_count == 5


def test_characters_beyond_ascii_are_sealed_as_utf_8() -> None:
    sealed = sealed_json(config_of(HELLO + "env: {default: [GREETING=grüße]}\n"), IMAGES)

    assert '"GREETING=grüße"' in sealed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version":2}',
        '{"version":1,"data_size":4095,"tree_offset":4096,"root_hash":"' + "a" * 64 + '"}',
        '{"version":1,"data_size":true,"tree_offset":4096,"root_hash":"' + "a" * 64 + '"}',
        '{"version":1,"data_size":4096,"tree_offset":8192,"root_hash":"' + "A" * 64 + '"}',
        '{"version":1,"data_size":4096,"tree_offset":8192,"root_hash":7}',
        "[" * 100_000,
    ],
)
def test_what_does_not_describe_an_image_is_refused(text: str) -> None:
    with pytest.raises(DiagnosticError, match="OB0241"):
        read_image(text.encode(), "root.erofs.json")


def test_a_union_and_a_folder_of_the_host_are_sealed_with_all_that_counts() -> None:
    config = config_of(
        "process: {command: [/bin/hello]}\n"
        "mount:\n"
        "  - type: unionfs\n"
        "    target: /\n"
        "    options: {layers: [{type: erofs, image: root}, {type: tmpfs, size: 1MB}]}\n"
        "  - {type: hostfs, target: /host, source: ./data}\n"
    )

    root, host = json.loads(sealed_json(config, IMAGES))["mount"]

    assert root["image"]["name"] == "root"
    assert (root["type"], root["size"]) == ("unionfs", 1 << 20)
    assert host == {
        "type": "hostfs",
        "target": "/host",
        "source": "./data",
        "read_only": False,
        "executable": False,
    }
    assert image_names(config) == ["root"]
