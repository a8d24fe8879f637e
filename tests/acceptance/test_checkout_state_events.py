"""What Checkout, a subscription's state and events are measured by, one test for each sentence.

Each goes through the pages and the webhook, and asks the gateway whether calls go through.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from portal import jobs
from portal.extensions import db
from portal.models import (
    CheckoutAttempt,
    EngineSubscription,
    InboxEvent,
    KeyType,
    Refund,
    Tenant,
)
from portal.services import applications, subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web import unit_of_work as edges
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.conftest import WEBHOOK, Sale, sale
from tests.functional.service.test_races import OneAtATime
from tests.support import invariants, memory_events
from tests.support.memory_engine import MemoryBillingEngine

__all__ = ["sale"]

START = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def engine() -> Any:
    return OneAtATime(MemoryBillingEngine())


@pytest.fixture(autouse=True)
def clock() -> Iterator[Any]:
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller


class Acceptance:
    """A subscription that costs money, and an application that calls."""

    def __init__(self, sale: Sale, clock: Any) -> None:
        self.sale, self.clock = sale, clock
        self.provider = sale.engine.provider
        row = sale.subscription
        self.path = f"{row.api.gateway_path}/hello"
        with unit_of_work():
            _, self.key = applications.generate_key(row.application, KeyType.PRODUCTION)

    @property
    def may_call(self) -> bool:
        """What the gateway answers."""
        answer = self.sale.app.test_client().get(
            "/gateway/authorize", headers={"ApiKey": self.key, "X-Original-URI": self.path}
        )
        assert answer.status_code in (200, 403), answer.get_data(as_text=True)
        return answer.status_code == 200

    def back(self, session_id: str) -> Any:
        """The browser comes back from the payment page."""
        path = f"/api/am/stripe/complete-session?session_id={session_id}"
        return self.sale.app.test_client().get(path)

    def later(self, **how_long: int) -> None:
        self.clock.shift(timedelta(**how_long))

    def redeliver(self, *told: Any) -> None:
        """Stripe sends the same events again, signed now."""
        for event in told:
            header = memory_events.sign(event.payload, self.provider.webhook_secret)
            self.sale.deliver(replace(event, header=header))

    def is_unblocked_once(self, *told: Any) -> None:
        assert self.sale.status == "UNBLOCKED"
        assert self.may_call
        assert self.sale.moves.count("PAY") == 1
        self.is_one(*told)

    def is_one(self, *told: Any) -> None:
        """There is one of everything, nothing went back, and both sides agree."""
        assert db.session.query(EngineSubscription).count() == 1
        assert db.session.query(Refund).count() == 0
        assert len(self.provider.contracts) == 1
        self.agrees(*told)

    def agrees(self, *told: Any) -> None:
        db.session.remove()
        jobs.sweep()
        names = [event.event_id for event in told]
        invariants.check(self.sale.engine_for, answered=names)


@pytest.fixture
def bought(sale: Sale, clock: Any) -> Acceptance:
    return Acceptance(sale, clock)


@pytest.fixture
def running(bought: Acceptance) -> Acceptance:
    """One that was paid ten minutes ago."""
    bought.sale.pay()
    jobs.sweep()
    bought.later(minutes=10)
    return bought


def engine_id(bought: Acceptance) -> str:
    return str(bought.sale.subscription.engine_subscription_id)


# --- paying -----------------------------------------------------------------------------------


def test_pay_with_webhook_first(bought: Acceptance) -> None:
    page = bought.sale.open_page()
    assert not bought.may_call
    told = bought.provider.pay(page)
    bought.sale.deliver(*told)
    assert bought.sale.status == "UNBLOCKED"
    assert bought.back(page).get_json() == {"status": "already_completed"}
    bought.is_unblocked_once(*told)


def test_pay_with_browser_first(bought: Acceptance) -> None:
    page = bought.sale.open_page()
    told = bought.provider.pay(page)
    assert bought.back(page).get_json() == {"status": "completed"}
    assert bought.sale.status == "UNBLOCKED"
    bought.sale.deliver(*told)
    bought.is_unblocked_once(*told)


@pytest.mark.all_databases
def test_pay_with_both_at_once(bought: Acceptance) -> None:
    page = bought.sale.open_page()
    told = bought.provider.pay(page)
    db.session.remove()

    def arrive(number: int) -> int:
        if number % 2:
            return int(bought.back(page).status_code)
        event = told[number // 2 % 2]
        return post(bought.sale, event.payload, event.header)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(arrive, range(16))) == {200}
    bought.is_unblocked_once(*told)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("point", ["before commit", "after commit"])
@pytest.mark.parametrize("who", ["webhook", "browser", "both"])
def test_activation_crash_then_retry(
    bought: Acceptance, who: str, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that activates dies before or after its commit; then each comes once more."""
    page = bought.sale.open_page()
    told = bought.provider.pay(page)
    acts: dict[str, Callable[[], object]] = {
        "webhook": lambda: bought.sale.deliver(told[1]),
        "browser": lambda: bought.back(page),
    }
    for act in acts.values() if who == "both" else [acts[who]]:
        dies_at(point, monkeypatch)
        with pytest.raises(Killed):
            act()
        db.session.remove()
        monkeypatch.undo()
    assert bought.sale.status == ("UNBLOCKED" if point == "after commit" else "ON_HOLD")
    bought.redeliver(*told)
    assert bought.back(page).status_code == 200
    bought.is_unblocked_once(*told)


