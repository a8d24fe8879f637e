"""Ordinary events take a short way, with the same result as the long one.

``SHORT_WAY_STATES=all`` tries every state of a subscription, not only those that matter most.
"""

import itertools
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import time_machine
from flask import Flask
from werkzeug.test import Client

from portal import clock
from portal.billing.engine import EventKind
from portal.extensions import db
from portal.models import InboxEvent, Notice, Subscription, Tenant, TimelineEntry
from portal.models.notice import NoticeKind
from portal.models.subscription import UNKNOWN, Approval, Billing, Block
from portal.services import notices, short_way
from portal.stripe.fast import Fast
from portal.web import changes, queue
from tests.functional.service.conftest import ACCOUNT, WEBHOOK
from tests.functional.service.ordinary import END, FAILED, RENEWED, SAID, Shop, open_shop
from tests.support import memory_events

pytestmark = pytest.mark.all_databases

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
OWED = {"pay_url": "https://pay.example/1", "needs_authentication": True}

#: What is held of a subscription.
STATES: list[dict[str, Any]] = [
    {"billing": Billing.PAID},
    {"billing": Billing.PAID, "period_end": END, "engine_status": "active"},
    {"billing": Billing.PAID, "cancel_at": END},
    {"billing": Billing.OVERDUE, **OWED, "arrears_line": 1},
    {"billing": Billing.GRACE, **OWED, "arrears_line": 1, "stops_at": END},
    {"billing": Billing.ENDED},
]
OTHER_STATES: list[dict[str, Any]] = [
    {"billing": Billing.PENDING},
    {"billing": Billing.LAPSED},
    {"billing": Billing.NOT_REQUIRED},
    {"billing": Billing.GRACE, **OWED},
    {"billing": Billing.GRACE, "arrears_line": 1, "stops_at": BEFORE},
    {"billing": Billing.OVERDUE},
    {"billing": Billing.OVERDUE, "publisher_block": Block.PRODUCTION, "arrears_line": 1},
    {"billing": Billing.PAID, "publisher_block": Block.ALL},
    {"billing": Billing.PAID, "approval": Approval.PENDING},
    {"billing": Billing.PAID, "plan_change_pending": True},
    {"billing": Billing.PAID, "end_requested": True},
]
ALL = os.environ.get("SHORT_WAY_STATES") == "all"
if ALL:
    STATES += OTHER_STATES
#: States on which the tenant's policy of grace has a bearing.
OF_GRACE = [STATES[0], STATES[4]]
AGES = (-1, 0, 1)
#: Days of grace, and how many days before its end is reminded.
GRACES = [(0, "3,1"), (7, "3,1"), (7, "")]


