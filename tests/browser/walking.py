"""A person at a real browser, on the pages of a running demo."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Response,
    expect,
    sync_playwright,
)

CHROMIUM = "/usr/bin/chromium"
#: Debian's Chromium as root, without anything that talks to others.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Tells the console what the Content-Security-Policy stops, also where Chromium keeps quiet.
LISTEN = """addEventListener("securitypolicyviolation", event => console.error(
    `Content Security Policy: ${event.violatedDirective} stops ${event.blockedURI}`))"""
API = "Currency and Locale"
CARD = "4242 4242 4242 4242"
#: A payment is confirmed by the webhook, which the sandbox sends with small delays.
PATIENCE = 20_000


def launch(playwright: Playwright) -> Browser:
    """Start Debian's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)


@contextmanager
def chromium_or_skip() -> Iterator[Browser]:
    """Run Debian's Chromium for a test; without it the test is skipped, or fails if told so."""
    if not Path(CHROMIUM).exists():
        reason = f"{CHROMIUM} is not installed"
        if os.environ.get("REQUIRE_ALL_TESTS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


class Watch:
    """Notes whatever goes wrong on the pages of a context that nobody would see."""

    def __init__(self, context: BrowserContext) -> None:
        self.complaints: list[str] = []
        context.add_init_script(LISTEN)
        context.on("console", self._console)
        context.on("weberror", lambda found: self._note(f"script: {found.error}"))
        context.on("response", self._response)
        context.on("requestfailed", lambda found: self._failed(found))

    def _note(self, words: str) -> None:
        self.complaints.append(words)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            where = message.page.url if message.page else ""
            self._note(f"console {message.type} at {where}: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"{response.request.method} {response.url} answered {response.status}")

    def _failed(self, request: Any) -> None:
        # A page that is left while it looks again for the payment breaks that one request off.
        if request.failure != "net::ERR_ABORTED":
            self._note(f"{request.method} {request.url}: {request.failure}")


class Person:
    """Somebody with a window of their own; every page is found by its words."""

    def __init__(self, demo: dict[str, Any], context: BrowserContext, role: str) -> None:
        self.demo = demo
        self.role = role
        self.portal = str(demo["portal"])
        self.watch = Watch(context)
        self.page: Page = context.new_page()
        #: Is told about each page of the way, by its name.
        self.shows: Callable[[str, Page], None] = lambda _name, _page: None

    def sees(self, words: str | re.Pattern[str]) -> None:
        """Wait until these words stand in the page's main part."""
        expect(self.page.get_by_role("main")).to_contain_text(words, timeout=PATIENCE)

    def opens(self, path: str, heading: str | re.Pattern[str]) -> None:
        """Open a page by its path."""
        self.page.goto(self.portal + path)
        self.arrives(heading)

    def arrives(self, heading: str | re.Pattern[str]) -> None:
        """Wait for a page with this heading."""
        shown = self.page.get_by_role("heading", level=1)
        expect(shown).to_have_text(heading, timeout=PATIENCE)

    def follows(self, link: str, heading: str | re.Pattern[str] = re.compile(".")) -> None:
        """Follow the first link in the main part whose words begin so."""
        words = re.compile(f"^{re.escape(link)}")
        self.page.get_by_role("main").get_by_role("link", name=words).first.click()
        self.arrives(heading)

    def presses(self, button: str) -> None:
        """Press a button in the main part."""
        self.page.get_by_role("main").get_by_role("button", name=button, exact=True).click()

    def signs_in(self) -> None:
        """Sign in with the name and password that the demo printed."""
        self.opens("/account/sign-in", "Sign in")
        user = self.demo["users"][self.role]
        self.page.get_by_label("User name").fill(user["username"])
        self.page.get_by_label("Password").fill(user["password"])
        self.shows("sign-in", self.page)
        self.presses("Sign in")
        expect(self.page).not_to_have_url(re.compile("sign-in"))

    def makes_application(self, name: str) -> str:
        """Make an application with a production key; return the key."""
        self.opens("/devportal/applications", "Applications")
        self.follows("Create application", "Create application")
        self.page.get_by_label("Name").fill(name)
        self.presses("Create application")
        self.arrives(name)
        self.presses("Generate production key")
        self.sees("it is not shown again")
        self.shows("key", self.page)
        shown = re.search(r"amp_\w{20,}", self.page.get_by_role("main").inner_text())
        assert shown
        return shown[0]

    def subscribes(self, application: str, plan: str) -> str:
        """Subscribe an application; return the address of the subscription's page."""
        self.opens("/devportal/", "APIs")
        self.shows("catalogue", self.page)
        self.follows(API, re.compile(API))
        self.shows("api", self.page)
        self.follows("Subscribe", re.compile("^Subscribe to"))
        self._chooses(application)
        self.page.get_by_label(plan).check()
        self.presses("Continue")
        self.arrives("Confirm the subscription")
        self.shows("confirm", self.page)
        self.presses("Subscribe")
        self.sees("ON_HOLD")
        self.shows("on-hold", self.page)
        return self.page.url

    def _chooses(self, application: str) -> None:
        choice = self.page.get_by_label("Application", exact=True)
        if choice.count():
            choice.select_option(label=application)
        else:
            self.page.get_by_label(application, exact=True).check()

    def pays(self, card: str = CARD) -> None:
        """Complete Payment on the sandbox's page, and come back to an active subscription."""
        self.follows("Complete Payment", re.compile("^Subscribe to"))
        assert self.page.url.startswith(f"{self.demo['sandbox']}/c/pay/")
        self.page.get_by_label("Card number").fill(card)
        self.page.get_by_label("Expiry").fill("12 / 34")
        self.page.get_by_label("Security code").fill("123")
        self.page.get_by_label("Name on card").fill("Dana Developer")
        self.shows("checkout", self.page)
        self.presses("Subscribe")
        expect(self.page).to_have_url(re.compile("/devportal/subscriptions/"), timeout=PATIENCE)
        self.sees("UNBLOCKED")
        self.shows("active", self.page)

    def calls(self, key: str, times: int, verify: str | bool = True) -> list[int]:
        """Call the API with a key; return the statuses of the answers."""
        address = f"{self.portal}/gateway/currency/1.0.0/currencies/JPY?locale=de"
        with requests.Session() as session:
            session.trust_env = False
            session.headers["ApiKey"] = key
            session.verify = verify
            return [session.get(address, timeout=30).status_code for _ in range(times)]

    def publishes_usage(self) -> None:
        """Press Publish Usage, and wait until the run has ended well."""
        self.opens("/admin/usage", "Publish usage")
        self.presses("Publish Usage")
        self.arrives("Publish usage")
        state = self.page.locator("#job")
        expect(state).to_contain_text("COMPLETED", timeout=PATIENCE)
        expect(state).to_contain_text("SUCCESSFUL")
        self.shows("usage", self.page)

    def reads_invoice(self, subscription: str) -> str:
        """Open View Invoice at a subscription, and return the page's words."""
        self.page.goto(subscription)
        self.follows("View Invoice", re.compile("^Invoice"))
        self.shows("invoice", self.page)
        return self.page.get_by_role("main").inner_text()

    def opens_customer_portal(self, subscription: str) -> None:
        """Open the sandbox's Customer Portal at a subscription."""
        self.page.goto(subscription)
        self.follows("Customer Portal", re.compile("^Your billing"))
        assert self.page.url.startswith(f"{self.demo['sandbox']}/p/session/")
        self.shows("customer-portal", self.page)
