from pathlib import Path

import pytest

from tests.support.bundles import make_bundle
from tests.support.keys import make_key


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory, "signing")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), key)


@pytest.fixture(scope="session")
def debug_bundle(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"), key, debuggable=True, hello=b"Hello\n")
