"""Who an enclave is, and who says so: signing, checking and comparing enclave files.

These are the verbs that need no workspace: each takes files, runs nothing that it reads,
and answers with an exit status. They know `sgx`, `fs` and `config`, and nothing of the engine.
"""
