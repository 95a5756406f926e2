"""occlum-build: from a source tree and an Occlum.yaml to a measured, signed SGX enclave."""
