"""Plans that are bought at the sandbox, through the engine and the real SDK, and their calls."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from portal.extensions import db
from portal.flows import monetizing, publishing
from portal.models import EnginePrice, EngineSubscription, KeyType, SharedCustomer, Subscription
from portal.models.api import CONNECTED_ACCOUNT
from portal.services import ledger, policies
from portal.services.ledger import Alike, Group, millis
from portal.services.plan_rules import PlanDraft
from portal.services.usage_report import Report
from portal.web.unit_of_work import in_unit_of_work
from tests.contract.worlds import SandboxWorld
from tests.usage.conftest import engine_for

#: The anchor's day is missing in the next month, so that a period ends on the month's last.
START = datetime(2027, 1, 31, 10, 0, 7, tzinfo=UTC)
names = count()


@dataclass(frozen=True)
class Made:
    """Calls: when they were made, how many, and how long until the portal learns of them."""

    at: datetime
    calls: int
    delay: timedelta
    resource: str
    status: int
    key_type: KeyType

    @property
    def known(self) -> datetime:
        return self.at + self.delay


class Sold:
    """A plan that was bought at the sandbox, and the portal's side of it.

    :param others: further plans of the same API, that it can be changed to
    """

    def __init__(
        self, world: SandboxWorld, factories: Any, draft: PlanDraft, *others: PlanDraft
    ) -> None:
        self.world = world
        tenant = factories.tenant(f"world{next(names)}.example")
        policy, *more = (
            in_unit_of_work(lambda each=each: policies.create(tenant.tenant_id, each, actor="test"))
            for each in (draft, *others)
        )
        self.others = [(each.uuid, each.current.policy_version_id) for each in more]
        publisher = factories.user(None, "publisher", tenant=tenant)
        api = factories.api(None, policy, *more, provider=publisher)
        result = monetizing.enable(
            world.engine,
            api.api_uuid,
            {CONNECTED_ACCOUNT: world.account},
            return_url="https://portal.example/",
        )
        assert result.is_complete, result.failed
        price = db.session.query(EnginePrice).filter_by(policy_uuid=policy.uuid).one()
        self.customer, self.name = self._buy(price.plan_id, draft)
        application = factories.application(owner=publisher)
        row = factories.subscription(
            api=api,
            application=application,
            policy=policy,
            billing="PAID",
            connected_account=world.account,
            engine_subscription_id=self.name,
            created_at=START,
        )
        self.id = row.subscription_id
        payer = factories.save(
            SharedCustomer(
                application_id=application.application_id,
                api_provider=api.provider.username,
                tenant_id=row.tenant_id,
                connected_account=world.account,
                currency=draft.currency,
                shared_customer_id=self.customer,
            )
        )
        factories.save(
            EngineSubscription(
                am_subscription_id=row.subscription_id,
                subscribed_application_id=application.application_id,
                subscribed_api_id=api.api_id,
                tenant_id=row.tenant_id,
                subscription_id=self.name,
                shared_customer_id=payer.id,
                mapping_id=price.mapping_id,
                connected_account=world.account,
            )
        )
        self.follow()

    def _buy(self, price: str, draft: PlanDraft) -> tuple[str, str]:
        api = self.world._api.v1
        customer = api.customers.create({"email": "dev@example.com"}).id
        method = api.payment_methods.attach("pm_card_visa", {"customer": customer})
        params: Any = {
            "customer": customer,
            "items": [{"price": price}],
            "default_payment_method": method.id,
        }
        if draft.trial_days:
            params["trial_period_days"] = int(draft.trial_days)
        return customer, api.subscriptions.create(params).id

    @property
    def row(self) -> Subscription:
        db.session.rollback()
        return db.session.get_one(Subscription, self.id)

    def follow(self) -> None:
        """Do what is due at the sandbox, and take over what it says of the subscription."""
        self.world.signed()
        seen = self.world.engine.subscription(self.world.account, self.name)
        row = self.row
        for name in ("period_start", "period_end", "trial_start", "trial_end"):
            setattr(row, name, getattr(seen, name))
        db.session.commit()

    def record(self, made: Made) -> None:
        at = millis(made.at)
        alike = Alike(
            self.id, at // ledger.HOUR_MS, "GET", made.resource, made.status, made.key_type
        )
        group = {alike: Group(made.calls, 0, at, at)}
        in_unit_of_work(lambda: ledger.count(db.session.connection(), group, never_split))

    def publish(self) -> None:
        tenant = self.row.api.tenant
        run = publishing.start(tenant, "test").run_id
        db.session.rollback()
        assert publishing.run(engine_for(self.world.engine), run)

    def invoiced(self, found: Report) -> int:
        """What the invoices' lines for a period come to."""
        drawn = self.world.engine.invoices(self.world.account, self.name)
        return sum(
            line.amount_minor
            for invoice in drawn
            for line in invoice.lines
            if line.period_start == found.period.start
        )

    def previewed(self, found: Report) -> int:
        """What the upcoming invoice says of the period that runs."""
        upcoming = self.world.engine.preview(self.world.account, self.name)
        lines = upcoming.lines if upcoming else []
        return sum(line.amount_minor for line in lines if line.period_start == found.period.start)


def never_split(alike: Alike, moment: int) -> Group:
    raise AssertionError("All calls of a group are of one moment.")
