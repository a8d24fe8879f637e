"""The world is filled once for all tests of the folder: nothing that is refused changes it."""

from collections.abc import Iterator

import pytest

from tests.access import world as made
from tests.access.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two tenants with one of everything."""
    built = made.build(tmp_path_factory.mktemp("access"))
    yield built
    made.close(built)
