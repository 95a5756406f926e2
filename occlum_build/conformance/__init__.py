"""Runs programs that are already built on the host and in an enclave, and compares.

The host is the judge: a case passes when the enclave says what the host says. Knows
nothing of the engine; the enclave is made by the command that everybody types.
"""
