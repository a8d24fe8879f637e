"""How often one event waits for the database. PostgreSQL, behind a gate that counts."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from portal import create_app
from portal.extensions import db
from portal.models.subscription import Billing
from portal.web import queue
from tests.conftest import _empty, server_url
from tests.functional.service.ordinary import FAILED, RENEWED, open_shop
from tests.support.gate import Counting


@pytest.fixture
def database_url():
    """A PostgreSQL database: only there is the driver asked directly."""
    url = server_url("postgresql")
    engine = sa.create_engine(url)
    yield url
    with engine.begin() as connection:
        _empty(connection)
    engine.dispose()


@pytest.fixture
def gate(database_url: str):
    url = make_url(database_url)
    made = Counting(str(url.host), int(url.port or 0))
    yield made
    made.close()


@pytest.fixture
def far(settings, engine, gate):
    """A portal whose database is behind the gate."""
    away = make_url(settings.database_url).set(port=gate.port)
    url = away.render_as_string(hide_password=False)
    made = create_app(settings.model_copy(update={"database_url": url}))
    made.extensions["portal_engines"]._factory = lambda _settings: engine
    yield made
    with made.app_context():
        db.engine.dispose()


@pytest.fixture
def turns(app, engine, factories, gate, far, monkeypatch):
    """Tells how often each delivery waits, of events that say this and that in turn."""
    monkeypatch.setattr(queue, "enqueue", lambda _name, *_more: None)
    shop = open_shop(app, engine, factories)
    _, name = shop.subscription({"billing": Billing.PAID})
    client = far.test_client()

    def cost(*said: Any) -> list[int]:
        costs = []
        for age, one in enumerate(said * 8, start=1):
            body = shop.body(name, one, age, f"evt_{age}")
            for _ in range(2):
                before = gate.turns
                assert shop.post(client, body) == 200
                costs.append(gate.turns - before)
        return costs

    return cost


def test_an_ordinary_event_costs_two_round_trips_and_a_repeat_no_more(turns) -> None:
    # The first ones connect, and prepare the statements.
    assert turns(RENEWED)[-4:] == [2, 2, 2, 2]


def test_the_beginning_and_the_end_of_a_debt_cost_three_each(turns) -> None:
    assert turns(FAILED, RENEWED)[-4:] == [3, 2, 3, 2]
