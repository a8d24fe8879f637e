"""A second billing engine: a small provider in memory, with the promises of the first.

``MemoryBillingEngine().provider`` has what subscribers and time do: see ``memory_provider``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from portal import clock
from portal.billing.engine import (
    BillingEvent,
    CheckoutSession,
    CheckoutSpec,
    CheckoutState,
    CustomerSpec,
    Invoice,
    ListedMeter,
    ListedPrice,
    ListedProduct,
    MeterSpec,
    Movement,
    PlanChange,
    PortalState,
    PriceSpec,
    ProductSpec,
    Refunded,
    SubscriptionSnapshot,
    UsageReceipt,
    UsageReport,
    UsageType,
)
from portal.errors import BillingEngineError, EngineObjectMissing, Invalid
from tests.support import memory_changes, memory_events, memory_money, memory_refunds, memory_rows
from tests.support.memory_rows import Account, Contract, Offer, Page
from tests.support.memory_setup import MemorySetUp


class MemoryBillingEngine(MemorySetUp):
    """An engine on a provider of its own, or on one that several tenants share."""

    name: ClassVar[str] = "memory"

    # --- selling ------------------------------------------------------------------------------

    def ensure_product(self, account: str, spec: ProductSpec, *, key: str) -> str:
        with self._call("ensure_product", account) as held:
            held.products[spec.product_id] = Offer(spec)
            return spec.product_id

    def ensure_meter(self, account: str, spec: MeterSpec, *, key: str) -> str:
        with self._call("ensure_meter", account) as held:
            for meter_id, meter in held.meters.items():
                if meter.spec.event_name == spec.event_name:
                    meter.active = True
                    return meter_id
            meter_id = self.provider.new_id("mtr")
            held.meters[meter_id] = Offer(spec)
            return meter_id

    def ensure_price(self, account: str, spec: PriceSpec, *, key: str) -> str:
        if spec.usage_type is UsageType.LICENSED and spec.unit_minor % 1:
            raise Invalid("A fixed price is a whole number of minor units.")
        with self._call("ensure_price", account) as held:
            for price_id, price in held.prices.items():
                if price.spec.lookup_key != spec.lookup_key:
                    continue
                if _terms(price.spec) != _terms(spec):
                    raise BillingEngineError("A different price has this lookup key.")
                price.active = True
                return price_id
            return self._new_price(held, spec)

    def _new_price(self, held: Account, spec: PriceSpec) -> str:
        if spec.product_id not in held.products:
            raise EngineObjectMissing("No such product.", engine_code="resource_missing")
        if (spec.usage_type is UsageType.METERED) != (spec.meter_id is not None):
            raise BillingEngineError("A metered price has a meter, and no other has one.")
        if spec.meter_id and spec.meter_id not in held.meters:
            raise EngineObjectMissing("No such meter.", engine_code="resource_missing")
        price_id = self.provider.new_id("price")
        held.prices[price_id] = Offer(spec)
        return price_id

    def archive_price(self, account: str, price_id: str) -> None:
        with self._call("archive_price", account) as held:
            if price_id in held.prices:
                held.prices[price_id].active = False

    def archive_product(self, account: str, product_id: str) -> None:
        with self._call("archive_product", account) as held:
            if product_id in held.products:
                held.products[product_id].active = False

    def ensure_portal_configuration(self, account: str, *, return_url: str, key: str) -> str:
        with self._call("ensure_portal_configuration", account) as held:
            made = next(iter(held.portals), None) or self.provider.new_id("bpc")
            held.portals[made] = PortalState(
                is_active=True,
                return_url=return_url,
                cancels=True,
                updates_card=True,
                lists_invoices=True,
            )
            return made

    # --- buying -------------------------------------------------------------------------------

    def ensure_customer(self, account: str, spec: CustomerSpec, *, key: str) -> str:
        with self._call("ensure_customer", account) as held:

            def make() -> str:
                customer_id = self.provider.new_id("cus")
                held.customers[customer_id] = spec
                return customer_id

            found: str = self.provider.once(account, key, spec, make)
            return found

    def open_checkout(self, account: str, spec: CheckoutSpec, *, key: str) -> CheckoutSession:
        with self._call("open_checkout", account) as held:
            session_id = self.provider.once(
                account, key, spec, lambda: self._new_page(account, held, spec)
            )
            return self._present(account, session_id).session

    def _new_page(self, account: str, held: Account, spec: CheckoutSpec) -> str:
        price = held.prices.get(spec.price_id)
        if price is None or spec.customer_id not in held.customers:
            raise EngineObjectMissing("No such price or customer.", engine_code="resource_missing")
        if not price.active or not held.products[price.spec.product_id].active:
            raise BillingEngineError("This price is not offered any more.")
        left = spec.expires_at - clock.now()
        if not timedelta(minutes=30) <= left <= timedelta(hours=24, seconds=5):
            raise BillingEngineError("A page is open for 30 minutes to 24 hours.")
        session_id = self.provider.new_id("cs_test")
        session = CheckoutSession(
            session_id=session_id,
            state=CheckoutState.OPEN,
            is_paid=False,
            url=f"https://pay.example/c/{session_id}",
            expires_at=spec.expires_at.replace(microsecond=0),
            reference=spec.reference,
            customer_id=spec.customer_id,
            subscription_id=None,
        )
        self.provider.pages[session_id] = Page(account, spec, session)
        return session_id

    def _present(self, account: str, session_id: str) -> Page:
        page = self.provider.pages.get(session_id)
        if page is None or page.account != account:
            raise EngineObjectMissing("No such page.", engine_code="resource_missing")
        self.provider.lapse(page)
        return page

    def checkout(self, account: str, session_id: str) -> CheckoutSession:
        with self._call("checkout", account):
            return self._present(account, session_id).session

    def expire_checkout(self, account: str, session_id: str) -> CheckoutSession:
        with self._call("expire_checkout", account):
            page = self._present(account, session_id)
            self.provider.expire(session_id)
            return page.session

    def portal_url(
        self, account: str, customer_id: str, *, configuration: str, return_url: str
    ) -> str:
        with self._call("portal_url", account) as held:
            if customer_id not in held.customers or configuration not in held.portals:
                raise EngineObjectMissing("No such customer.", engine_code="resource_missing")
            return f"https://pay.example/p/{self.provider.new_id('bps')}"

    # --- a subscription -----------------------------------------------------------------------

    def subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        with self._call("subscription", account):
            return self.provider.contract(account, subscription_id).snapshot

    def cancel_subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        with self._call("cancel_subscription", account):
            contract = self.provider.contract(account, subscription_id)
            self.provider.end(subscription_id, "cancellation_requested")
            return contract.snapshot

    def refund(self, account: str, subscription_id: str, *, key: str) -> Refunded:
        with self._call("refund", account):
            self.provider.contract(account, subscription_id)
            if subscription_id in self.provider.unrefundable:
                raise BillingEngineError("This card takes nothing back.")
            return memory_refunds.pay_back(self.provider, subscription_id)

    def paid_back(self, account: str, subscription_id: str) -> Refunded:
        with self._call("paid_back", account):
            return memory_refunds.paid_back(self.provider, subscription_id)

    def cancel_at_period_end(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        with self._call("cancel_at_period_end", account):
            contract = self.provider.contract(account, subscription_id)
            if not contract.snapshot.status.is_over and contract.snapshot.cancel_at is None:
                self.provider.cancel_at_period_end(subscription_id)
            return contract.snapshot

    def keep_subscription(self, account: str, subscription_id: str) -> SubscriptionSnapshot:
        with self._call("keep_subscription", account):
            contract = self.provider.contract(account, subscription_id)
            if contract.snapshot.status.is_over:
                raise BillingEngineError("It has ended.")
            if contract.snapshot.cancel_at is not None:
                self.provider.keep(subscription_id)
            return contract.snapshot

    def preview_end(self, account: str, subscription_id: str, *, at_once: bool) -> Invoice | None:
        with self._call("preview_end", account):
            contract = self.provider.contract(account, subscription_id)
            is_metered = contract.price.usage_type is UsageType.METERED
            if contract.snapshot.status.is_over or not is_metered:
                return None
            return self.provider.draw(contract)

    def change_plan(
        self, account: str, subscription_id: str, change: PlanChange, *, key: str
    ) -> SubscriptionSnapshot:
        with self._call("change_plan", account) as held:
            contract = self.provider.contract(account, subscription_id)
            if contract.snapshot.price_id != change.price_id:
                price = self._alive(contract, held, change)
                self.provider.once(
                    account, key, change, lambda: self.provider.change(contract, price, change)
                )
            return contract.snapshot

    def preview_change(self, account: str, subscription_id: str, change: PlanChange) -> Invoice:
        with self._call("preview_change", account) as held:
            contract = self.provider.contract(account, subscription_id)
            price = self._alive(contract, held, change)
            return memory_changes.invoice(self.provider, contract, price, change)

    def _alive(self, contract: Contract, held: Account, change: PlanChange) -> PriceSpec:
        if contract.snapshot.status.is_over:
            raise BillingEngineError("It has ended.")
        if change.price_id not in held.prices:
            raise EngineObjectMissing("No such price.", engine_code="resource_missing")
        spec: PriceSpec = held.prices[change.price_id].spec
        return spec

    # --- usage and invoices -------------------------------------------------------------------

    def report_usage(self, account: str, report: UsageReport) -> UsageReceipt:
        with self._call("report_usage", account) as held:
            names = {meter.spec.event_name for meter in held.meters.values() if meter.active}
            if report.event_name not in names:
                raise BillingEngineError("No active meter has this event name.")
            age = clock.now() - report.timestamp
            if not timedelta(minutes=-5) <= age <= timedelta(days=35):
                raise BillingEngineError("The usage is too old, or in the future.")
            before = held.usage.get(report.identifier)
            if before is not None and before != report:
                raise BillingEngineError("This identifier was used with other values.")
            held.usage[report.identifier] = report
            return UsageReceipt(
                identifier=report.identifier,
                duplicate=before is not None,
                request_id=self.provider.new_id("req"),
            )

    def usage_total(
        self, account: str, *, meter_id: str, customer_id: str, start: datetime, end: datetime
    ) -> int:
        with self._call("usage_total", account) as held:
            if any(each.second or each.microsecond for each in (start, end)):
                raise BillingEngineError("Usage is added up between whole minutes.")
            if meter_id not in held.meters:
                raise EngineObjectMissing("No such meter.", engine_code="resource_missing")
            meter = held.meters[meter_id].spec
            return self.provider.total(account, meter, customer_id, start, end)

    def preview(self, account: str, subscription_id: str) -> Invoice | None:
        with self._call("preview", account):
            contract = self.provider.contract(account, subscription_id)
            if contract.snapshot.status.is_over:
                return None
            if contract.price.usage_type is UsageType.METERED:
                return self.provider.draw(contract)
            return None if contract.snapshot.cancel_at else self.provider.draw_next(contract)

    def invoices(self, account: str, subscription_id: str) -> Sequence[Invoice]:
        with self._call("invoices", account):
            self.provider.contract(account, subscription_id)
            return self.provider.bills.get(subscription_id, [])[:100]

    # --- going through everything -------------------------------------------------------------

    def living_subscriptions(self, account: str) -> Iterator[SubscriptionSnapshot]:
        with self._call("living_subscriptions", account):
            found = [each for each in self.provider.contracts.values() if each.account == account]
        yield from (each.snapshot for each in found if not each.snapshot.status.is_over)

    def open_checkouts(self, account: str) -> Iterator[CheckoutSession]:
        with self._call("open_checkouts", account):
            pages = [each for each in self.provider.pages.values() if each.account == account]
            for page in pages:
                self.provider.lapse(page)
        yield from (page.session for page in pages if page.session.state is CheckoutState.OPEN)

    def products(self, account: str) -> Iterator[ListedProduct]:
        with self._call("products", account) as held:
            yield from memory_rows.products(held)

    def prices(self, account: str) -> Iterator[ListedPrice]:
        with self._call("prices", account) as held:
            yield from memory_rows.prices(held)

    def meters(self, account: str) -> Iterator[ListedMeter]:
        with self._call("meters", account) as held:
            yield from memory_rows.meters(held)

    def account_invoices(self, account: str, since: datetime | None) -> Iterator[Invoice]:
        with self._call("account_invoices", account):
            bills = memory_money.bills_of(self.provider, account)
        yield from (bill for bill in bills if since is None or bill.created >= since)

    def movements(self, account: str, since: datetime | None) -> Iterator[Movement]:
        with self._call("movements", account):
            found = memory_money.movements_of(self.provider, account)
        yield from (each for each in found if since is None or each.created >= since)

    def undelivered_events(self, account: str) -> Iterator[Mapping[str, Any]]:
        with self._call("undelivered_events", account):
            bodies = [memory_events.parse(each.payload) for each in self.provider.undelivered]
        yield from (body for body in bodies if body["seller"] == account)

    # --- events -------------------------------------------------------------------------------

    def verify_event(self, payload: bytes, header: str, secrets: Sequence[str]) -> BillingEvent:
        memory_events.verify(payload, header, secrets)
        return self.translate_event(memory_events.parse(payload))

    def translate_event(self, payload: Mapping[str, Any]) -> BillingEvent:
        return memory_events.read(payload)


def _terms(spec: PriceSpec) -> PriceSpec:
    return replace(spec, nickname="", metadata={})
