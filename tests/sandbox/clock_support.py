"""What the tests of test clocks begin with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import stripe

from tests.sandbox.conftest import World

HOUR, DAY = 3600, 86_400


def at(text: str) -> int:
    """Return the second (UTC) that an ISO time names."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def shown(second: int) -> str:
    """Return a second as an ISO date."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d")


@dataclass
class Timeline:
    """A test clock with one customer whose card works."""

    world: World
    clock: str
    customer: str

    def subscribe(self, price: str, **more: Any) -> str:
        """Start a subscription; return its id."""
        params: Any = {"customer": self.customer, "items": [{"price": price}], **more}
        return self.world.api.v1.subscriptions.create(params).id

    def to(self, second: int) -> None:
        """Advance the clock and wait until it has arrived."""
        clocks = self.world.api.v1.test_helpers.test_clocks
        sent = clocks.advance(self.clock, {"frozen_time": second})
        assert sent.status == "advancing"
        self.world.tick()
        arrived = clocks.retrieve(self.clock)
        assert (arrived.status, arrived.frozen_time) == ("ready", second)

    def until(self, second: int, step: int = 20 * DAY) -> None:
        """Advance by short steps, as far as Stripe allows at once."""
        now = self.world.api.v1.test_helpers.test_clocks.retrieve(self.clock).frozen_time
        while now < second:
            now = min(now + step, second)
            self.to(now)

    def card(self, name: str) -> str:
        """Attach a test card and make it the default."""
        method = self.world.api.v1.payment_methods.attach(name, {"customer": self.customer})
        settings = {"invoice_settings": {"default_payment_method": method.id}}
        self.world.api.v1.customers.update(self.customer, settings)  # type: ignore[arg-type]
        return method.id

    def subscription(self, identifier: str) -> stripe.Subscription:
        """Read a subscription."""
        return self.world.api.v1.subscriptions.retrieve(identifier)

    def invoices(self, identifier: str) -> list[stripe.Invoice]:
        """Read the invoices of a subscription, oldest first."""
        listed = self.world.api.v1.invoices.list({"subscription": identifier, "limit": 100})
        return listed.data[::-1]


def timeline(world: World, start: int) -> Timeline:
    """Create a clock that stands at `start`."""
    clock = world.api.v1.test_helpers.test_clocks.create({"frozen_time": start, "name": "t"})
    customer = world.api.v1.customers.create({"email": "dev@example.com", "test_clock": clock.id})
    made = Timeline(world, clock.id, customer.id)
    made.card("pm_card_visa")
    return made
