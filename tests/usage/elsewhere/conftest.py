"""A tenant whose usage is read from somewhere else, and the administrator who chose that."""

import pytest

from tests.support.browser import Browser
from tests.usage.conftest import MONTH, NOW
from tests.usage.sources import HOUR


@pytest.fixture
def chosen(app, factories, httpserver, travel):
    """Choose a source three hours ago."""

    def make(kind):
        travel.move_to(NOW - 3 * HOUR)
        made = kind(httpserver, factories.tenant())
        travel.move_to(NOW)
        return made

    return make


@pytest.fixture
def metered(make_metered, travel):
    """A subscription that is older than its calls."""
    travel.move_to(MONTH[0])
    made = make_metered()
    travel.move_to(NOW)
    return made


@pytest.fixture
def admin(app, factories):
    factories.user("root", "admin")
    return Browser(app).sign_in("root")
