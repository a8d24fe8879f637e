"""A model of a subscription's life: anything in any order, and the invariants after every step.

The memory engine is the other half: it holds what is true at the provider, and queues the events
that follow. Rules deliver, repeat, delay and lose them, people press, time passes, the worker
sweeps, a process dies between two transactions. Seeds are fixed by default; ``MODEL_EXAMPLES``
runs that many histories from random seeds.
"""

import os
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import pytest
import time_machine
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import event as sa_event

from portal import jobs
from portal.billing.engine import CheckoutState
from portal.errors import PortalError
from portal.extensions import db
from portal.flows import payments
from portal.models import Api, Application, Policy, Subscription, User
from portal.services import subscribing, subscriptions
from portal.services.checkouts import ReturnUrls
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import in_unit_of_work
from tests.functional.service.conftest import ACCOUNT, WEBHOOK
from tests.support import invariants, memory_events

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "6"))
URLS = ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/")
START = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process ends here."""


class Life(RuleBasedStateMachine):
    """One history. The test lends it an app, an engine and the factories."""

    app: ClassVar[Any]
    engine: ClassVar[Any]
    factories: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.clock = time_machine.travel(START, tick=False)
        self.time = self.clock.start()
        self.engine.provider.__init__()
        self.queue: list[Any] = []
        self.answered: set[str] = set()
        self.told = 0
        _empty()
        policy = self.factories.fixed_policy(name="Gold")
        self.api = self.factories.api("Weather", policy)
        self.factories.offer(self.api, policy, self.engine, ACCOUNT)
        owner = self.factories.user("dana", "subscriber")
        application = self.factories.application("App", owner=owner)
        self.ids = (
            owner.user_id,
            application.application_id,
            self.api.api_id,
            policy.policy_id,
        )
        db.session.remove()

    def teardown(self) -> None:
        try:
            self.converges()
        finally:
            db.session.remove()
            self.clock.stop()

    # --- what it sees -----------------------------------------------------------------

    def living(self) -> Subscription | None:
        db.session.rollback()
        return db.session.query(Subscription).filter_by(ended_at=None).one_or_none()

    def contract(self) -> str | None:
        row = self.living()
        engine_id = row.engine_subscription_id if row else None
        held = self.engine.provider.contracts.get(engine_id or "")
        return engine_id if held and not held.snapshot.status.is_over else None

    def happened(self) -> None:
        new = self.engine.provider.events[self.told :]
        self.told = len(self.engine.provider.events)
        self.queue += new

    def press(self, act: Any) -> None:
        db.session.remove()
        try:
            act()
        except (PortalError, Killed):
            pass
        finally:
            db.session.remove()
        self.happened()

    def deliver(self, event: Any) -> None:
        header = memory_events.sign(event.payload, self.engine.provider.webhook_secret)
        answer = self.app.test_client().post(
            WEBHOOK, data=event.payload, headers={"Stripe-Signature": header}
        )
        assert answer.status_code == 200, answer.get_data(as_text=True)
        self.answered.add(event.event_id)

    @initialize(begun=st.sampled_from([4, 4, 3, 2, 0]))
    def begin(self, begun: int) -> None:
        """Histories that begin with nothing come to a payment too seldom."""
        steps = [self.subscribe, lambda: self.open_the_payment_page(again=False), self.pay]
        for step in steps[:begun]:
            step()
        if begun > len(steps):
            for event in self.queue[:]:
                self.deliver(event)

    # --- people -----------------------------------------------------------------------

    @rule()
    def subscribe(self) -> None:
        def act() -> None:
            kinds = (User, Application, Api, Policy)
            rows = [
                db.session.get_one(kind, number)
                for kind, number in zip(kinds, self.ids, strict=True)
            ]
            subscribing.subscribe(*rows)

        self.press(lambda: in_unit_of_work(act))

    @rule(again=st.booleans())
    def open_the_payment_page(self, again: bool) -> None:
        row = self.living()
        if row is not None:
            uuid = row.uuid
            act = payments.try_again if again else payments.open_page
            self.press(lambda: act(self.engine, uuid, self.ids[0], URLS))

    @rule()
    def pay(self) -> None:
        for session_id, page in list(self.engine.provider.pages.items()):
            self.engine.provider.lapse(page)
            if page.session.state is CheckoutState.OPEN:
                self.engine.provider.pay(session_id)
                break
        self.happened()

    @rule()
    def come_back(self) -> None:
        for session_id in list(self.engine.provider.pages)[-1:]:
            self.press(lambda name=session_id: payments.settle(self.engine, name))

    @rule()
    def unsubscribe(self) -> None:
        row = self.living()
        if row is not None:
            uuid = row.uuid
            self.press(lambda: payments.end(self.engine_for, uuid, actor="dana", because="Enough."))

    @rule(move=st.sampled_from([Move.BLOCK_ALL, Move.BLOCK_PRODUCTION, Move.UNBLOCK]))
    def publisher_blocks(self, move: Move) -> None:
        row = self.living()
        if row is not None:
            number, cause = row.subscription_id, Cause(because="Because.", actor="pub")

            def act() -> None:
                subscriptions.make(db.session.get_one(Subscription, number), move, cause)

            self.press(lambda: in_unit_of_work(act))

    # --- the provider -----------------------------------------------------------------

    @precondition(lambda self: self.contract() is not None)
    @rule(act=st.sampled_from(["renew", "fail_renewal", "require_action", "pay_invoice",
                               "cancel_at_period_end", "end"]))  # fmt: skip
    def at_the_provider(self, act: str) -> None:
        getattr(self.engine.provider, act)(self.contract())
        self.happened()

    @rule()
    def page_expires(self) -> None:
        for session_id in list(self.engine.provider.pages):
            self.engine.provider.expire(session_id)
        self.happened()

    @rule(lost=st.booleans())
    def provider_fails(self, lost: bool) -> None:
        if lost:
            self.engine.provider.lose_answers = 1
        else:
            self.engine.provider.is_down = not self.engine.provider.is_down

    # --- events -----------------------------------------------------------------------

    @precondition(lambda self: self.queue)
    @rule(data=st.data(), again=st.booleans())
    def an_event_arrives(self, data: Any, again: bool) -> None:
        index = data.draw(st.integers(0, len(self.queue) - 1))
        event = self.queue[index] if again else self.queue.pop(index)
        self.deliver(event)

    # --- time, the worker, and death --------------------------------------------------

    @rule(hours=st.sampled_from([0, 0, 1, 25, 24 * 31]), seconds=st.integers(0, 3))
    def time_passes(self, hours: int, seconds: int) -> None:
        self.time.shift(timedelta(hours=hours, seconds=seconds))

    @rule()
    def the_worker_sweeps(self) -> None:
        self.press(jobs.sweep)

    @rule(number=st.integers(1, 4))
    def the_process_dies(self, number: int) -> None:
        """In its n-th transaction from now: whoever is acting then is cut off."""
        row = self.living()
        uuid = row.uuid if row else None
        seen = 0

        def begin(_connection: object) -> None:
            nonlocal seen
            seen += 1
            if seen == number:
                raise Killed

        db.session.remove()
        sa_event.listen(db.engine, "begin", begin)
        try:
            if uuid:
                payments.end(self.engine_for, uuid, actor="dana", because="Enough.")
        except (PortalError, Killed):
            pass
        finally:
            sa_event.remove(db.engine, "begin", begin)
            db.session.remove()
        self.happened()

    def engine_for(self, _tenant: Any) -> Any:
        return self.engine

    # --- what holds -------------------------------------------------------------------

    @invariant()
    def nobody_is_served_unpaid_and_nothing_happens_twice(self) -> None:
        db.session.rollback()
        invariants.at_any_moment(self.answered)
        living = db.session.query(Subscription).filter_by(ended_at=None).count()
        assert living <= 1
        db.session.remove()

    def converges(self) -> None:
        """When everything has arrived and the worker has gone round, both sides agree."""
        self.engine.provider.is_down, self.engine.provider.lose_answers = False, 0
        self.happened()
        while self.queue:
            self.deliver(self.queue.pop())
            self.happened()
        for _ in range(4):
            self.time.shift(timedelta(minutes=10))
            jobs.sweep()
            self.happened()
            while self.queue:
                self.deliver(self.queue.pop())
        invariants.check(self.engine_for, answered=self.answered, given_up=True)


@pytest.mark.slow
def test_whatever_happens_in_any_order_the_invariants_hold(app, engine, factories) -> None:
    live(app, engine, factories, tuple(Phase))


def live(app, engine, factories, phases: tuple[Phase, ...]) -> None:
    Life.app, Life.engine, Life.factories = app, engine, factories
    machine = Life.TestCase
    machine.settings = settings(
        max_examples=EXAMPLES,
        stateful_step_count=25,
        deadline=None,
        derandomize="MODEL_EXAMPLES" not in os.environ,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    machine("runTest").runTest()


def _empty() -> None:
    from tests.conftest import _empty as delete_rows

    db.session.remove()
    with db.engine.begin() as connection:
        delete_rows(connection)


@pytest.mark.slow
def test_the_model_notices_a_portal_that_never_reads_the_present_state(
    app, engine, factories, monkeypatch
) -> None:
    from portal.flows import refreshing

    monkeypatch.setattr(refreshing, "refresh_due", lambda _engine_for: 0)
    with pytest.raises(AssertionError):
        live(app, engine, factories, (Phase.generate,))
