"""axe finds nothing on the main pages, in light and in dark, wide and narrow."""

import itertools
import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import Newcomer
from tests.browser.walking import API, Person

pytestmark = pytest.mark.browser
NAMES = (f"Lander {number}" for number in itertools.count(1))
#: One wide and light, one narrow and dark: together they show every rule of the styles.
SIGHTS = pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (390, "dark")], ids=["wide-light", "narrow-dark"]
)


class Findings:
    """What axe finds on each page that a person comes to."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.found: list[str] = []

    def look(self, name: str, page: Page) -> None:
        """Run axe on the page."""
        # Colours fade in; axe would measure the contrast of a moment.
        page.wait_for_function("document.getAnimations().every(a => a.playState === 'finished')")
        self.seen.append(name)
        for rule in Axe().run(page).response["violations"]:
            where = ", ".join(str(node["target"][0]) for node in rule["nodes"][:3])
            self.found.append(f"{name}: {rule['id']} ({rule['help']}) at {where}")


def come(newcomer: Newcomer, role: str, width: int, scheme: str) -> tuple[Person, Findings]:
    findings = Findings()
    more: dict[str, Any] = {"color_scheme": scheme, "reduced_motion": "reduce"}
    person = newcomer(role, width=width, **more)
    person.shows = findings.look
    return person, findings


@SIGHTS
def test_the_developer_portal_and_the_payment_pages(
    newcomer: Newcomer, width: int, scheme: str
) -> None:
    developer, findings = come(newcomer, "developer", width, scheme)
    application = next(NAMES)
    developer.signs_in()
    developer.makes_application(application)
    subscription = developer.subscribes(application, "Bronze")
    developer.pays()
    developer.page.goto(subscription)
    developer.follows("Change plan")
    findings.look("plans to change to", developer.page)
    developer.page.get_by_role("link", name="See what it costs: Free").click()
    developer.arrives(re.compile("to Free"))
    findings.look("back to the free plan", developer.page)
    developer.reads_invoice(subscription)
    developer.opens_customer_portal(subscription)
    for link in ("Cancel subscription", "Use another card"):
        developer.opens_customer_portal(subscription)
        developer.follows(link)
        findings.look(link, developer.page)
    developer.opens_customer_portal(subscription)
    invoice = developer.page.get_by_role("main").locator(".invoice-row").get_by_role("link").first
    invoice.click()
    developer.arrives(re.compile("."))
    findings.look("hosted invoice", developer.page)
    for path in (
        "/devportal/applications",
        "/account/password",
        "/problems/",
        "/problems/payment-pending",
    ):
        developer.opens(path, re.compile("."))
        findings.look(path, developer.page)
    assert {"checkout", "customer-portal", "active", "invoice"} <= set(findings.seen)
    assert findings.found == []
    assert developer.watch.complaints == []


@SIGHTS
def test_the_publisher_portal(newcomer: Newcomer, width: int, scheme: str) -> None:
    publisher, findings = come(newcomer, "publisher", width, scheme)
    publisher.signs_in()
    for path in ("/publisher/", "/publisher/plans", "/publisher/apis/new"):
        publisher.opens(path, re.compile("."))
        findings.look(path, publisher.page)
    for tab in ("Overview", "Plans", "Monetization", "Subscriptions"):
        publisher.opens("/publisher/", "APIs")
        publisher.follows(API, re.compile(API))
        publisher.follows(tab)
        findings.look(tab, publisher.page)
    assert findings.found == []
    assert publisher.watch.complaints == []


@SIGHTS
def test_the_admin_portal(newcomer: Newcomer, width: int, scheme: str) -> None:
    admin, findings = come(newcomer, "admin", width, scheme)
    admin.signs_in()
    for page in ("", "configuration", "plans", "usage", "events", "audit", "automate"):
        admin.opens(f"/admin/{page}", re.compile("."))
        findings.look(page or "set-up", admin.page)
    for link in ("Add plan", "Edit"):
        admin.opens("/admin/plans", "Plans")
        admin.follows(link)
        findings.look(link, admin.page)
    assert findings.found == []
    assert admin.watch.complaints == []
