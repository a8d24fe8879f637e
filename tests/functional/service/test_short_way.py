"""Ordinary events take a short way, with the same result as the long one.

``SHORT_WAY_STATES=all`` tries every state of a subscription, not only those that matter most.
"""

import itertools
import os
from typing import Any

import pytest
import time_machine
from werkzeug.test import Client

from portal import clock
from portal.billing.engine import EventKind
from portal.extensions import db
from portal.models import InboxEvent, Subscription, Tenant, TimelineEntry
from portal.models.subscription import Approval, Billing, Block
from portal.services import short_way
from portal.stripe.fast import Fast
from tests.functional.service.conftest import ACCOUNT, WEBHOOK
from tests.functional.service.ordinary import END, RENEWED, SAID, Shop, open_shop
from tests.support import memory_events

pytestmark = pytest.mark.all_databases

OWED = {"pay_url": "https://pay.example/1", "needs_authentication": True}

#: What is held of a subscription.
STATES: list[dict[str, Any]] = [
    {"billing": Billing.PAID},
    {"billing": Billing.PAID, "period_end": END, "engine_status": "active"},
    {"billing": Billing.PAID, "cancel_at": END},
    {"billing": Billing.OVERDUE, **OWED},
    {"billing": Billing.ENDED},
]
OTHER_STATES: list[dict[str, Any]] = [
    {"billing": Billing.PENDING},
    {"billing": Billing.LAPSED},
    {"billing": Billing.NOT_REQUIRED},
    {"billing": Billing.GRACE, **OWED},
    {"billing": Billing.OVERDUE},
    {"billing": Billing.PAID, "publisher_block": Block.ALL},
    {"billing": Billing.PAID, "approval": Approval.PENDING},
    {"billing": Billing.PAID, "plan_change_pending": True},
    {"billing": Billing.PAID, "end_requested": True},
]
if os.environ.get("SHORT_WAY_STATES") == "all":
    STATES += OTHER_STATES
AGES = (-1, 0, 1)


@pytest.fixture
def shop(app, engine, factories) -> Shop:
    return open_shop(app, engine, factories)


@pytest.fixture
def short(app) -> Client:
    """Takes what goes the short way, and answers 404 to all that would be handed on."""

    def hand_on(_environ: Any, start: Any) -> list[bytes]:
        start("404 NOT FOUND", [])
        return []

    return Client(Fast(app, hand_on))


#: What two subscriptions never share, and when each was written by the database's clock.
OWN = {
    "subscription_id", "uuid", "live_key", "application_id", "engine_subscription_id", "changed_at",
    "inbox_id", "event_id", "am_subscription_id", "payload_zlib",
}  # fmt: skip


def seen(number: int, event_id: str) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return what is stored of a subscription and of an event, and how long the timeline is."""
    db.session.rollback()
    row = db.session.get_one(Subscription, number, populate_existing=True)
    event = db.session.query(InboxEvent).filter_by(event_id=event_id).one()
    assert event.am_subscription_id == number
    lines = db.session.query(TimelineEntry).filter_by(subscription_uuid=row.uuid).count()
    found = [
        {key: getattr(each, key) for key in each.__table__.columns.keys() if key not in OWN}  # noqa: SIM118
        for each in (row, event)
    ]
    db.session.rollback()
    return found[0], found[1], lines


def test_every_event_in_every_state_gives_the_same_on_both_ways(shop: Shop, short: Client) -> None:
    taken = []
    with time_machine.travel(clock.now(), tick=False):
        for number, (state, said, age) in enumerate(itertools.product(STATES, SAID, AGES)):
            here, name = shop.subscription(state)
            body = shop.body(name, said, age, f"evt_short_{number}")
            if shop.post(short, body) == 404:
                continue
            there, other = shop.subscription(state)
            shop.long_way(shop.body(other, said, age, f"evt_long_{number}"))
            expected = seen(there, f"evt_long_{number}")
            assert seen(here, f"evt_short_{number}") == expected, (state, said, age)
            assert expected[2] == 1, "A line is written on the long way only."
            taken.append((state["billing"], said[0], age))
    assert (Billing.PAID, EventKind.SUBSCRIPTION_UPDATED, 1) in taken
    assert (Billing.PAID, EventKind.PAYMENT_SUCCEEDED, 0) in taken
    assert not [billing for billing, _, _ in taken if billing is Billing.ENDED]


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


def test_a_repeat_is_counted_and_changes_nothing(shop: Shop, short: Client) -> None:
    number, name = shop.subscription({"billing": Billing.PAID})
    body = shop.body(name, RENEWED, 1, "evt_1")
    assert [shop.post(short, body) for _ in range(3)] == [200, 200, 200]
    row, event, _ = seen(number, "evt_1")
    assert (event["deliveries"], row["revision"]) == (3, 2)


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
    for age in (-1, 1):
        assert shop.post(short, shop.body(name, RENEWED, age, f"evt_{age}")) == 404
    assert db.session.query(InboxEvent).count() == 0
