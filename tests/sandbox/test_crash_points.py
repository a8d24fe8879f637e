"""kill -9 again and again at random moments, in the middle of whatever the sandbox is doing.

``SANDBOX_CRASHES`` is how often (3 by default; CI's long run takes hundreds).
"""

import itertools
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.process import client, control, free_port, received, receiver, start, stop

CRASHES = int(os.environ.get("SANDBOX_CRASHES", "3"))
PAUSE = 0.01
Doubt = Callable[[stripe.StripeClient], None]


class Life:
    """What was promised so far, and the request of each writer whose answer never came."""

    def __init__(self, port: int, database: Path) -> None:
        self.port, self.database = port, database
        self.numbers = itertools.count(1)
        self.products: dict[str, str] = {}
        self.used = 0
        self.doubts: list[Doubt] = []
        self.key = self.customer = self.meter = self.clock = self.subscription = ""

    @property
    def api(self) -> stripe.StripeClient:
        return client(self.port, self.key)

    def prepare(self, url: str) -> None:
        self.key = control(self.port, "POST", "/platforms", name="P")["secret_key"]
        api = self.api
        api.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})
        self.meter = api.v1.billing.meters.create(
            {
                "display_name": "Calls",
                "event_name": "calls",
                "default_aggregation": {"formula": "sum"},
            }
        ).id
        self.customer = api.v1.customers.create({"name": "Dev"}).id
        self.clock = api.v1.test_helpers.test_clocks.create({"frozen_time": int(time.time())}).id
        owner = api.v1.customers.create({"name": "Timed", "test_clock": self.clock})
        card = api.v1.payment_methods.attach("pm_card_visa", {"customer": owner.id})
        product = api.v1.products.create({"name": "first"}, {"idempotency_key": "first"})
        self.products["first"] = product.id
        price = api.v1.prices.create(
            {
                "product": product.id,
                "currency": "usd",
                "unit_amount": 1500,
                "recurring": {"interval": "month"},
            }
        )
        self.subscription = api.v1.subscriptions.create(
            {
                "customer": owner.id,
                "items": [{"price": price.id}],
                "default_payment_method": card.id,
            }
        ).id

    # The writers. Each leaves what it asked for and never heard about.

    def make_products(self) -> None:
        api = self.api
        while True:
            name = str(next(self.numbers))

            def again(api: stripe.StripeClient, name: str = name) -> None:
                made = api.v1.products.create({"name": name}, {"idempotency_key": name})
                self.products[name] = made.id

            if not self._try(again, api):
                return

    def use(self) -> None:
        api = self.api
        while True:
            identifier = f"use-{next(self.numbers)}"

            def again(api: stripe.StripeClient, identifier: str = identifier) -> None:
                try:
                    api.v1.billing.meter_events.create(
                        {
                            "event_name": "calls",
                            "identifier": identifier,
                            "payload": {"stripe_customer_id": self.customer, "value": "1"},
                        }
                    )
                except stripe.InvalidRequestError as refused:
                    # It had been counted before the answer was lost.
                    if refused.code != "duplicate_meter_event":
                        raise
                self.used += 1

            if not self._try(again, api):
                return

    def renew(self) -> None:
        while self._try(self._advance, self.api, doubtful=False):
            time.sleep(0.05)

    def _advance(self, api: stripe.StripeClient) -> None:
        clocks = api.v1.test_helpers.test_clocks
        if clocks.retrieve(self.clock).status != "ready":
            return
        item = api.v1.subscriptions.retrieve(self.subscription)["items"].data[0]
        clocks.advance(self.clock, {"frozen_time": item.current_period_end + 7200})

    def _try(self, act: Doubt, api: stripe.StripeClient, doubtful: bool = True) -> bool:
        try:
            act(api)
        except stripe.APIConnectionError:
            if doubtful:
                self.doubts.append(act)
            return False
        time.sleep(PAUSE)
        return True

    # What must hold after a restart.

    def check(self) -> None:
        api = self.api
        for product in self.products.values():
            assert api.v1.products.retrieve(product).id == product
        while self.doubts:
            self.doubts.pop()(api)
        names = Counter(
            str(each.name) for each in api.v1.products.list({"limit": 100}).auto_paging_iter()
        )
        assert names == Counter(list(self.products))
        assert self.counted(api) == self.used
        self.check_renewals(api)

    def counted(self, api: stripe.StripeClient) -> float:
        now = int(time.time())
        window = {
            "customer": self.customer,
            "start_time": (now - 7200) // 60 * 60,
            "end_time": (now + 120) // 60 * 60,
        }
        listed = api.v1.billing.meters.event_summaries.list(self.meter, window)  # type: ignore[arg-type]
        return listed.data[0].aggregated_value

    def check_renewals(self, api: stripe.StripeClient) -> None:
        deadline = time.monotonic() + 60
        while api.v1.test_helpers.test_clocks.retrieve(self.clock).status != "ready":
            assert time.monotonic() < deadline, "the clock never arrived"
            time.sleep(0.05)
        found = api.v1.invoices.list({"subscription": self.subscription, "limit": 100})
        invoices = list(found.auto_paging_iter())
        assert {each.status for each in invoices} == {"paid"}
        periods = sorted(
            (line.period.start, line.period.end) for each in invoices for line in each.lines.data
        )
        # Every month was billed, and none twice.
        assert [each[1] for each in periods[:-1]] == [each[0] for each in periods[1:]]
        item = api.v1.subscriptions.retrieve(self.subscription)["items"].data[0]
        assert periods[-1] == (item.current_period_start, item.current_period_end)

    def check_events(self) -> None:
        deadline = time.monotonic() + 120
        while self.pending() and time.monotonic() < deadline:
            time.sleep(0.1)
        with sqlite3.connect(self.database) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            stored = {row[0] for row in file.execute("SELECT id FROM events")}
            made = file.execute(
                "SELECT object_id FROM events WHERE type = 'product.created'"
            ).fetchall()
        file.close()
        assert stored <= {event["id"] for event in received()}
        assert Counter(row[0] for row in made) == Counter(self.products.values())

    def pending(self) -> int:
        states = ("new", "pending")
        paths = (f"/deliveries?state={state}&limit=1" for state in states)
        return sum(len(control(self.port, "GET", path)["data"]) for path in paths)


def crash(life: Life, process: Any, moment: float) -> None:
    """Let the writers write for a moment, and end the sandbox without a warning."""
    writers = [Thread(target=act) for act in (life.make_products, life.use, life.renew)]
    for writer in writers:
        writer.start()
    time.sleep(moment)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for writer in writers:
        writer.join()


@pytest.mark.slow
def test_no_crash_loses_or_doubles_anything(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    life = Life(free_port(), tmp_path / "sandbox.sqlite3")
    with receiver() as url:
        process = start(life.database, life.port, SANDBOX_STRICT="1")
        try:
            life.prepare(url)
            for _ in range(CRASHES):
                crash(life, process, chance.uniform(0.05, 1.2))
                process = start(life.database, life.port, SANDBOX_STRICT="1")
                life.check()
            life.check_events()
        except (AssertionError, stripe.StripeError, requests.RequestException) as error:
            error.add_note(f"the moments came from the seed {seed}")
            raise
        finally:
            stop(process)
    assert len(life.products) > CRASHES
    assert life.used > CRASHES
