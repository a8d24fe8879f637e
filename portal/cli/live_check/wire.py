"""A few plain HTTP requests to Stripe's API; what they make is found again and put away."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import requests

API_VERSION = "2026-04-22.dahlia"
_PATIENCE = 180.0
_TIMEOUT = 30.0


class Unsettled(Exception):
    """Stripe answered something that the question did not expect; the text says what."""


@dataclass
class Wire:
    """One test key. What a probe makes carries `tag` in its name."""

    base: str
    key: str
    tag: str = field(default_factory=lambda: secrets.token_hex(4))
    cleanup: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def call(self, method: str, path: str, /, **params: Any) -> tuple[int, dict[str, Any]]:
        """Make one request with form parameters; return status and body."""
        sent = {name: str(value) for name, value in params.items()}
        inside: dict[str, Any] = {"params": sent} if method == "GET" else {"data": sent}
        answer = requests.request(
            method,
            self.base + path,
            headers={"Authorization": f"Bearer {self.key}", "Stripe-Version": API_VERSION},
            timeout=_TIMEOUT,
            **inside,
        )
        return answer.status_code, answer.json()

    def get(self, path: str, /, **params: Any) -> dict[str, Any]:
        """Read something that must be there.

        :raise Unsettled: when it is not
        """
        return self._good("GET", path, params)

    def post(self, path: str, /, **params: Any) -> dict[str, Any]:
        """Make something that must be possible.

        :raise Unsettled: when it is refused
        """
        return self._good("POST", path, params)

    def delete(self, path: str, /, **params: Any) -> dict[str, Any]:
        """Remove something that must be there.

        :raise Unsettled: when that is refused
        """
        return self._good("DELETE", path, params)

    def _good(self, method: str, path: str, params: dict[str, Any]) -> dict[str, Any]:
        status, body = self.call(method, path, **params)
        if status != 200:
            raise Unsettled(f"{method} {path}: {verdict(status, body)}")
        return body

    def later(self, method: str, path: str, /, **params: str) -> None:
        """Remember a request that tidies up; the last one is made first."""
        self.cleanup.append((method, path, params))

    def tidy(self) -> None:
        """Make the requests that tidy up; what fails is left."""
        while self.cleanup:
            method, path, params = self.cleanup.pop()
            self.call(method, path, **params)

    # What the questions need.

    def product(self) -> str:
        """Make a product."""
        made = self.post("/v1/products", name=f"sandbox check {self.tag}")["id"]
        self.later("POST", f"/v1/products/{made}", active="false")
        return str(made)

    def price(self, **params: Any) -> str:
        """Make a monthly price of a new product; `params` replace what is usual."""
        wanted = {"product": self.product(), "currency": "usd", "recurring[interval]": "month"}
        if not {"unit_amount", "unit_amount_decimal"} & params.keys():
            wanted["unit_amount"] = "1000"
        made = self.post("/v1/prices", **{**wanted, **params})["id"]
        self.later("POST", f"/v1/prices/{made}", active="false")
        return str(made)

    def meter(self) -> tuple[str, str]:
        """Make a meter; return its id and its event name."""
        name = f"sandbox_check_{self.tag}_{secrets.token_hex(3)}"
        params = {"display_name": "Sandbox check", "default_aggregation[formula]": "sum"}
        made = self.post("/v1/billing/meters", event_name=name, **params)["id"]
        self.later("POST", f"/v1/billing/meters/{made}/deactivate")
        return str(made), name

    def metered_price(self) -> tuple[str, str, str]:
        """Make a price of 1 USD for each unit; return price, meter and event name."""
        meter, name = self.meter()
        more = {"recurring[usage_type]": "metered", "recurring[meter]": meter}
        return self.price(unit_amount="100", **more), meter, name

    def clock(self) -> tuple[str, int]:
        """Make a test clock at the present second; return its id and that second."""
        now = int(time.time())
        made = self.post("/v1/test_helpers/test_clocks", frozen_time=now)["id"]
        self.later("DELETE", f"/v1/test_helpers/test_clocks/{made}")
        return str(made), now

    def advance(self, clock: str, to: int) -> None:
        """Send a clock forward and wait until it has arrived.

        :raise Unsettled: when it doesn't
        """
        path = f"/v1/test_helpers/test_clocks/{clock}"
        self.post(f"{path}/advance", frozen_time=to)
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            if self.get(path)["status"] == "ready":
                return
            time.sleep(1)
        raise Unsettled("the test clock did not arrive")

    def customer(self, clock: str | None = None, card: str = "pm_card_visa") -> str:
        """Make a customer who pays by a test card."""
        more = {"test_clock": clock} if clock else {}
        made = str(self.post("/v1/customers", name=f"sandbox check {self.tag}", **more)["id"])
        if clock is None:
            self.later("DELETE", f"/v1/customers/{made}")
        self.use_card(made, card)
        return made

    def use_card(self, customer: str, card: str) -> None:
        """Make a test card the customer's default."""
        method = self.post(f"/v1/payment_methods/{card}/attach", customer=customer)["id"]
        default = {"invoice_settings[default_payment_method]": method}
        self.post(f"/v1/customers/{customer}", **default)

    def subscribe(self, customer: str, price: str, **params: Any) -> dict[str, Any]:
        """Make a subscription to one price."""
        wanted = {"customer": customer, "items[0][price]": price}
        return self.post("/v1/subscriptions", **wanted, **params)

    def use(self, event_name: str, customer: str, value: int, **params: Any) -> tuple[int, Any]:
        """Send one usage event; return status and body."""
        wanted = {"payload[stripe_customer_id]": customer, "payload[value]": value}
        return self.call(
            "POST", "/v1/billing/meter_events", event_name=event_name, **wanted, **params
        )


def verdict(status: int, body: dict[str, Any]) -> str:
    """Return an answer in one line: ``accepted``, or status, code and parameter of a refusal."""
    if status == 200:
        return "accepted"
    error = body.get("error") or {}
    code, param = error.get("code") or "no code", error.get("param") or "no param"
    return f"{status} {code} ({param})"
