"""Names for the code of an enclave: under gdb, and for perf.

All of it happens on the host, from the files that the enclave was made of. The enclave only
says where it maps code, if its sealed configuration lets it.
"""
