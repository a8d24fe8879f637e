"""Subscriptions that pay per call, calls of theirs, and a provider that forgets and fails."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from flask import Flask

from portal import clock
from portal.billing.engine import BillingEngine, UsageReceipt, UsageReport
from portal.errors import (
    BillingEngineError,
    EngineAccessDenied,
    EngineBusy,
    EngineUnavailable,
)
from portal.extensions import db
from portal.flows import publishing
from portal.models import (
    EngineSubscription,
    KeyType,
    PublishRun,
    SharedCustomer,
    Subscription,
    Tenant,
    UsageBatch,
)
from portal.services import usage
from portal.web.unit_of_work import unit_of_work
from tests.support.factories import Factories
from tests.support.memory_engine import MemoryBillingEngine

ACCOUNT = "acct_publisher1"
NOW = datetime(2026, 5, 20, 12, 0, tzinfo=UTC)
MONTH = (datetime(2026, 5, 1, 9, 30, tzinfo=UTC), datetime(2026, 6, 1, 9, 30, tzinfo=UTC))
#: How long the provider knows an identifier; afterwards the same one counts again.
MEMORY = timedelta(hours=24)


FAILURES = {
    "down": EngineUnavailable("No answer."),
    "busy": EngineBusy("Too many at once."),
    "refuse": BillingEngineError("Not like this."),
    "deny": EngineAccessDenied("Not yours."),
}


class Killed(BaseException):
    """The process ends here."""


class MeterEngine(MemoryBillingEngine):
    """Keeps a ledger of what it counted, and fails on the next calls as it is told.

    Faults: ``busy`` and ``down`` do nothing, ``lost`` counts and does not answer, ``refuse`` and
    ``deny`` count nothing, ``die before`` and ``die after`` end the process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ledger: list[tuple[datetime, str, UsageReport]] = []
        self.faults: list[str] = []
        self.reports = 0

    def report_usage(self, account: str, report: UsageReport) -> UsageReceipt:
        self.reports += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault in FAILURES:
            raise FAILURES[fault]
        if fault == "die before":
            raise Killed
        known = self._knows(account, report)
        if not known:
            super().report_usage(account, report)
            self.ledger.append((clock.now(), account, report))
        if fault == "lost":
            raise EngineUnavailable("The answer was lost.")
        if fault == "die after":
            raise Killed
        return UsageReceipt(identifier=report.identifier, duplicate=known, request_id="req_1")

    def _knows(self, account: str, report: UsageReport) -> bool:
        since = clock.now() - MEMORY
        return any(
            where == account and known.identifier == report.identifier and at > since
            for at, where, known in self.ledger
        )

    def usage_total(
        self, account: str, *, meter_id: str, customer_id: str, start: datetime, end: datetime
    ) -> int:
        name = self.provider.account(account).meters[meter_id].spec.event_name
        return sum(
            report.quantity
            for _, where, report in self.ledger
            if where == account
            and report.event_name == name
            and report.customer_id == customer_id
            and start <= report.timestamp < end
        )


class Metered:
    """A subscription that pays per call."""

    def __init__(self, engine: MeterEngine, row: Subscription, account: str, customer: str) -> None:
        self.engine = engine
        self.id = row.subscription_id
        self.uuid = row.uuid
        self.tenant_id = row.tenant_id
        self.account = account
        self.customer = customer

    def call(
        self,
        times: int = 1,
        *,
        at: datetime | None = None,
        key_type: KeyType = KeyType.PRODUCTION,
        status: int = 200,
    ) -> None:
        """Record calls as the gateway does."""
        with db.engine.connect().execution_options(portal_writes=True) as connection:
            for _ in range(times):
                usage.record(
                    connection,
                    usage.Call(
                        event_id=uuid4().hex,
                        tenant_id=self.tenant_id,
                        subscription_id=self.id,
                        key_type=key_type,
                        method="GET",
                        resource="/x",
                        status=status,
                        at=at or clock.now(),
                    ),
                )
            connection.commit()

    @property
    def reports(self) -> list[UsageReport]:
        """What the provider counted of this customer, in order."""
        return [
            report
            for _, account, report in self.engine.ledger
            if account == self.account and report.customer_id == self.customer
        ]

    @property
    def total(self) -> int:
        """How many calls the provider counted."""
        return sum(report.quantity for report in self.reports)

    @property
    def recorded(self) -> int:
        """How many billable calls there were."""
        db.session.rollback()
        return usage.summary(self.id, None, None).counted

    @property
    def batches(self) -> list[UsageBatch]:
        """The frozen batches, in order."""
        db.session.rollback()
        found = db.session.query(UsageBatch).filter_by(subscription_id=self.id)
        return list(found.order_by(UsageBatch.batch_id))


