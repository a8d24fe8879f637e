"""An administrator, a publisher and a developer, each with a program of their own."""

import pytest

from portal.services import subscribing
from portal.web.unit_of_work import unit_of_work
from tests.support.rest import Rest

ACCOUNT = "acct_publisher1"


@pytest.fixture
def admin(app, factories):
    return Rest(app, factories.user("admin", "admin"), "admin/v4")


@pytest.fixture
def publisher_user(factories):
    return factories.user("pia", "publisher")


@pytest.fixture
def publisher(app, publisher_user):
    return Rest(app, publisher_user, "publisher/v4")


@pytest.fixture
def developer_user(factories):
    return factories.user("dana", "subscriber")


@pytest.fixture
def developer(app, developer_user):
    return Rest(app, developer_user, "devportal/v3")


@pytest.fixture
def on_sale(factories, engine, publisher_user):
    """A published API that sells Bronze for 9.99 USD a month."""
    policy = factories.fixed_policy(name="Bronze")
    api = factories.api("Weather", policy, provider=publisher_user)
    factories.offer(api, policy, engine, ACCOUNT)
    return api


@pytest.fixture
def subscribed(factories):
    """Subscribe an application of a person to an API under its first plan."""

    def subscribe(owner, api, application=None):
        mine = application or factories.application(owner=owner)
        with unit_of_work():
            made = subscribing.subscribe(owner, mine, api, api.policies[0])
            return made.uuid

    return subscribe
