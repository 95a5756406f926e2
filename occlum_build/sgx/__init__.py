"""Enclave images: byte formats, layout, measurement, signature.

Everything here is a pure function of its inputs. No module reads a clock, the
environment or a directory, and none imports the build engine: an edit of the
engine must not re-measure or re-sign an enclave.

A reader meets the modules in this order: `sealed` says what was asked for,
`elf` what the LibOS is, `layout` where each page goes, `stream` what is hashed,
`sigstruct` and `sign` what is signed, `sgxs` and `verify` how both are checked.
"""
