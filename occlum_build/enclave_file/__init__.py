"""Enclave files of any maker, read without running them: what is measured, and what is claimed.

`read.read_enclave(path)` finds out which layout a file has and gives an
`image.EnclaveImage`: the pages that a loader would add, in the order in which
they are hashed, each run of them with a name and with the place in the file that
its content comes from; the pages that are kept free; the SIGSTRUCT; and the
MRENCLAVE, computed. No key, SDK or SGX is needed.

A reader meets the modules in this order: `image` is the answer, `content` and
`elf_file` are what the layouts are read with, and each layout has a module:
`sgxs_file`, `bundle`, `intel_sdk`, `open_enclave`, `gramine`.

It is no part of what makes an enclave: `occlum_build.sgx` does not import it,
so that an edit here re-measures nothing.
"""
