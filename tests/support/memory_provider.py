"""The servers of a made-up billing provider, in memory.

What a subscriber, a card or the passing of time would do are methods here; each returns the
signed events that follow from it, in order, and keeps them in ``events``::

    engine = MemoryBillingEngine()
    page = engine.open_checkout(...)
    for event in engine.provider.pay(page.session_id):
        client.post(WEBHOOK, data=event.payload, headers={"Stripe-Signature": event.header})
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from portal import clock
from portal.billing.engine import (
    CheckoutState,
    EngineStatus,
    EventKind,
    Invoice,
    InvoiceLine,
    MeterSpec,
    PlanChange,
    PriceSpec,
    SubscriptionSnapshot,
    UsageType,
    WebhookState,
)
from portal.errors import BillingEngineError, EngineObjectMissing, PaymentDeclined
from tests.support import memory_changes, memory_events, memory_money
from tests.support.memory_events import SignedEvent
from tests.support.memory_rows import Account, Contract, Page, period_end, second

SECRET = "whsec_memory_secret_0001"


class MemoryProvider:
    """State of the provider, shared by the engines of all tenants.

    Every account that begins with ``acct_`` is connected until ``disconnect``, and every key
    works until it is in ``refused_keys``. ``is_down`` makes each call fail before its effect,
    ``lose_answers`` that many calls after theirs. ``lost`` names events that no webhook took.
    """

    def __init__(self, *, webhook_secret: str = SECRET) -> None:
        self.webhook_secret = webhook_secret
        self.accounts: dict[str, Account] = {}
        self.disconnected: set[str] = set()
        self.refused_keys: set[str] = set()
        self.pages: dict[str, Page] = {}
        self.contracts: dict[str, Contract] = {}
        self.bills: dict[str, list[Invoice]] = {}
        self.webhooks: dict[str, WebhookState] = {}
        self.missing_rights: list[str] = []
        self.skew = timedelta(0)
        self.declining: set[str] = set()
        self.refunds: dict[str, int] = {}
        """What has been paid back, by bill."""
        self.unrefundable: set[str] = set()
        self.events: list[SignedEvent] = []
        self.lost: set[str] = set()
        self.given_back: list[tuple[str, int, datetime]] = []
        """What publishers gave back by themselves: of which invoice, how much, when."""
        self.calls: list[str] = []
        self.is_down = False
        self.lose_answers = 0
        self._numbers = count(1)

    def account(self, account: str) -> Account:
        """Return what an account holds."""
        return self.accounts.setdefault(account, Account())

    def new_id(self, prefix: str) -> str:
        """Return an id that was never used."""
        return f"{prefix}_mem{next(self._numbers):04d}"

    @property
    def undelivered(self) -> list[SignedEvent]:
        """The events that no webhook took."""
        return [event for event in self.events if event.event_id in self.lost]

    def disconnect(self, account: str) -> None:
        """Make every call in this account be denied, as when the publisher revoked access."""
        self.disconnected.add(account)

    # --- what subscribers do ------------------------------------------------------------------

    def pay(self, session_id: str) -> list[SignedEvent]:
        """Pay on the page with a good card. The first invoice's event comes before the page's."""
        page = self.pages[session_id]
        self.lapse(page)
        if page.session.state is not CheckoutState.OPEN:
            raise BillingEngineError("This page cannot be paid any more.")
        price = self.account(page.account).prices[page.spec.price_id].spec
        customer = self.account(page.account).customers[page.spec.customer_id]
        start = second()
        snapshot = SubscriptionSnapshot(
            subscription_id=self.new_id("sub"),
            status=EngineStatus.ACTIVE,
            customer_id=page.spec.customer_id,
            item_id=self.new_id("si"),
            price_id=page.spec.price_id,
            period_start=start,
            period_end=period_end(start, price.interval),
            cancel_at=None,
            ended_at=None,
            cancel_reason=None,
            latest_invoice_id=None,
            reference=page.spec.reference,
            created=start,
        )
        contract = Contract(page.account, snapshot, price, customer.email)
        self.contracts[snapshot.subscription_id] = contract
        bill = self._bill(contract, "subscription_create", status="paid")
        page.session = replace(
            page.session,
            state=CheckoutState.COMPLETE,
            is_paid=True,
            url=None,
            subscription_id=snapshot.subscription_id,
            invoice_id=bill.invoice_id,
        )
        return [
            self._tell(EventKind.PAYMENT_SUCCEEDED, page.account, bill),
            self._tell(EventKind.CHECKOUT_COMPLETED, page.account, page.session),
        ]

    def expire(self, session_id: str) -> list[SignedEvent]:
        """Let the page lapse, as 24 hours would."""
        page = self.pages[session_id]
        if page.session.state is not CheckoutState.OPEN:
            return []
        page.session = replace(page.session, state=CheckoutState.EXPIRED, url=None)
        return [self._tell(EventKind.CHECKOUT_EXPIRED, page.account, page.session)]

    def cancel_at_period_end(self, subscription_id: str) -> list[SignedEvent]:
        """Cancel in the customer portal."""
        contract = self.contracts[subscription_id]
        self._change(contract, cancel_at=contract.snapshot.period_end)
        return [self._tell(EventKind.SUBSCRIPTION_UPDATED, contract.account, contract.snapshot)]

    def keep(self, subscription_id: str) -> list[SignedEvent]:
        """Withdraw a planned end."""
        contract = self.contracts[subscription_id]
        self._change(contract, cancel_at=None)
        return [self._tell(EventKind.SUBSCRIPTION_UPDATED, contract.account, contract.snapshot)]

    def change(self, contract: Contract, price: PriceSpec, change: PlanChange) -> str:
        """Sell at another price and bill the difference; a card that declines changes nothing."""
        drawn = memory_changes.invoice(self, contract, price, change)
        if contract.snapshot.subscription_id in self.declining and drawn.amount_due:
            raise PaymentDeclined("The payment did not go through: the card was declined.")
        bill = self._keep(contract, drawn, "subscription_update", status="paid")
        contract.price = price
        self._change(contract, price_id=change.price_id)
        if change.new_period:
            self._start_period(contract, second())
        self._tell(EventKind.PAYMENT_SUCCEEDED, contract.account, bill)
        self._tell(EventKind.SUBSCRIPTION_UPDATED, contract.account, contract.snapshot)
        return contract.snapshot.subscription_id

    def pay_invoice(self, subscription_id: str) -> list[SignedEvent]:
        """Pay what is open, and so leave arrears."""
        contract = self.contracts[subscription_id]
        bills = self.bills[subscription_id]
        bills[:] = [
            replace(
                each,
                status="paid",
                amount_paid=each.total,
                amount_remaining=0,
                needs_authentication=False,
            )
            if each.status == "open"
            else each
            for each in bills
        ]
        self._change(contract, status=EngineStatus.ACTIVE)
        return [
            self._tell(EventKind.PAYMENT_SUCCEEDED, contract.account, bills[0]),
            self._tell(EventKind.SUBSCRIPTION_UPDATED, contract.account, contract.snapshot),
        ]

    # --- what time does -----------------------------------------------------------------------

    def renew(self, subscription_id: str) -> list[SignedEvent]:
        """End the period now with a good card; a cancelled subscription ends instead."""
        contract = self.contracts[subscription_id]
        if contract.snapshot.cancel_at is not None:
            return self.end(subscription_id, "cancellation_requested")
        bill = self._roll(contract, "paid")
        return [
            self._tell(EventKind.PAYMENT_SUCCEEDED, contract.account, bill),
            self._tell(EventKind.SUBSCRIPTION_UPDATED, contract.account, contract.snapshot),
        ]

    def fail_renewal(
        self, subscription_id: str, *, status: EngineStatus = EngineStatus.PAST_DUE
    ) -> list[SignedEvent]:
        """End the period now with a card that is declined."""
        return self._arrears(subscription_id, EventKind.PAYMENT_FAILED, status)

    def require_action(self, subscription_id: str) -> list[SignedEvent]:
        """End the period now with a card that asks for authentication."""
        kind = EventKind.PAYMENT_ACTION_REQUIRED
        return self._arrears(subscription_id, kind, EngineStatus.PAST_DUE)

    def _arrears(
        self, subscription_id: str, kind: EventKind, status: EngineStatus
    ) -> list[SignedEvent]:
        contract = self.contracts[subscription_id]
        bill = self._roll(contract, "open")
        self._change(contract, status=status)
        asks = kind is EventKind.PAYMENT_ACTION_REQUIRED
        bill = replace(bill, needs_authentication=asks)
        self.bills[subscription_id][0] = bill
        return [
            self._tell(kind, contract.account, bill),
            self._tell(EventKind.SUBSCRIPTION_UPDATED, contract.account, contract.snapshot),
        ]

    def end(self, subscription_id: str, reason: str = "payment_failed") -> list[SignedEvent]:
        """End the subscription for good and draw the last invoice."""
        contract = self.contracts[subscription_id]
        if contract.snapshot.status.is_over:
            return []
        if contract.price.usage_type is UsageType.METERED:
            self._change(contract, period_end=second() + timedelta(seconds=1))
            self._bill(contract, "subscription_update", status="paid")
        self._change(
            contract,
            status=EngineStatus.CANCELED,
            ended_at=second(),
            cancel_reason=reason,
        )
        return [self._tell(EventKind.SUBSCRIPTION_DELETED, contract.account, contract.snapshot)]

    def lapse(self, page: Page) -> None:
        """Expire a page whose time has come."""
        if page.session.state is CheckoutState.OPEN and clock.now() >= page.session.expires_at:
            self.expire(page.session.session_id)

    # --- reckoning ----------------------------------------------------------------------------

    def _roll(self, contract: Contract, status: str) -> Invoice:
        start = second()
        if contract.price.usage_type is UsageType.METERED:
            self._change(contract, period_end=start)
            bill = self._bill(contract, "subscription_cycle", status=status)
            self._start_period(contract, start)
            return bill
        self._start_period(contract, start)
        return self._bill(contract, "subscription_cycle", status=status)

    def _start_period(self, contract: Contract, start: datetime) -> None:
        end = period_end(start, contract.price.interval)
        self._change(contract, period_start=start, period_end=end)

    def _bill(self, contract: Contract, reason: str, *, status: str) -> Invoice:
        return self._keep(contract, self.draw(contract), reason, status=status)

    def _keep(self, contract: Contract, drawn: Invoice, reason: str, *, status: str) -> Invoice:
        bill = replace(
            drawn,
            invoice_id=self.new_id("in"),
            number=f"MEM-{next(self._numbers):04d}",
            status=status,
            is_preview=False,
            billing_reason=reason,
            hosted_url=f"https://pay.example/i/{contract.snapshot.subscription_id}",
            pdf_url=f"https://pay.example/i/{contract.snapshot.subscription_id}.pdf",
        )
        paid = status == "paid"
        bill = replace(
            bill,
            amount_paid=bill.amount_due if paid else 0,
            amount_remaining=0 if paid else bill.amount_due,
            next_payment_attempt=None if paid else second() + timedelta(days=3),
        )
        self.bills.setdefault(contract.snapshot.subscription_id, []).insert(0, bill)
        self._change(contract, latest_invoice_id=bill.invoice_id)
        return bill

    def draw(self, contract: Contract, period: tuple[datetime, datetime] | None = None) -> Invoice:
        """Draw up an invoice for a period (the open one), without keeping it."""
        price, snapshot = contract.price, contract.snapshot
        start, end = period or (snapshot.period_start, snapshot.period_end)
        assert start
        assert end
        is_metered = price.usage_type is UsageType.METERED
        quantity = self.counted(contract, start, end) if is_metered else 1
        amount = memory_money.amount(price, quantity)
        line = InvoiceLine(
            description=f"{quantity} × {price.nickname}",
            quantity=quantity,
            unit_minor=price.unit_minor,
            amount_minor=amount,
            period_start=start,
            period_end=end,
            price_id=snapshot.price_id,
        )
        return Invoice(
            invoice_id=None,
            number=None,
            status="draft",
            is_preview=True,
            currency=price.currency,
            subtotal=amount,
            tax=0,
            total=amount,
            amount_due=amount,
            amount_paid=0,
            amount_remaining=amount,
            period_start=start,
            period_end=end,
            due_date=None,
            next_payment_attempt=end,
            created=second(),
            description=None,
            account_name="Memory Publisher",
            account_country="US",
            customer_email=contract.email,
            hosted_url=None,
            pdf_url=None,
            billing_reason="upcoming",
            subscription_id=snapshot.subscription_id,
            lines=[line],
            reference=snapshot.reference,
        )

    def draw_next(self, contract: Contract) -> Invoice:
        """Draw up the invoice of the next period."""
        start = contract.snapshot.period_end
        assert start
        return self.draw(contract, (start, period_end(start, contract.price.interval)))

    def counted(self, contract: Contract, start: datetime, end: datetime) -> int:
        """Return the usage of a contract's customer on its meter."""
        meter = self.account(contract.account).meters[contract.price.meter_id or ""].spec
        return self.total(contract.account, meter, contract.snapshot.customer_id, start, end)

    def total(
        self, account: str, meter: MeterSpec, customer_id: str, start: datetime, end: datetime
    ) -> int:
        """Return the usage of a customer on a meter from ``start`` until before ``end``."""
        return sum(
            each.quantity
            for each in self.account(account).usage.values()
            if each.event_name == meter.event_name
            and each.customer_id == customer_id
            and start <= each.timestamp < end
        )

    # --- for the engine -----------------------------------------------------------------------

    def once(self, account: str, key: str, values: object, make: Callable[[], Any]) -> Any:
        """Make something under a key once; the same key with other values is refused."""
        answers = self.account(account).answers
        if key in answers:
            before, answer = answers[key]
            if before != values:
                raise BillingEngineError(
                    "This attempt was made with other values.", engine_code="idempotency_error"
                )
            return answer
        answer = make()
        answers[key] = (values, answer)
        return answer

    def contract(self, account: str, subscription_id: str) -> Contract:
        """Return a subscription of this account."""
        found = self.contracts.get(subscription_id)
        if found is None or found.account != account:
            raise EngineObjectMissing("No such subscription.", engine_code="resource_missing")
        return found

    def _change(self, contract: Contract, **facts: Any) -> None:
        contract.snapshot = replace(contract.snapshot, **facts)

    def _tell(self, kind: EventKind, account: str, thing: object) -> SignedEvent:
        return self.tell(kind.value, account, thing)

    def tell(self, what: str, account: str, thing: object, *, live: bool = False) -> SignedEvent:
        """Write, sign and keep an event."""
        event_id = self.new_id("evt")
        when = clock.epoch(second())
        payload = memory_events.write(event_id, what, account, when, thing, live=live)
        signed = SignedEvent(
            event_id=event_id,
            type=what,
            payload=payload,
            header=memory_events.sign(payload, self.webhook_secret),
        )
        self.events.append(signed)
        return signed
