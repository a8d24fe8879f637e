"""Many subscriptions on the memory engine, bought without a browser: each in some hundredths."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from portal import clock
from portal.extensions import db
from portal.flows import payments
from portal.models import (
    Api,
    CheckoutAttempt,
    EnginePrice,
    EngineSubscription,
    KeyType,
    Policy,
    Subscription,
    Tenant,
    UsageBatch,
    User,
)
from portal.services import inbox, subscribing, subscriptions, usage
from portal.services.checkouts import ReturnUrls
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import in_unit_of_work, unit_of_work

URLS = ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/")


@dataclass
class Life:
    """One subscription, and what can happen to it at the provider."""

    world: "World"
    uuid: str
    number: int
    owner_id: int
    account: str
    page: str = ""

    @property
    def row(self) -> Subscription:
        """The subscription as it stands now."""
        db.session.rollback()
        return db.session.get_one(Subscription, self.number)

    @property
    def engine_id(self) -> str:
        """The provider's id of it."""
        return str(self.row.engine_subscription_id)

    @property
    def contract(self) -> Any:
        """What the provider holds of it."""
        return self.world.provider.contracts[self.engine_id]

    @property
    def held(self) -> Any:
        """What the provider holds of the account."""
        return self.world.provider.account(self.account)

    def open_page(self) -> str:
        """Press Complete Payment."""
        payments.open_page(self.world.engine, self.uuid, self.owner_id, URLS)
        self.page = next(reversed(self.world.provider.pages))
        return self.page

    def pay(self) -> "Life":
        """Pay, with every event arriving."""
        self.world.hear(self.world.provider.pay(self.open_page()))
        return self

    def end(self) -> None:
        """Press Unsubscribe."""
        payments.end(self.world.engine_for, self.uuid, actor="dana", because="Enough.")

    def move(self, move: Move) -> None:
        """Change a fact as the portal does, with its line of the timeline."""
        with unit_of_work():
            subscriptions.make(self.row_now(), move, Cause(because="For a test.", actor="test"))

    def row_now(self) -> Subscription:
        """The subscription in the transaction that runs."""
        return db.session.get_one(Subscription, self.number)

    def set(self, **values: Any) -> None:
        """Change columns behind the portal's back."""
        self._change(db.session.query(Subscription).filter_by(subscription_id=self.number), values)

    def set_attempt(self, **values: Any) -> None:
        """Change the attempt to pay behind the portal's back."""
        query = db.session.query(CheckoutAttempt).filter_by(am_subscription_id=self.number)
        self._change(query, values)

    def set_record(self, **values: Any) -> None:
        """Change the billing record behind the portal's back."""
        query = db.session.query(EngineSubscription).filter_by(am_subscription_id=self.number)
        self._change(query, values)

    def _change(self, query: Any, values: dict[str, Any]) -> None:
        db.session.rollback()
        for found in query:
            for name, value in values.items():
                setattr(found, name, value)
        db.session.commit()

    def call(self, times: int) -> None:
        """Make calls, as the gateway records them."""
        row = self.row
        call = usage.Call(
            event_id="",
            subscription_id=row.subscription_id,
            tenant_id=row.tenant_id,
            method="GET",
            resource="/now",
            status=200,
            key_type=KeyType.PRODUCTION,
            at=clock.now(),
        )
        db.session.remove()
        with db.engine.connect().execution_options(portal_writes=True) as connection:
            for _ in range(times):
                usage.record(connection, replace(call, event_id=uuid4().hex))
            connection.commit()

    def batch(self, state: str, **more: Any) -> UsageBatch:
        """Plant a batch of usage."""
        row = self.row
        event_name = db.session.query(EnginePrice.meter_event_name).filter_by(
            connected_account=self.account
        )
        made = UsageBatch(
            tenant_id=row.tenant_id,
            subscription_id=row.subscription_id,
            number=1,
            identifier=f"batch:{row.subscription_id}",
            connected_account=self.account,
            engine_customer_id=self.contract.snapshot.customer_id,
            meter_event_name=event_name.scalar() or "apim_none",
            quantity=7,
            first_at=clock.now(),
            last_at=clock.now(),
            stamp=clock.now(),
            first_sent_at=clock.now(),
            state=state,
            **more,
        )
        db.session.add(made)
        db.session.commit()
        return made


class World:
    """A portal with a memory engine, and how to fill it."""

    def __init__(self, engine: Any, factories: Any) -> None:
        self.engine, self.factories = engine, factories
        self.provider = engine.provider
        self.tenant_id = factories.tenant().tenant_id
        self.owner_id = factories.user("dana", "subscriber").user_id
        self.publisher_id = factories.user("paula", "publisher").user_id
        self.answered: list[str] = []

    def engine_for(self, _tenant: Tenant) -> Any:
        """Return the engine of a tenant."""
        return self.engine

    def api(self, account: str, policy: Policy) -> Api:
        """Put an API up for sale."""
        publisher = db.session.get_one(User, self.publisher_id)
        api = self.factories.api(None, policy, provider=publisher)
        self.factories.offer(api, policy, self.engine, account)
        return api

    def subscribe(self, api_id: int, policy_id: int, account: str) -> Life:
        """Subscribe with an application of its own."""
        owner = db.session.get_one(User, self.owner_id)
        application = self.factories.application(owner=owner)
        api, policy = db.session.get_one(Api, api_id), db.session.get_one(Policy, policy_id)
        with unit_of_work():
            row = subscribing.subscribe(owner, application, api, policy)
            uuid, number = row.uuid, row.subscription_id
        return Life(self, uuid, number, self.owner_id, account)

    def sell(self, account: str, make_policy: Callable[[], Policy]) -> Life:
        """Subscribe to an API of its own, in an account of its own."""
        policy = make_policy()
        api = self.api(account, policy)
        return self.subscribe(api.api_id, policy.policy_id, account)

    def hear(self, events: Any) -> None:
        """Take events in as the webhook does."""
        for event in events:
            read = self.engine.verify_event(
                event.payload, event.header, [self.provider.webhook_secret]
            )
            in_unit_of_work(
                lambda it=read, raw=event.payload: inbox.receive(  # type: ignore[misc]
                    db.session.get_one(Tenant, self.tenant_id), it, raw
                )
            )
            self.answered.append(event.event_id)