@pytest.fixture
def shop(app, engine, factories) -> Shop:
    return open_shop(app, engine, factories)


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collects the tasks that would wake a worker, which does nothing here."""
    names: list[str] = []
    monkeypatch.setattr(queue, "enqueue", lambda *task: names.append(" ".join(map(str, task))))
    return names


@pytest.fixture
def short(app, woken) -> Client:
    """Takes what goes the short way, and answers 404 to all that would be handed on."""

    def hand_on(_environ: Any, start: Any) -> list[bytes]:
        start("404 NOT FOUND", [])
        return []

    return Client(Fast(app, hand_on))


#: What two subscriptions never share, when each was written by the database's clock, and how often.
OWN = {
    "revision",
    "subscription_id", "uuid", "live_key", "application_id", "engine_subscription_id", "changed_at",
    "inbox_id", "event_id", "am_subscription_id", "payload_zlib",
    "entry_id", "subscription_uuid", "stripe_event_id", "notice_id",
}  # fmt: skip

Seen = tuple[list[dict[str, Any]], ...]


def seen(number: int, event_id: str) -> Seen:
    """Return what is stored of a subscription, an event, the timeline and the notices."""
    db.session.rollback()
    row = db.session.get_one(Subscription, number, populate_existing=True)
    event = db.session.query(InboxEvent).filter_by(event_id=event_id).one()
    assert event.am_subscription_id == number
    lines = db.session.query(TimelineEntry).filter_by(subscription_uuid=row.uuid)
    assert {line.stripe_event_id for line in lines} <= {None, event_id}
    notices = db.session.query(Notice).filter_by(subscription_id=number)
    found = (
        [row],
        [event],
        lines.order_by(TimelineEntry.line).all(),
        notices.order_by(Notice.notice_id).all(),
    )
    said = tuple([_columns(each) for each in rows] for rows in found)
    for notice in said[3]:
        name = f"application {row.application.name},"
        assert name in notice["body"]
        notice["body"] = notice["body"].replace(name, "")
    db.session.rollback()
    return said


def _columns(row: Any) -> dict[str, Any]:
    return {key: getattr(row, key) for key in row.__table__.columns.keys() if key not in OWN}  # noqa: SIM118


def held(shop: Shop, state: dict[str, Any]) -> tuple[int, str]:
    """Store a subscription, and the notice of its debt."""
    number, name = shop.subscription(state)
    if state.get("arrears_line"):
        row = db.session.get_one(Subscription, number)
        notices.tell(row, NoticeKind.PAYMENT_FAILED, "1")
        db.session.commit()
    return number, name


@pytest.mark.parametrize(("days", "reminders"), GRACES)
def test_every_event_in_every_state_gives_the_same_on_both_ways(
    shop: Shop, short: Client, days: int, reminders: str
) -> None:
    tenant = db.session.query(Tenant).one()
    tenant.grace_days, tenant.reminder_days = days, reminders
    db.session.commit()
    taken = set()
    states, ages = (STATES, AGES) if ALL or not days else (OF_GRACE, (1,))
    if not ALL and db.engine.dialect.name != "sqlite":
        ages = (1,)  # Rules are the same everywhere; statements are not.
    with time_machine.travel(clock.now(), tick=False):
        for number, (state, said, age) in enumerate(itertools.product(states, SAID, ages)):
            here, name = held(shop, state)
            body = shop.body(name, said, age, f"evt_short_{number}")
            if shop.post(short, body) == 404:
                continue
            there, other = held(shop, state)
            shop.long_way(shop.body(other, said, age, f"evt_long_{number}"))
            expected = seen(there, f"evt_long_{number}")
            assert seen(here, f"evt_short_{number}") == expected, (state, said, age)
            moves = tuple(line["move"] for line in expected[2][1:])
            taken.add((state["billing"], said[0], age, moves))
    behind = ("GIVE_GRACE",) if days else ("FALL_BEHIND",)
    assert taken >= {
        (Billing.PAID, EventKind.SUBSCRIPTION_UPDATED, 1, ()),
        (Billing.PAID, EventKind.PAYMENT_SUCCEEDED, 1, ()),
        (Billing.PAID, EventKind.PAYMENT_FAILED, 1, behind),
        (Billing.PAID, EventKind.SUBSCRIPTION_UPDATED, 1, behind),
        (Billing.PAID, EventKind.PAYMENT_ACTION_REQUIRED, 1, behind),
        (Billing.GRACE, EventKind.PAYMENT_SUCCEEDED, 1, ("CATCH_UP",)),
        (Billing.GRACE, EventKind.SUBSCRIPTION_UPDATED, 1, ("CATCH_UP",)),
    }
    assert {moves for *_, moves in taken} == {(), behind, ("CATCH_UP",)}
    assert not [billing for billing, *_ in taken if billing is Billing.ENDED]


def test_what_is_not_ordinary_is_handed_on_untouched(shop: Shop, short: Client) -> None:
    _, name = shop.subscription({"billing": Billing.PAID})
    good = shop.body(name, RENEWED, 1, "evt_1")
    foreign = good.replace(ACCOUNT.encode(), b"acct_somebody")
    unlike = {
        "another account": foreign,
        "the other mode": good.replace(b'"live": false', b'"live": true'),
        "a subscription that is not known": shop.body("sub_other", RENEWED, 1, "evt_2"),
        "no event": b"{}",
        "a type that nobody asked for": good.replace(b"subscription.updated", b"tax.updated"),
    }
    for why, body in unlike.items():
        assert shop.post(short, body) == 404, why
    unsigned = short.post(WEBHOOK, data=good, headers={"Stripe-Signature": "when=1;mac=2"})
    assert unsigned.status_code == 404
    assert short.get(WEBHOOK).status_code == 404
    assert short.post(f"{WEBHOOK}x", data=good).status_code == 404
    assert db.session.query(InboxEvent).count() == 0
    assert shop.post(short, good) == 200


@pytest.mark.parametrize("said", [RENEWED, FAILED])
def test_a_plan_that_was_left_or_has_no_period_yet_takes_the_long_way(
    shop: Shop, short: Client, said: Any
) -> None:
    for change in ({"engine_subscription_id": "sub_of_now"}, {"billed_from": UNKNOWN}):
        number, name = shop.subscription({"billing": Billing.PAID})
        row = db.session.get_one(Subscription, number)
        for key, value in change.items():
            setattr(row, key, value)
        db.session.commit()
        assert shop.post(short, shop.body(name, said, 1, "evt_1")) == 404
    assert db.session.query(InboxEvent).count() == 0


def test_a_repeat_is_counted_and_changes_nothing(shop: Shop, short: Client) -> None:
    number, name = shop.subscription({"billing": Billing.PAID})
    body = shop.body(name, RENEWED, 1, "evt_1")
    assert [shop.post(short, body) for _ in range(3)] == [200, 200, 200]
    _, (event,), *_ = seen(number, "evt_1")
    assert event["deliveries"] == 3
    assert db.session.get_one(Subscription, number).revision == 2


def test_a_secret_that_is_withdrawn_opens_nothing_at_once(shop: Shop, short: Client) -> None:
    _, name = shop.subscription({"billing": Billing.PAID})
    assert shop.post(short, shop.body(name, RENEWED, 1, "evt_1")) == 200
    tenant = db.session.query(Tenant).one()
    tenant.webhook_secrets = ["whsec_the_new_one_000001"]
    db.session.commit()
    assert shop.post(short, shop.body(name, RENEWED, 2, "evt_2")) == 404
    assert db.session.query(InboxEvent).count() == 1
    new = shop.body(name, RENEWED, 3, "evt_3")
    header = {"Stripe-Signature": memory_events.sign(new, "whsec_the_new_one_000001")}
    assert short.post(WEBHOOK, data=new, headers=header).status_code == 200


def test_a_subscription_that_changed_meanwhile_sends_the_event_the_long_way(
    shop: Shop, short: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, name = shop.subscription({"billing": Billing.PAID})
    read = short_way.read

    def overtaken(*arguments: Any) -> Any:
        found = read(*arguments)
        row = db.session.get_one(Subscription, number)
        row.engine_at += 1
        db.session.commit()
        return found

    monkeypatch.setattr(short_way, "read", overtaken)
    for said, age in ((RENEWED, -1), (RENEWED, 1), (FAILED, 1)):
        assert shop.post(short, shop.body(name, said, age, f"evt_{age}")) == 404
    for table in (InboxEvent, Notice):
        assert db.session.query(table).count() == 0
    assert db.session.query(TimelineEntry).count() == 1


def test_a_move_wakes_the_worker_and_the_gateway(
    shop: Shop, short: Client, woken: list[str]
) -> None:
    _, name = shop.subscription({"billing": Billing.PAID})
    before = changes.local_number()
    assert shop.post(short, shop.body(name, RENEWED, 1, "evt_1")) == 200
    assert (woken, changes.local_number()) == ([], before)
    assert shop.post(short, shop.body(name, FAILED, 2, "evt_2")) == 200
    assert (woken, changes.local_number()) == (["wake"], before + 1)


@pytest.mark.parametrize("meter", ["calls", None])
@pytest.mark.parametrize("way", ["short", "long"])
def test_a_new_period_of_a_plan_that_pays_per_call_has_the_old_one_sent(
    shop: Shop, app, short: Client, woken: list[str], way: str, meter: str | None
) -> None:
    shop.price.meter_event_name = meter
    db.session.commit()
    number, name = shop.subscription(
        {"billing": Billing.PAID, "period_start": END - timedelta(days=30), "period_end": END}
    )
    client = short if way == "short" else Client(partial(Flask.wsgi_app, app))
    same = replace(RENEWED[1], period_start=END - timedelta(days=30))
    moved = replace(RENEWED[1], period_start=END, period_end=END + timedelta(days=30))
    assert shop.post(client, shop.body(name, (RENEWED[0], same), 1, "evt_1")) == 200
    assert woken == []
    assert shop.post(client, shop.body(name, (RENEWED[0], moved), 2, "evt_2")) == 200
    assert woken == ([f"flush {number}"] if meter or way == "long" else [])
    del woken[:]
    assert shop.post(client, shop.body(name, (RENEWED[0], moved), 3, "evt_3")) == 200
    assert woken == []
