"""All orders of the seven events, and of every subset without the end: both sides agree.

Stripe promises no order: of the seven types that the portal hears, one event each, in all 5,040
orders, and in the 1,956 orders of whatever part of the other six arrives. In each order some are
delivered again, one is lost and sent anew hours later, and the worker and the browser come in
between, or do not. However it went: what the portal says in the end is what the subscription is
at Stripe.

``EVENT_ORDERS`` is how many of the orders are tried, each time the same ones; ``all`` tries each
of them, which takes a quarter of an hour. Every other order is told with the events of a life in
the sandbox, and the rest with the recorded ones.
"""

import os
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from typing import Any

import pytest

from portal.billing.engine import EngineStatus
from portal.extensions import db
from portal.flows import refreshing
from portal.models import (
    CheckoutAttempt,
    EngineSubscription,
    InboxEvent,
    TimelineEntry,
)
from portal.services import billing_events, event_rules
from tests.faults.stated import Portal, clock, engine, portal
from tests.sandbox.conftest import memory_path, world
from tests.support import invariants
from tests.support.seven import DELETED, SEVEN

__all__ = ["clock", "engine", "memory_path", "portal", "world"]

WANTED = os.environ.get("EVENT_ORDERS", "60")
Order = tuple[str, ...]


def orders() -> list[Order]:
    """Return every order: of all seven, and of each part that has no end."""
    others = [kind for kind in SEVEN if kind != DELETED]
    parts = [part for size in range(1, 7) for part in combinations(others, size)]
    return [order for part in [SEVEN, *parts] for order in permutations(part)]


def chosen() -> list[Order]:
    """Return as many of them as are wanted, the same each time."""
    every = orders()
    return every if WANTED == "all" else random.Random(7).sample(every, int(WANTED))


def test_these_are_all_orders() -> None:
    every = orders()
    assert len(set(every)) == len(every)
    assert Counter(DELETED in order for order in every) == {True: 5040, False: 1956}


