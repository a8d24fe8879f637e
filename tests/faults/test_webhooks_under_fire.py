"""F1, F2, F3, F29 and F31: processes that die, many at once, restarts and bursts. Real processes.

``FAULT_EVENTS`` is how many events are sent (30 by default, 1000 in the long run); a worker is
killed once for every ten of them at most, because each new one costs a start.
"""

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from portal.extensions import db
from portal.models import InboxEvent, Subscription, TimelineEntry
from portal.web.engines import engine_of
from tests.support import events, invariants
from tests.support.events import Sender
from tests.support.real import Bought, Real

EVENTS = int(os.environ.get("FAULT_EVENTS", "30"))
AT_ONCE = 16
ROOT = Path(__file__).parents[2]
STRIPE = {"before Stripe", "after Stripe"}


def crash_points() -> list[str]:
    """Read from the source at which points a webhook can die, so that none is forgotten."""
    found = {
        name
        for path in (ROOT / "portal").rglob("*.py")
        for name in re.findall(r'crashpoint\("([^"]+)"\)', path.read_text())
    }
    return sorted(found - STRIPE)


#: All of them where ``CRASH_LIVES`` is ``all``.
ACTIVATIONS = crash_points() if os.environ.get("CRASH_LIVES") == "all" else ["before commit"]


@pytest.fixture
def sold(real: Real) -> Bought:
    return real.sell(real.connect())


def bodies(real: Real, sold: Bought, count: int, **changes: object) -> list[bytes]:
    """Make events about a paid subscription, each a second newer, the last as it is at Stripe."""
    account = sold.account
    (there,) = real.objects("subscription", account)
    begin = int(time.time()) + 1
    return [
        events.updated(there, account, f"evt_fire_{begin}_{number}", begin + number, **changes)
        for number in range(count)
    ]


def check(real: Real, sender: Sender) -> None:
    real.settle()
    invariants.check(engine_of, answered=sender.answered, logs=real.logs)


def stored(names: list[str]) -> dict[str, int]:
    """Return which of these are in the inbox, and how often each was delivered."""
    db.session.rollback()
    query = db.session.query(InboxEvent.event_id, InboxEvent.deliveries)
    rows = {row[0]: row[1] for row in query.filter(InboxEvent.event_id.in_(names))}
    db.session.rollback()
    return rows


def moves_of(event_id: str) -> list[str]:
    """Return the moves that an event made."""
    rows = db.session.query(TimelineEntry.move).filter_by(stripe_event_id=event_id).all()
    db.session.rollback()
    return [row[0] for row in rows]


def names(sent: list[bytes]) -> list[str]:
    return [json.loads(body)["id"] for body in sent]


@contextmanager
def meanwhile(act: Callable[[int], object], seconds: float, most: int) -> Iterator[list[object]]:
    """Do something again and again while the block runs, at most so many times."""
    over, done = threading.Event(), []

    def work() -> None:
        while len(done) < most and not over.wait(seconds):
            done.append(act(len(done)))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


def test_f01_workers_killed_during_webhooks_lose_and_double_nothing(
    real: Real, sold: Bought, record_property: Callable[[str, object], None]
) -> None:
    sent = bodies(real, sold, EVENTS)
    sender = Sender(real.webhook, real.secret)
    with meanwhile(real.stack.kill_a_worker, 0.3, EVENTS // 10) as kills:
        sender.all(sent, 8, sender.until_taken)
    real.wait()
    rows = stored(names(sent))
    assert len(rows) == EVENTS
    assert set(names(sent)) == sender.answered
    check(real, sender)
    record_property("kills", len(kills))
    record_property("deliveries", sender.deliveries)


@pytest.mark.parametrize("point", crash_points())
def test_f02_a_webhook_that_dies_at_a_named_point_is_stored_with_its_effect_or_not_at_all(
    real: Real, sold: Bought, point: str
) -> None:
    # With a cancellation it is no ordinary event, and passes every point there is.
    said = {"cancel_at": int(time.time()) + 86_400} if point == "event stored" else {}
    (body,) = bodies(real, sold, 1, status="past_due", **said)
    sender = Sender(real.webhook, real.secret)
    real.crash(point)
    assert sender.once(body) == 0
    assert real.has_crashed
    rows, has_effect = stored(names([body])), sold.status == "BLOCKED"
    assert bool(rows) == has_effect == (point == "after commit")

    real.wait()
    sender.until_taken(body)
    ((event_id, deliveries),) = stored(names([body])).items()
    assert deliveries == (2 if has_effect else 1)
    assert moves_of(event_id) == [*(["CANCEL_SCHEDULED"] if said else []), "FALL_BEHIND"]
    # At Stripe it is active: the worker reads that, and what was said in the event passes.
    check(real, sender)


@pytest.mark.parametrize("point", ACTIVATIONS)
def test_f02_an_activation_that_dies_is_made_once_by_the_next_delivery(
    real: Real, point: str
) -> None:
    """The event of the payment page is the second that is delivered after a payment."""
    number = real.pay(real.connect())
    real.crash(point, 2)
    real.tick()
    assert real.has_crashed
    real.wait()
    status = str(db.session.get_one(Subscription, number).status)
    assert status == ("UNBLOCKED" if point == "after commit" else "ON_HOLD")
    db.session.rollback()
    real.settle()
    row = db.session.get_one(Subscription, number)
    moves = db.session.query(TimelineEntry.move).filter_by(subscription_uuid=row.uuid)
    assert row.status == "UNBLOCKED"
    assert [each[0] for each in moves.order_by(TimelineEntry.line)] == ["SUBSCRIBE", "PAY"]
    invariants.check(engine_of, logs=real.logs)


def test_f03_one_event_many_times_at_once_is_stored_once_with_one_effect(
    real: Real, sold: Bought
) -> None:
    (body,) = bodies(real, sold, 1, status="past_due")
    sender = Sender(real.webhook, real.secret)
    sender.all([body] * EVENTS, AT_ONCE, sender.once)
    assert set(sender.statuses) == {200}
    ((event_id, deliveries),) = stored(names([body])).items()
    assert deliveries == EVENTS
    assert moves_of(event_id) == ["FALL_BEHIND"]
    check(real, sender)


def test_f29_a_rolling_restart_under_load_loses_nothing(real: Real, sold: Bought) -> None:
    sent = bodies(real, sold, EVENTS)
    sender = Sender(real.webhook, real.secret)

    def reload(_number: int) -> None:
        os.kill(real.stack.portal.process.pid, signal.SIGHUP)

    with meanwhile(reload, 0.5, EVENTS // 30):
        sender.all(sent, 4, sender.until_taken)
    real.wait()
    assert len(stored(names(sent))) == EVENTS
    assert set(sender.statuses) <= {0, 200}
    check(real, sender)


def test_f31_a_burst_is_taken_whole(
    real: Real, sold: Bought, record_property: Callable[[str, object], None]
) -> None:
    sent = bodies(real, sold, EVENTS)
    sender = Sender(real.webhook, real.secret)
    sender.all(sent, 32, sender.once)
    assert Counter(sender.statuses) == {200: EVENTS}
    check(real, sender)
    slow = sorted(sender.seconds)[int(len(sender.seconds) * 0.99) - 1]
    record_property("p99 in seconds", round(slow, 3))
