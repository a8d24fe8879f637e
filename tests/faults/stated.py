"""A portal that waits for a payment, and what Stripe states about it: events with their bodies."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from portal.extensions import db
from portal.flows import payments, refreshing
from portal.models import Subscription, User
from portal.services import checkouts, subscribing
from portal.services.checkouts import ReturnUrls
from portal.services.subscriptions import Cause
from portal.web import queue
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.conftest import WEBHOOK
from tests.support import events as sent
from tests.support.memory_engine import MemoryBillingEngine
from tests.support.seven import Life, Stated, from_recording, from_sandbox

URLS = ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/")


class Portal:
    """A portal that waits for a payment, on a second page; it can be set back to that."""

    def __init__(self, app: Any, engine: Stated, number: int, clock: Any) -> None:
        self.app, self.engine, self.number, self.clock = app, engine, number, clock
        self._kept = sqlite3.connect(":memory:")
        self._copy(lambda file: file.backup(self._kept))

    def _copy(self, copy: Callable[[Any], None]) -> None:
        db.session.remove()
        connection = db.engine.raw_connection()
        # Nothing here has to survive a power cut.
        connection.driver_connection.execute("PRAGMA synchronous=OFF")
        copy(connection.driver_connection)
        connection.close()

    def set_back(self, at: datetime) -> None:
        """Put the rows of the beginning back, and the clock to a moment."""
        self._copy(self._kept.backup)
        self.clock.move_to(at)

    def deliver(self, body: dict[str, Any]) -> None:
        """Deliver an event as Stripe does."""
        raw = json.dumps(body).encode()
        header = sent.signed(raw, self.engine.secret, self.clock_now().timestamp())
        answer = self.app.test_client().post(WEBHOOK, data=raw, headers=header)
        assert answer.status_code == 200, answer.get_data(as_text=True)

    def clock_now(self) -> datetime:
        return datetime.now(UTC)

    def browser_comes_back(self) -> None:
        """The subscriber returns from the payment page."""
        payments.settle(self.engine, self.engine.life.paid)  # type: ignore[arg-type]

    def worker_goes_round(self) -> None:
        """What of a wake is about events."""
        refreshing.retry_parked(self.engine_for)
        refreshing.refresh_due(self.engine_for)

    def worker_looks_for_what_never_came(self) -> None:
        """What of a sweep is about payments."""
        payments.sweep(self.engine_for)
        self.worker_goes_round()

    def engine_for(self, _tenant: object) -> Any:
        return self.engine

    @property
    def row(self) -> Subscription:
        db.session.rollback()
        return db.session.get_one(Subscription, self.number)


@pytest.fixture
def engine() -> Stated:
    return Stated()


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(0, tick=False) as traveller:
        yield traveller


@pytest.fixture(params=["sandbox", "recorded"])
def portal(request, app, engine, factories, clock, monkeypatch) -> Portal:
    """A subscription whose first page has lapsed, and a life at Stripe that goes on from there."""
    # The worker goes round when the test says so.
    monkeypatch.setattr(queue, "enqueue", lambda *_arguments, **_more: None)
    account, tell = "acct_1PubWeather", from_recording
    if request.param == "sandbox":
        sandbox = request.getfixturevalue("world")
        account, tell = sandbox.account, lambda uuid: from_sandbox(sandbox, uuid)
    policy = factories.fixed_policy()
    api = factories.api(None, policy)
    factories.offer(api, policy, MemoryBillingEngine(), account)
    owner = factories.user("dana", "subscriber")
    application = factories.application(owner=owner)
    with unit_of_work():
        row = subscribing.subscribe(owner, application, api, policy)
        number, uuid = row.subscription_id, row.uuid
    engine.life = tell(uuid)
    clock.move_to(engine.life.last - timedelta(hours=1))
    _open_pages(number, owner.user_id, engine.life)
    clock.move_to(engine.life.last + timedelta(minutes=1))
    return Portal(app, engine, number, clock)


def _open_pages(number: int, user_id: int, life: Life) -> None:
    with unit_of_work():
        row, user = db.session.get_one(Subscription, number), db.session.get_one(User, user_id)
        older = checkouts.attempt_for(row, user, URLS)
        older.session_id = life.older
        checkouts.lapse(older, row, Cause(because="Not paid.", actor="test"))
        checkouts.try_again(row, user)
        checkouts.attempt_for(row, user, URLS).session_id = life.paid