class Telling:
    """One order, told with what else may happen on the way; the same each time."""

    def __init__(self, portal: Portal, order: Order, number: int) -> None:
        self.portal, self.order = portal, order
        self.chance = random.Random(f"{number}:{order}")
        self.made: dict[str, int] = {}
        self.life, self.engine = portal.engine.life, portal.engine
        self.events = {kind: self._one(kind) for kind in order}
        self.engine.cancelled = []
        # Half of the lives go on while they are told, the others are over before it begins.
        self.engine.follows_the_clock = bool(self.life.begins) and self.chance.random() < 0.5
        self.engine.final = self._final()

    def _one(self, kind: str) -> dict[str, Any]:
        """Return an event of a kind. Stripe's servers stamp a second too early or too late."""
        body = self.chance.choice(self.life.events[kind])
        self.made[kind] = body["created"]
        return body | {"created": body["created"] + self.chance.choice((-1, 0, 0, 1))}

    def _final(self) -> str:
        """Return what is true in the end: any of it, but for an end that was told."""
        if DELETED in self.order:
            return "ended"
        if self.engine.follows_the_clock:
            # Nothing else is told later: what happened after the last event did not happen.
            return self.life.name_at(max(self.made.values()))
        return self.chance.choice(list(self.life.stages))

    def tell(self) -> None:
        """Deliver everything: some twice, one of them late."""
        chance, lost = self.chance, self.chance.choice(self.order)
        self.portal.set_back(self._start())
        for kind in self.order:
            if kind != lost:
                self._deliver(kind)
            while chance.random() < 0.2:
                self._deliver(
                    chance.choice([each for each in self.order if each != lost] or [kind])
                )
            self._perhaps()
        self.portal.clock.shift(timedelta(hours=chance.choice((1, 25, 70))))
        self._deliver(lost)
        self._perhaps()
        self.portal.clock.shift(timedelta(hours=25))
        self.portal.worker_looks_for_what_never_came()

    def _start(self) -> datetime:
        if self.engine.follows_the_clock:
            return datetime.fromtimestamp(min(self.life.begins.values()), UTC)
        return self.life.last + timedelta(seconds=self.chance.choice((0, 1, 60)))

    def _deliver(self, kind: str) -> None:
        made = datetime.fromtimestamp(self.made[kind], UTC)
        if self.portal.clock_now() < made:
            self.portal.clock.move_to(made)
        self.portal.deliver(self.events[kind])

    def _perhaps(self) -> None:
        portal, chance = self.portal, self.chance
        if chance.random() < 0.15:
            portal.browser_comes_back()
        if chance.random() < 0.3:
            portal.worker_goes_round()
        portal.clock.shift(timedelta(seconds=chance.choice((0, 0, 1, 5))))

    # --- what must hold -------------------------------------------------------------------

    def holds(self) -> None:
        """Fail with what differs from Stripe, or was done twice or not at all."""
        row, stage = self.portal.row, self.life.stages[self.engine.final]
        snapshot = stage.snapshot
        assert row.engine_subscription_id == self.life.engine_id
        assert row.engine_status == snapshot.status
        said = (row.facts.billing, row.cancel_at, row.needs_authentication, row.pay_url)
        owed = next((each for each in stage.invoices if each.status == "open"), None)
        assert said == {
            EngineStatus.CANCELED: ("ENDED", None, False, None),
            EngineStatus.ACTIVE: ("PAID", snapshot.cancel_at, False, None),
        }.get(
            snapshot.status,
            ("OVERDUE", None, owed and owed.needs_authentication, owed and owed.hosted_url),
        )
        if not snapshot.status.is_over:
            period = (snapshot.period_start, snapshot.period_end)
            assert (row.period_start, row.period_end) == period
        self._once(snapshot.status.is_over)

    def _once(self, ended: bool) -> None:
        moves = Counter(row[0] for row in db.session.query(TimelineEntry.move))
        assert moves["PAY"] == 1
        assert moves["END"] == ended
        invariants.at_any_moment({body["id"] for body in self.events.values()})
        (record,) = db.session.query(EngineSubscription)
        assert (record.cancelled_at is not None) == ended
        attempts = db.session.query(CheckoutAttempt).order_by(CheckoutAttempt.attempt_id)
        assert [each.status for each in attempts] == ["EXPIRED", "COMPLETED"]
        outcomes = {each.outcome for each in db.session.query(InboxEvent)}
        assert outcomes <= {"applied", "stale", "refreshed"}, outcomes
        assert self.engine.cancelled == []
        assert not self.portal.row.refresh_due


@pytest.mark.slow
def test_every_order_of_the_seven_events_ends_as_it_is_at_stripe(portal: Portal) -> None:
    tell_all(portal)


def tell_all(portal: Portal) -> None:
    """Tell every second order with the events of this portal's life."""
    mine = portal.engine.life.begins
    for number, order in enumerate(chosen()):
        if bool(mine) == bool(number % 2):
            continue
        telling = Telling(portal, order, number)
        try:
            telling.tell()
            telling.holds()
        except AssertionError as error:
            error.add_note(f"{number}: {telling.engine.final}, {order}")
            raise


def _believe_the_last_to_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    """An event counts as news whatever its stamp, and nothing is read again."""
    step = event_rules.next_state

    def next_state(local: event_rules.Local, event: Any) -> event_rules.Step:
        return replace(step(replace(local, engine_at=0), event), refresh=False)

    monkeypatch.setattr(billing_events, "next_state", next_state)


def _never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody reads the present state at Stripe."""
    monkeypatch.setattr(refreshing, "refresh_due", lambda _engine_for: 0)


@pytest.mark.parametrize("portal", ["sandbox"], indirect=True)
@pytest.mark.parametrize("broken", [_believe_the_last_to_arrive, _never_read])
def test_a_portal_that_believes_too_much_is_noticed(portal: Portal, broken, monkeypatch) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError):
        tell_all(portal)
