"""From actions to files: build.ninja, key stamps, the action runner, tests."""
