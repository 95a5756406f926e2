"""Evidence that travels with a bundle: what is in it, and how it was made.

A manifest pins every part (`manifest`), a CycloneDX document says where each file of each
image comes from (`sbom`), and an in-toto statement says which sources and tools made the
parts (`provenance`), signed or not (`dsse`). All are canonical JSON (`canonical`) without a
clock or a random number, so that whoever repeats the build gets the same bytes. `check`
compares a bundle with its evidence. Nothing here knows the engine.
"""
