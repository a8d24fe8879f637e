"""F12 to F14: the database away, full, slow, or used by many at once.

Each ends with the invariants, on every database. ``FAULT_EVENTS`` also says how many events eight
writers send in F14.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from portal import jobs
from portal.extensions import db
from portal.models import InboxEvent, Subscription
from tests.functional.service.conftest import WEBHOOK, Sale
from tests.support import invariants
from tests.support.gate import Gate
from tests.support.memory_events import SignedEvent

pytestmark = pytest.mark.all_databases
MANY = int(os.environ.get("FAULT_EVENTS", "24"))
WRITERS = 8
GATEWAY = "/gateway/weather/1.0/now"


@pytest.fixture
def gate(database_url: str):
    """The way to the database server; a file has none."""
    url = make_url(database_url)
    if url.host is None:
        yield None
        return
    made = Gate(url.host, int(url.port or 0))
    yield made
    made.close()


@pytest.fixture
def settings(settings, gate: Gate | None):
    if gate is None:
        return settings
    away = make_url(settings.database_url).set(port=gate.port)
    return settings.model_copy(update={"database_url": away.render_as_string(hide_password=False)})


@pytest.fixture
def fail(app, gate: Gate | None) -> Callable[[bool], None]:
    """Take the database away and give it back. A file's disk is full instead."""

    def fill(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        (pages,) = cursor.execute("PRAGMA page_count").fetchone()
        cursor.execute(f"PRAGMA max_page_count = {pages}")

    def go(is_away: bool) -> None:
        db.session.remove()
        if gate is not None:
            (gate.close if is_away else gate.open)()
            return
        db.engine.dispose()
        (sa.event.listen if is_away else sa.event.remove)(db.engine, "connect", fill)
        if not is_away:
            db.engine.dispose()

    return go


def post(sale: Sale, event: SignedEvent) -> int:
    return (
        sale.app.test_client()
        .post(WEBHOOK, data=event.payload, headers={"Stripe-Signature": event.header})
        .status_code
    )


def big(sale: Sale) -> SignedEvent:
    """Return an event that needs room of its own in the database."""
    provider = sale.engine.provider
    snapshot = provider.contracts[str(sale.subscription.engine_subscription_id)].snapshot
    noise = os.urandom(200_000).hex()
    told = replace(snapshot, latest_invoice_id=noise)
    return provider.tell("customer.subscription.updated", sale.account, told)


def hold(sale: Sale, *told: SignedEvent) -> None:
    db.session.remove()
    jobs.sweep()
    invariants.check(sale.engine_for, answered=[event.event_id for event in told])


def test_f12_without_the_database_nothing_is_taken_and_nothing_is_opened(
    sale: Sale, fail: Callable[[bool], None]
) -> None:
    sale.pay()
    jobs.sweep()
    told = big(sale)
    db.session.remove()
    fail(True)
    try:
        assert post(sale, told) >= 500
        key = {"ApiKey": "amp_live_unknown"}
        assert sale.app.test_client().get(GATEWAY, headers=key).status_code in (401, 503)
    finally:
        fail(False)
    assert db.session.query(InboxEvent).filter_by(event_id=told.event_id).count() == 0
    db.session.remove()
    assert post(sale, told) == 200
    hold(sale, told)


def test_f13_a_row_that_is_held_delays_its_own_event_and_nothing_else(
    sale: Sale, database_url: str
) -> None:
    sale.pay()
    jobs.sweep()
    provider, name = sale.engine.provider, str(sale.subscription.engine_subscription_id)
    told = provider.fail_renewal(name)
    db.session.remove()
    holder = sa.create_engine(database_url)
    answers: list[int] = []
    started = threading.Event()

    def deliver() -> None:
        started.set()
        answers.append(post(sale, told[1]))

    try:
        with holder.connect() as connection:
            connection.execute(sa.update(Subscription).values(engine_status="held"))
            thread = threading.Thread(target=deliver)
            thread.start()
            assert started.wait(30)
            for _ in range(3):
                sale.browser.get("/devportal/")
                db.session.remove()
            assert answers == []
            connection.rollback()
            thread.join(60)
    finally:
        holder.dispose()
    assert answers == [200]
    sale.deliver(told[0])
    assert sale.status == "BLOCKED"
    hold(sale, *told)


def test_f14_many_writers_lose_nothing_and_nobody_sees_their_conflicts(sale: Sale) -> None:
    sale.pay()
    jobs.sweep()
    provider, name = sale.engine.provider, str(sale.subscription.engine_subscription_id)
    snapshot = provider.contracts[name].snapshot
    told = [
        provider.tell("customer.subscription.updated", sale.account, snapshot) for _ in range(MANY)
    ]
    db.session.remove()
    with ThreadPoolExecutor(WRITERS) as pool:
        answers = list(pool.map(lambda event: post(sale, event), told))
    assert set(answers) == {200}
    stored = db.session.query(InboxEvent.event_id)
    assert {event.event_id for event in told} <= {row[0] for row in stored}
    hold(sale, *told)