@pytest.fixture
def travel() -> Iterator[time_machine.Traveller]:
    """A clock that moves only when it is told."""
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def engine(travel: time_machine.Traveller) -> MeterEngine:
    return MeterEngine()


MakeMetered = Callable[..., Metered]


@pytest.fixture
def make_metered(app: Flask, engine: MeterEngine, factories: Factories) -> MakeMetered:
    """Make a paid subscription to a plan of 0.0025 USD per request."""

    def make(
        *,
        account: str = ACCOUNT,
        period: tuple[datetime, datetime] | None = MONTH,
        cycle: str = "month",
        tenant: Tenant | None = None,
    ) -> Metered:
        provider = factories.user(None, "publisher", tenant=tenant)
        policy = factories.dynamic_policy(tenant=tenant, cycle=cycle)
        api = factories.api(None, policy, provider=provider)
        offer = factories.offer(api, policy, engine, account)
        application = factories.application()
        row = factories.subscription(
            api=api,
            application=application,
            policy=policy,
            billing="PAID",
            connected_account=account,
            engine_subscription_id=f"sub_{uuid4().hex[:8]}",
            period_start=period[0] if period else None,
            period_end=period[1] if period else None,
        )
        customer = factories.save(
            SharedCustomer(
                application_id=application.application_id,
                api_provider=provider.username,
                tenant_id=row.tenant_id,
                connected_account=account,
                currency="USD",
                shared_customer_id=f"cus_{uuid4().hex[:8]}",
            )
        )
        factories.save(
            EngineSubscription(
                am_subscription_id=row.subscription_id,
                subscribed_application_id=application.application_id,
                subscribed_api_id=api.api_id,
                tenant_id=row.tenant_id,
                subscription_id=row.engine_subscription_id,
                shared_customer_id=customer.id,
                mapping_id=offer.mapping_id,
                connected_account=account,
            )
        )
        return Metered(engine, row, account, customer.shared_customer_id)

    return make


@pytest.fixture
def metered(make_metered: MakeMetered) -> Metered:
    """One paid subscription."""
    return make_metered()


@pytest.fixture
def publish(app: Flask, factories: Factories, engine: MeterEngine) -> Callable[..., PublishRun]:
    """Publish a tenant's usage and return the run as it ended."""

    def now(tenant: Tenant | None = None) -> PublishRun:
        db.session.rollback()
        run_id = publishing.start(tenant or factories.tenant(), "test").run_id
        db.session.rollback()
        assert publishing.run(engine_for(engine), run_id)
        return db.session.get_one(PublishRun, run_id, populate_existing=True)

    return now


def engine_for(engine: BillingEngine) -> Callable[[Any], BillingEngine]:
    """Return what gives every tenant this engine."""
    return lambda _tenant: engine


def set_period(metered: Any, start: datetime, end: datetime) -> None:
    """Let a subscription be in a billing period, as after an event of Stripe."""
    with unit_of_work():
        row = db.session.get_one(Subscription, metered.id)
        row.period_start, row.period_end = start, end
