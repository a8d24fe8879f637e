"""Killed before and after every call of Stripe: enable, subscribe, pay, cancel, disable.

The portal's process is ended by ``os._exit`` at its n-th request to Stripe, before it is sent or
after it was answered; a person then does once more what they were doing. ``CRASH_LIVES=all`` does
so at every request on every database; by default at one or two.
"""

import os
from collections import Counter
from collections.abc import Callable
from itertools import count
from urllib.parse import urlsplit

import pytest
import requests

from portal.cli.reconcile import reconcile
from portal.cli.tour.acts import card_form
from portal.cli.tour.browser import Surprise
from portal.extensions import db
from portal.models import Subscription, TimelineEntry
from tests.support.real import Real

ALL = os.environ.get("CRASH_LIVES") == "all"
#: Before or after which requests to Stripe the portal dies by default.
KILLS = {
    ("sqlite", "before"): (2, 12),
    ("sqlite", "after"): (7,),
    ("postgresql", "before"): (9,),
    ("postgresql", "after"): (14,),
    ("mysql", "before"): (16,),
    ("mysql", "after"): (4,),
}


class Life:
    """An API that is put up for sale, bought, cancelled and taken off sale again, by people."""

    def __init__(self, real: Real, number: int, side: str) -> None:
        self.real = real
        self.account = real.connect()
        make = real.factories
        self.policies = [
            make.fixed_policy(name=f"Gold{number}{side}"),
            make.dynamic_policy(name=f"PerCall{number}{side}"),
        ]
        self.publisher_name, self.developer_name = f"pub{number}{side}", f"dev{number}{side}"
        publisher = make.user(self.publisher_name, "publisher")
        developer = make.user(self.developer_name, "subscriber")
        self.api = make.api(f"Api{number}{side}", *self.policies, provider=publisher)
        self.api_name, self.uuid = self.api.api_name, self.api.api_uuid
        self.plan = self.policies[number % 2].name
        self.application = make.application(f"App{number}{side}", owner=developer).name
        db.session.remove()
        self.publisher = real.browser(self.publisher_name)
        self.developer = real.browser(self.developer_name)
        self.place = ""
        self.session = ""
        self.deaths = 0

    def step(self, act: Callable[[], object]) -> None:
        """Do something; if the process dies meanwhile, do it once more when it is back."""
        try:
            act()
        except Surprise as lost:
            if "can't be reached" not in str(lost):
                raise
            self.deaths += 1
            self.real.wait()
            act()

    # --- what people do -------------------------------------------------------------------

    def enable(self) -> None:
        self.publisher.open(f"/publisher/apis/{self.uuid}/monetization")
        self.publisher.press(
            "Save", {"Enable Monetization": True, "Connected account": self.account}
        ).says("Monetization is enabled")

    def subscribe(self) -> None:
        browser = self.developer
        browser.open("/devportal/")
        link = next(
            each["href"]
            for each in browser.page.links()
            if self.api_name in each.words and "/apis/" in each["href"]
        )
        browser.open(link)
        browser.follow("Subscribe")
        browser.press("Continue", {"application": self.application, "policy": self.plan})
        page = browser.press("Subscribe")
        self.place = urlsplit(page.url).path

    def to_payment(self) -> None:
        self.developer.open(self.place)
        page = self.developer.press("Complete Payment")
        assert page.url.startswith(self.real.stack.sandbox), page.url
        self.session = page.url

    def pay(self) -> None:
        """Pay on Stripe's page, which leads back to the portal: what may die is the portal."""
        try:
            self.developer.press("Subscribe", card_form())
        except Surprise as lost:
            if "can't be reached" not in str(lost):
                raise
            self.deaths += 1
            self.real.wait()

    def come_back(self) -> None:
        sessions = self.real.objects("checkout.session", self.account)
        target = f"/api/am/stripe/complete-session?session_id={sessions[0]['id']}"
        self.developer.open(target)

    def cancel(self) -> None:
        self.developer.open(f"{self.place}/unsubscribe")
        self.developer.press("Unsubscribe")

    def disable(self) -> None:
        self.publisher.open(f"/publisher/apis/{self.uuid}/monetization")
        self.publisher.press("Save", {"Enable Monetization": False})

    # --- what must hold -------------------------------------------------------------------

    def live(self) -> None:
        self.step(self.enable)
        self.agrees()
        self.step(self.subscribe)
        self.step(self.to_payment)
        self.pay()
        self.step(self.come_back)
        self.real.settle()
        self.is_active_once()
        self.agrees()
        self.step(self.cancel)
        self.real.settle()
        self.has_ended_once()
        self.agrees()
        self.step(self.disable)
        self.agrees()
        self.is_archived()

    def row(self) -> Subscription:
        db.session.rollback()
        return db.session.query(Subscription).filter_by(uuid=self.place.rpartition("/")[2]).one()

    def moves(self) -> Counter[str]:
        uuid = self.row().uuid
        rows = db.session.query(TimelineEntry.move).filter_by(subscription_uuid=uuid)
        return Counter(row[0] for row in rows)

    def is_active_once(self) -> None:
        assert self.row().status == "UNBLOCKED"
        assert self.moves()["PAY"] == 1
        made = {
            kind: len(self.real.objects(kind, self.account))
            for kind in ("product", "price", "billing.meter", "customer", "subscription")
        }
        assert made == {
            "product": 1,
            "price": 2,
            "billing.meter": 1,
            "customer": 1,
            "subscription": 1,
        }
        sessions = self.real.objects("checkout.session", self.account)
        assert [each["status"] for each in sessions] == ["complete"]

    def has_ended_once(self) -> None:
        assert self.row().status == "ENDED"
        assert self.moves()["END"] == 1
        (subscription,) = self.real.objects("subscription", self.account)
        assert subscription["status"] == "canceled"

    def is_archived(self) -> None:
        for kind in ("product", "price"):
            assert {each["active"] for each in self.real.objects(kind, self.account)} == {False}

    def agrees(self) -> None:
        """``flask reconcile`` finds nothing duplicated, orphaned or different."""
        db.session.remove()
        done = self.real.app.test_cli_runner().invoke(reconcile, ["--grace", "0"])
        assert done.exit_code == 0, done.output


@pytest.mark.slow
@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_around_every_stripe_call_nothing_is_doubled_or_orphaned(
    real: Real, side: str, record_property: Callable[[str, object], None]
) -> None:
    lives = 0
    for number in count(1) if ALL else KILLS[real.kind, side]:
        # Comparing takes as long as there are accounts: each life has the world to itself.
        real.anew()
        life = Life(real, number, side)
        real.crash(f"{side} Stripe", number)
        try:
            life.live()
        except (AssertionError, Surprise, requests.RequestException) as error:
            error.add_note(f"killed {side} the call number {number} of Stripe")
            raise
        if not real.has_crashed:
            assert ALL, f"A life has fewer than {number} requests to Stripe by now."
            break
        # On a busy machine a request may also meet the worker that is not there yet.
        assert life.deaths >= 1
        lives += 1
    record_property("killed at so many requests", lives)
    assert lives > 12 or not ALL
