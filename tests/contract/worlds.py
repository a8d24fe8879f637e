"""The two providers that the contract is held against, with what people and time do there."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import stripe
import time_machine

from portal.billing.engine import BillingEngine, BillingEvent, Invoice
from portal.billing.registry import EngineSettings
from portal.billing.stripe.engine import StripeBillingEngine
from portal.sandbox.app import create_sandbox
from portal.sandbox.settings import SandboxSettings
from tests.support.memory_engine import MemoryBillingEngine
from tests.support.memory_provider import MemoryProvider
from tests.support.memory_rows import second
from tests.support.wsgi_stripe import WsgiHttpClient, stripe_client

HOOK = "https://portal.example/hook"
#: Payload and header of a webhook request.
Signed = tuple[bytes, str]


class World(ABC):
    """A provider with one platform and two connected accounts."""

    engine: BillingEngine
    account: str
    other_account: str
    stranger: str
    secrets: Sequence[str]

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self._traveller = traveller

    def wait(self, **time: float) -> None:
        """Let time pass for the portal and the provider."""
        self._traveller.shift(timedelta(**time))

    def events(self) -> list[BillingEvent]:
        """Return what the provider told since the last call, verified."""
        return [
            self.engine.verify_event(payload, header, self.secrets)
            for payload, header in self.signed()
        ]

    @abstractmethod
    def signed(self) -> list[Signed]:
        """Return the webhook requests since the last call."""

    @abstractmethod
    def with_wrong_key(self) -> BillingEngine:
        """Return an engine whose key the provider does not know."""

    @abstractmethod
    def lose_next_answer(self) -> None:
        """Let the next thing be made, and its answer be lost."""

    @abstractmethod
    def deliver_nothing(self) -> None:
        """Let the webhook refuse every event from now on."""

    @abstractmethod
    def go_down(self) -> None:
        """Let the provider answer nothing any more."""

    @abstractmethod
    def count(self, kind: str) -> int:
        """Return how many of a kind the account holds."""

    @abstractmethod
    def forbid_charges(self) -> None:
        """Let the account be one that cannot charge."""

    @abstractmethod
    def pay(self, session_id: str) -> None:
        """Pay on the page with a good card."""

    @abstractmethod
    def renew(self, subscription_id: str) -> None:
        """End the period and collect."""

    @abstractmethod
    def fail_renewal(self, subscription_id: str, *, asks: bool = False) -> None:
        """End the period with a card that declines, or that asks for authentication."""

    @abstractmethod
    def decline(self, subscription_id: str) -> None:
        """Let the card decline what is charged next."""

    @abstractmethod
    def pay_invoice(self, subscription_id: str) -> None:
        """Pay what is open."""

    @abstractmethod
    def paid_back(self) -> int:
        """Return what has been paid back in the account, in minor units."""

    @abstractmethod
    def cancel_at_period_end(self, subscription_id: str) -> None:
        """Cancel as a subscriber does in the customer portal."""

    @abstractmethod
    def refund(self, invoice: Invoice, amount: int) -> None:
        """Give a part of what was paid for an invoice back, as the publisher does."""


class MemoryWorld(World):
    """The engine for tests."""

    account, other_account, stranger = "acct_1", "acct_2", "acct_stranger"

    def __init__(self, traveller: time_machine.Traveller, folder: Path) -> None:
        super().__init__(traveller)
        self.provider = MemoryProvider()
        self.provider.disconnect(self.stranger)
        self.engine = MemoryBillingEngine(provider=self.provider)
        self.secrets = [self.engine.register_webhook(HOOK, key="hook").secret]
        self._accepts = True
        self._told = 0

    def signed(self) -> list[Signed]:
        new = self.provider.events[self._told :]
        self._told = len(self.provider.events)
        if not self._accepts:
            self.provider.lost |= {event.event_id for event in new}
            return []
        return [(event.payload, event.header) for event in new]

    def deliver_nothing(self) -> None:
        self._accepts = False

    def with_wrong_key(self) -> BillingEngine:
        self.provider.refused_keys.add("wrong")
        settings = EngineSettings(secret_key="wrong", api_base="memory:")
        return MemoryBillingEngine(settings, provider=self.provider)

    def lose_next_answer(self) -> None:
        self.provider.lose_answers = 1

    def go_down(self) -> None:
        self.provider.is_down = True

    def count(self, kind: str) -> int:
        held = self.provider.account(self.account)
        if kind == "pages":
            return sum(page.account == self.account for page in self.provider.pages.values())
        return len(getattr(held, kind))

    def forbid_charges(self) -> None:
        self.provider.account(self.account).card_payments = False

    def pay(self, session_id: str) -> None:
        self.provider.pay(session_id)

    def renew(self, subscription_id: str) -> None:
        self.provider.renew(subscription_id)

    def fail_renewal(self, subscription_id: str, *, asks: bool = False) -> None:
        act = self.provider.require_action if asks else self.provider.fail_renewal
        act(subscription_id)

    def decline(self, subscription_id: str) -> None:
        self.provider.declining.add(subscription_id)

    def pay_invoice(self, subscription_id: str) -> None:
        self.provider.pay_invoice(subscription_id)

    def paid_back(self) -> int:
        return sum(self.provider.refunds.values())

    def cancel_at_period_end(self, subscription_id: str) -> None:
        self.provider.cancel_at_period_end(subscription_id)

    def refund(self, invoice: Invoice, amount: int) -> None:
        self.provider.given_back.append((str(invoice.invoice_id), amount, second()))


class Line(WsgiHttpClient):
    """The line to the sandbox; it may lose an answer, or be dead."""

    def __init__(self, app: Any) -> None:
        super().__init__(app)
        self.loses = False
        self.is_dead = False

    def request(self, method: str, url: str, headers: Any, post_data: Any = None) -> Any:
        """Make one request, and lose the answer to one that changed something if told so."""
        if self.is_dead:
            raise stripe.APIConnectionError("refused", should_retry=False)
        answer = super().request(method, url, headers, post_data)
        if self.loses and method != "get" and answer[1] == 200:
            self.loses = False
            raise stripe.APIConnectionError("reset", should_retry=False)
        return answer

    def _sleep_time_seconds(self, num_retries: int, response: Any = None) -> float:
        return 0


class SandboxWorld(World):
    """The Stripe engine, through the real SDK, on the sandbox."""

    TOKEN = "token-for-the-contract"
    BASE = "http://sandbox.test"

    def __init__(self, traveller: time_machine.Traveller, folder: Path) -> None:
        super().__init__(traveller)
        settings = SandboxSettings(
            database=str(folder / "sandbox.sqlite3"),
            base_url=self.BASE,
            admin_token=self.TOKEN,
            orderly=True,
            strict=True,
        )
        self._told: list[Signed] = []
        self._accepts = True
        self._app = create_sandbox(settings, transport=self._receive)
        self._browser = self._app.test_client()
        platform = self._control("/platforms", name="Platform")
        self._key = platform["secret_key"]
        self.account = self._connect(platform["account"])
        self.other_account = self._connect(platform["account"])
        self.stranger = self._connect(self._control("/platforms", name="Another")["account"])
        self._line = Line(self._app)
        self._api = stripe_client(self._app, self._key, account=self.account, base=self.BASE)
        self.engine = self._engine(self._key, self._line)
        self.secrets = [self.engine.register_webhook(HOOK, key="hook").secret]

    def _engine(self, key: str, line: Line) -> StripeBillingEngine:
        return StripeBillingEngine(
            EngineSettings(secret_key=key, api_base=self.BASE), transport=line
        )

    def _receive(self, url: str, headers: Any, body: bytes) -> int:
        assert url == HOOK
        if not self._accepts:
            return 500
        self._told.append((body, headers["Stripe-Signature"]))
        return 200

    def _control(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self._browser.post(
            f"/_sandbox{path}", json=body, headers={"Authorization": f"Bearer {self.TOKEN}"}
        )
        assert answer.status_code < 300, answer.get_data(as_text=True)
        return answer.get_json()

    def _connect(self, platform: str) -> str:
        return self._control("/accounts", platform=platform, name="Publisher")["id"]

    def signed(self) -> list[Signed]:
        for _ in range(20):
            if not any(self._control("/tick").values()):
                break
        told = [*self._told]
        self._told.clear()
        return told

    def with_wrong_key(self) -> BillingEngine:
        return self._engine("sk_test_sandbox_unknown", Line(self._app))

    def lose_next_answer(self) -> None:
        self._line.loses = True

    def deliver_nothing(self) -> None:
        self._accepts = False

    def go_down(self) -> None:
        self._line.is_dead = True

    def count(self, kind: str) -> int:
        lists = {
            "products": self._api.v1.products,
            "meters": self._api.v1.billing.meters,
            "prices": self._api.v1.prices,
            "customers": self._api.v1.customers,
            "pages": self._api.v1.checkout.sessions,
            "portals": self._api.v1.billing_portal.configurations,
        }
        found: Any = lists[kind].list({"limit": 100})
        return len(found.data)

    def forbid_charges(self) -> None:
        self._control(f"/accounts/{self.account}", card_payments="inactive")

    def pay(self, session_id: str) -> None:
        page = self.engine.checkout(self.account, session_id)
        assert page.url
        form = {
            "email": "dev@example.com",
            "card_number": "4242 4242 4242 4242",
            "exp": "12 / 30",
            "cvc": "123",
            "name": "Dev",
        }
        answer = self._browser.post(page.url.removeprefix(self.BASE), data=form)
        assert answer.status_code == 303, answer.get_data(as_text=True)

    def renew(self, subscription_id: str) -> None:
        done = self._control(f"/subscriptions/{subscription_id}/end-period")
        if done["invoice"] and done["invoice"]["status"] == "draft":
            self._control(f"/invoices/{done['invoice']['id']}/finalize")

    def fail_renewal(self, subscription_id: str, *, asks: bool = False) -> None:
        outcome = "requires_action" if asks else "card_declined"
        self._control(f"/subscriptions/{subscription_id}/fail-next-charge", outcome=outcome)
        self.renew(subscription_id)

    def decline(self, subscription_id: str) -> None:
        path = f"/subscriptions/{subscription_id}/fail-next-charge"
        self._control(path, outcome="card_declined")

    def pay_invoice(self, subscription_id: str) -> None:
        latest = self.engine.subscription(self.account, subscription_id).latest_invoice_id
        self._api.v1.invoices.pay(latest or "")

    def paid_back(self) -> int:
        return sum(each.amount for each in self._api.v1.refunds.list({"limit": 100}).data)

    def cancel_at_period_end(self, subscription_id: str) -> None:
        self._api.v1.subscriptions.update(subscription_id, {"cancel_at_period_end": True})

    def refund(self, invoice: Invoice, amount: int) -> None:
        self._api.v1.refunds.create({"payment_intent": invoice.payment_ids[0], "amount": amount})
