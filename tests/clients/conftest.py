"""The C++ client, built once."""

import pytest

from tests.clients.building import Built, build

__all__ = ["built"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The library, installed, and programs that use it."""
    return build(tmp_path_factory)