def dies_at(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next transaction that writes end the process at a point."""

    def crashpoint(name: str) -> None:
        if name == point:
            raise Killed

    monkeypatch.setattr(edges, "crashpoint", crashpoint)


def test_expire_then_try_again(bought: Acceptance) -> None:
    older = bought.sale.open_page()
    bought.later(hours=25)
    expired = bought.provider.expire(older)
    bought.sale.deliver(*expired)
    assert bought.sale.status == "REJECTED"
    browser = bought.sale.browser.sign_in("dana")
    browser.get(f"/devportal/subscriptions/{bought.sale.uuid}")
    browser.submit("Try again", follow=False, expect=303)
    page = bought.sale.open_page()
    assert page != older
    told = bought.provider.pay(page)
    bought.sale.deliver(*told)
    # The older page's expiry arrives once more, and says nothing about the newer.
    bought.redeliver(*expired)
    bought.is_unblocked_once(*told, *expired)
    rows = db.session.query(CheckoutAttempt).order_by(CheckoutAttempt.attempt_id)
    assert [row.status for row in rows] == ["EXPIRED", "COMPLETED"]


def test_delete_while_on_hold_cannot_be_paid_later(bought: Acceptance) -> None:
    page = bought.sale.open_page()
    browser = bought.sale.browser
    browser.get(f"/devportal/subscriptions/{bought.sale.uuid}/unsubscribe").submit("Unsubscribe")
    assert bought.sale.status == "ENDED"
    assert bought.provider.pages[page].session.state == "expired"
    assert bought.back(page).status_code == 402
    assert not bought.may_call
    assert bought.provider.contracts == {}
    bought.agrees()


# --- what happens to it -----------------------------------------------------------------------


def test_cancel_in_portal_removes_access_once(running: Acceptance) -> None:
    name = engine_id(running)
    planned = running.provider.cancel_at_period_end(name)
    running.sale.deliver(*planned)
    assert running.may_call
    assert running.sale.subscription.cancel_at is not None
    running.later(days=31)
    ended = running.provider.end(name)
    running.sale.deliver(*ended)
    assert not running.may_call
    running.redeliver(*ended, *planned)
    assert not running.may_call
    assert running.sale.moves.count("END") == 1
    running.is_one(*planned, *ended)


def test_manual_block_survives_a_payment(running: Acceptance) -> None:
    by_publisher(running, Move.BLOCK_ALL)
    name = engine_id(running)
    failed = running.provider.fail_renewal(name)
    running.sale.deliver(*failed)
    running.later(minutes=1)
    paid = running.provider.pay_invoice(name)
    running.sale.deliver(*paid)
    running.is_one(*failed, *paid)
    assert running.sale.status == "BLOCKED"
    assert not running.may_call
    by_publisher(running, Move.UNBLOCK)
    assert running.may_call


def by_publisher(running: Acceptance, move: Move) -> None:
    with unit_of_work():
        cause = Cause(because="Abuse.", actor="paula")
        subscriptions.make(running.sale.subscription, move, cause)


@pytest.mark.parametrize("late", [False, True])
def test_failed_then_succeeded_and_succeeded_then_late_failed_end_in_stripes_real_state(
    running: Acceptance, late: bool
) -> None:
    name = engine_id(running)
    failed = running.provider.fail_renewal(name)
    if not late:
        running.sale.deliver(*failed)
        assert not running.may_call
    running.later(minutes=1)
    paid = running.provider.pay_invoice(name)
    running.sale.deliver(*paid)
    if late:
        running.later(hours=3)
        running.redeliver(*failed)
    running.is_unblocked_once(*failed, *paid)
    assert running.provider.contracts[name].snapshot.status == "active"
    assert running.sale.subscription.engine_status == "active"


# --- who may say so ---------------------------------------------------------------------------


def test_forged_or_other_tenants_event_has_no_effect(running: Acceptance, factories: Any) -> None:
    provider, sale = running.provider, running.sale
    other = factories.tenant("other.example")
    other.webhook_secrets = ["whsec_of_the_other_tenant"]
    factories.save(other)
    contract = provider.contracts[engine_id(running)]
    told = provider.tell("customer.subscription.deleted", contract.account, contract.snapshot)
    provider.events.remove(told)
    theirs = memory_events.sign(told.payload, "whsec_of_the_other_tenant")
    before = (sale.subscription.revision, db.session.query(InboxEvent).count())
    for header in ("", "when=1;mac=00", theirs):
        assert post(sale, told.payload, header) == 400
    # Genuine for the other tenant, and about a subscription of this one.
    assert post(sale, told.payload, theirs, domain="other.example") == 200
    # Genuine for this one, and of another account, or of the other mode.
    changes: tuple[dict[str, Any], ...] = ({"seller": "acct_of_somebody"}, {"live": True})
    for number, change in enumerate(changes):
        body = json.loads(told.payload) | {"event": f"evt_strange_{number}"} | change
        raw = json.dumps(body).encode()
        assert post(sale, raw, memory_events.sign(raw, provider.webhook_secret)) == 200
    assert (sale.subscription.revision, db.session.query(InboxEvent).count()) == (
        before[0],
        before[1] + 3,
    )
    assert set(sale.outcomes[before[1] :]) == {"ignored"}
    tenants = {row.tenant_domain: row.refused_events for row in db.session.query(Tenant)}
    assert tenants == {"carbon.super": 3, "other.example": 0}
    running.is_unblocked_once()


def post(sale: Sale, body: bytes, header: str, *, domain: str = "carbon.super") -> int:
    client = sale.app.test_client()
    address = WEBHOOK.replace("carbon.super", domain)
    return client.post(address, data=body, headers={"Stripe-Signature": header}).status_code
