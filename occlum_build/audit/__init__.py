"""Audits: build again, somewhere else, and compare.

Two questions, one verdict each. *Is this bundle what that source makes?* The source is built
in a fresh copy (`source`), and every part is compared by its bytes (`bundles`). *Does this
target come out the same everywhere?* It is built twice, in circumstances that differ in all
that two machines could (`circumstances`), and every output is compared (`outputs`).

It starts the tool as a user would and knows nothing of the engine.
"""
