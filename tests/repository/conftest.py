"""A repository for the client's tests."""

from collections.abc import Iterator

import pytest

from tests.repository.serving import Shelves, shelves_served


@pytest.fixture
def shelves() -> Iterator[Shelves]:
    """A repository in memory, and what it was asked."""
    with shelves_served() as served:
        yield served
