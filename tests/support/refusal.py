"""`python -S refusal.py NUMBER PROGRAM ARGUMENT…`: become a program to which the kernel refuses
one system call, as containers do.
"""

import ctypes
import os
import struct
import sys

# linux/prctl.h, linux/seccomp.h, linux/bpf_common.h
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_MODE_FILTER = 2
_LOAD_WORD = 0x20
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06
_ALLOW = 0x7FFF_0000
_FAIL_WITH_EPERM = 0x0005_0000 | 1


def refuse(number: int) -> None:
    """Let the system call `number` fail with EPERM in this process and its children."""
    filters = b"".join(
        struct.pack("HBBI", *one)
        for one in (
            (_LOAD_WORD, 0, 0, 0),
            (_JUMP_IF_EQUAL, 0, 1, number),
            (_RETURN, 0, 0, _FAIL_WITH_EPERM),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
    content = ctypes.create_string_buffer(filters, len(filters))
    program = struct.pack("H6xQ", len(filters) // 8, ctypes.addressof(content))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
        sys.exit("no_new_privs")
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), program, zero, zero):
        sys.exit(os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    refuse(int(sys.argv[1]))
    os.execv(sys.argv[2], sys.argv[2:])
