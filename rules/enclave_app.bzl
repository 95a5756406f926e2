"""`enclave_app`: the whole chain from files to a signed bundle, as one call."""

load("//rules:enclave_signature.py", "enclave_signature")
load("//rules:erofs_image.py", "erofs_image")
load("//rules:occlum_bundle.py", "occlum_bundle")
load("//rules:occlum_enclave.py", "occlum_enclave")
load("//rules:rootfs.py", "rootfs")

def enclave_app(
        name,
        config,
        files = {},
        libraries = [],
        packages = [],
        directories = None,
        symlinks = {},
        modes = {},
        images = {},
        key = "development",
        libos = None,
        visibility = None,
        tags = [],
        testonly = False):
    """Pack files into a root image, measure an enclave around it, sign it and bundle it.

    Makes `<name>` (the bundle: build it, run it), and the steps on the way to it:
    `<name>_rootfs`, `<name>_root` (the image), `<name>_measured` and `<name>_signature`.

    Args:
      name: the name of the bundle.
      config: the enclave's Occlum.yaml, which mounts the image `root`.
      files: path in the image to the file that goes there.
      libraries: trees that the shared libraries of dynamic programs are taken from.
      packages: trees that are put into the image whole.
      directories: directories that exist even if nothing is in them.
      symlinks: path in the image to where the link there points.
      modes: path to its mode, in octal digits.
      images: further images that the configuration mounts, by name.
      key: the name of the signing key.
      libos: the LibOS, if not the one that ships with the tool.
      visibility: who may depend on the targets.
      tags: words for `test --tag` and queries.
      testonly: whether only tests may depend on the targets.
    """
    common = {"visibility": visibility, "tags": tags, "testonly": testonly}
    rootfs(
        name = name + "_rootfs",
        files = files,
        libraries = libraries,
        packages = packages,
        directories = directories,
        symlinks = symlinks,
        modes = modes,
        **common
    )
    erofs_image(
        name = name + "_root",
        tree = ":" + name + "_rootfs",
        **common
    )
    occlum_enclave(
        name = name + "_measured",
        config = config,
        images = {"root": ":" + name + "_root"} | images,
        libos = libos,
        **common
    )
    enclave_signature(
        name = name + "_signature",
        enclave = ":" + name + "_measured",
        key = key,
        **common
    )
    occlum_bundle(
        name = name,
        enclave = ":" + name + "_measured",
        signature = ":" + name + "_signature",
        **common
    )
