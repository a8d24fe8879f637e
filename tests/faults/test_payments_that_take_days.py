"""What arrives beside the seven: payments that take days, money from outside, a first payment
that never came. Told with Stripe's own bodies.
"""

from copy import deepcopy
from dataclasses import replace
from itertools import count, permutations
from typing import Any

import pytest

from portal.billing.engine import EngineStatus
from portal.extensions import db
from portal.flows import payments
from portal.models import InboxEvent, TimelineEntry
from tests.faults.stated import URLS, Portal, clock, engine, portal
from tests.support.seven import Stage

__all__ = ["clock", "engine", "portal"]

pytestmark = pytest.mark.parametrize("portal", ["recorded"], indirect=True)

COMPLETED = "checkout.session.completed"
SUCCEEDED = "checkout.session.async_payment_succeeded"
FAILED = "checkout.session.async_payment_failed"
UPDATED = "customer.subscription.updated"
_numbers = count(1)


def about(portal: Portal, kind: str, says: str, **changes: Any) -> dict[str, Any]:
    """Return a new event of the type ``says`` with the body of another type."""
    body = deepcopy(portal.engine.life.events[kind][0])
    body |= {"id": f"evt_later_{next(_numbers)}", "type": says}
    body["data"]["object"] |= changes
    return body


def happens(portal: Portal, status: str) -> None:
    """Let the subscription at Stripe be what the status says."""
    life = portal.engine.life
    life.stages["said"] = Stage(
        replace(life.stages["paid"].snapshot, status=EngineStatus(status)), ()
    )
    portal.engine.final = "said"


def moves() -> list[str]:
    db.session.rollback()
    return [row[0] for row in db.session.query(TimelineEntry.move).order_by(TimelineEntry.line)]


def outcomes() -> list[str]:
    db.session.rollback()
    rows = db.session.query(InboxEvent.outcome).order_by(InboxEvent.inbox_id)
    return [row[0] for row in rows]


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_a_payment_that_takes_days_activates_once_it_has_arrived(portal: Portal, order) -> None:
    happens(portal, "active")
    told = [
        about(portal, COMPLETED, COMPLETED, payment_status="unpaid"),
        about(portal, COMPLETED, SUCCEEDED, payment_status="paid"),
    ]
    for index in order:
        portal.deliver(told[index])
        if index == 0 == order[0]:
            assert portal.row.status == "ON_HOLD"
    portal.deliver(told[1])
    portal.worker_goes_round()
    assert portal.row.status == "UNBLOCKED"
    assert moves().count("PAY") == 1
    assert portal.engine.cancelled == []


def test_a_payment_that_does_not_come_lets_try_again_and_ends_what_was_begun(
    portal: Portal,
) -> None:
    happens(portal, "past_due")
    portal.deliver(about(portal, COMPLETED, COMPLETED, payment_status="unpaid"))
    failed = about(portal, COMPLETED, FAILED, payment_status="unpaid")
    portal.deliver(failed)
    portal.deliver(failed)
    portal.worker_goes_round()
    row = portal.row
    assert (row.status, row.can_try_again) == ("REJECTED", True)
    assert moves()[-1:] == ["LAPSE"]
    assert portal.engine.cancelled == [portal.engine.life.engine_id]
    assert row.engine_subscription_id is None


def test_a_failure_that_is_told_after_the_payment_takes_nothing_back(portal: Portal) -> None:
    happens(portal, "active")
    portal.deliver(about(portal, COMPLETED, COMPLETED))
    portal.deliver(about(portal, COMPLETED, FAILED, payment_status="unpaid"))
    portal.worker_goes_round()
    assert portal.row.status == "UNBLOCKED"
    assert portal.engine.cancelled == []


@pytest.mark.parametrize(
    "words", [("invoice.paid",), ("invoice.paid", "invoice.payment_succeeded")]
)
def test_an_invoice_that_was_paid_elsewhere_unblocks_once(portal: Portal, words) -> None:
    happens(portal, "active")
    portal.deliver(about(portal, COMPLETED, COMPLETED))
    portal.worker_goes_round()
    happens(portal, "past_due")
    late = portal.clock_now().timestamp() + 10
    portal.clock.move_to(late)
    failed = about(portal, "invoice.payment_failed", "invoice.payment_failed")
    portal.deliver(failed | {"created": int(late)})
    portal.worker_goes_round()
    assert portal.row.status == "BLOCKED"
    happens(portal, "active")
    portal.clock.move_to(late + 10)
    for word in words:
        body = about(portal, "invoice.payment_succeeded", word)
        portal.deliver(body | {"created": int(late) + 10})
    assert portal.row.status == "UNBLOCKED"
    portal.worker_goes_round()
    assert portal.row.status == "UNBLOCKED"
    assert moves().count("CATCH_UP") == 1


def test_a_first_payment_that_never_came_leaves_the_payment_page_as_it_is(portal: Portal) -> None:
    portal.deliver(about(portal, UPDATED, UPDATED, status="incomplete_expired"))
    assert outcomes() == ["ignored"]
    assert portal.row.status == "ON_HOLD"


def test_one_that_expired_at_stripe_ends_here_once(portal: Portal) -> None:
    happens(portal, "active")
    portal.deliver(about(portal, COMPLETED, COMPLETED))
    portal.worker_goes_round()
    happens(portal, "incomplete_expired")
    expired = about(portal, UPDATED, UPDATED, status="incomplete_expired")
    portal.clock.shift(10)
    expired["created"] = int(portal.clock_now().timestamp())
    portal.deliver(expired)
    portal.deliver(expired | {"id": "evt_again"})
    portal.worker_goes_round()
    assert portal.row.status == "ENDED"
    assert moves().count("END") == 1
    assert portal.engine.cancelled == []


def test_pressing_complete_payment_meanwhile_opens_no_second_page(portal: Portal) -> None:
    life = portal.engine.life
    life.pages[life.paid] = replace(life.pages[life.paid], is_paid=False)
    portal.deliver(about(portal, COMPLETED, COMPLETED, payment_status="unpaid"))
    row = portal.row
    uuid, user_id = row.uuid, row.application.owner_id
    db.session.remove()
    assert payments.open_page(portal.engine, uuid, user_id, URLS) is None  # type: ignore[arg-type]
    assert portal.row.status == "ON_HOLD"
