"""The pages in Debian's Chromium: policies, redirects to another origin, accessibility, widths."""

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask, request
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.serving import BaseWSGIServer, make_server

from portal.sandbox.app import create_sandbox
from portal.sandbox.clock import ManualClock
from portal.sandbox.settings import SandboxSettings
from tests.sandbox.conftest import START, TOKEN, World

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM.exists() and os.environ.get("REQUIRE_ALL_TESTS") != "1",
        reason="Debian's chromium is not installed",
    ),
]


@dataclass
class Site:
    """The sandbox and a seller's shop on sockets: two origins."""

    world: World
    sandbox: str
    shop: str


def _serve(app: Flask) -> BaseWSGIServer:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _shop() -> Flask:
    shop = Flask("shop")

    @shop.get("/<path:path>")
    def any_page(path: str) -> str:
        return f"<title>Shop</title><p id=seen>{path}|{request.args.get('session_id', '')}"

    return shop


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    shop = _serve(_shop())
    database = str(tmp_path_factory.mktemp("pages") / "sandbox.sqlite3")
    holder = Flask("holder")
    server = _serve(holder)
    base = f"http://127.0.0.1:{server.port}"
    settings = SandboxSettings(
        database=database, base_url=base, admin_token=TOKEN, orderly=True, strict=True
    )
    clock = ManualClock(START)
    app = create_sandbox(settings, clock=clock, transport=lambda url, headers, body: 200)
    server.app = app
    world = World(app, clock, "", "", "")
    made = world.control("/platforms", name="Platform")
    world.key, world.platform = made["secret_key"], made["account"]
    world.account = world.control("/accounts", platform=world.platform, name="Publisher")["id"]
    yield Site(world, base, f"http://127.0.0.1:{shop.port}")
    for each in (server, shop):
        each.shutdown()
        each.server_close()
    app.extensions["sandbox"].store.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Any]:
    """Opens pages; afterwards no script error and nothing blocked by the policy was seen."""
    contexts, troubles = [], []

    def opened(url: str, **context: Any) -> Page:
        contexts.append(chromium.new_context(**context))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: _note(troubles, said))
        page.goto(url)
        return page

    yield opened
    for each in contexts:
        each.close()
    assert troubles == []


def _note(troubles: list[str], said: Any) -> None:
    # A declined payment answers 402, which Chromium logs as an error of its own.
    if said.type == "error" and "402" not in said.text:
        troubles.append(said.text)


def session(site: Site, **more: Any) -> Any:
    price = site.world.licensed()
    return site.world.session(
        price,
        success_url=site.shop + "/back?session_id={CHECKOUT_SESSION_ID}",
        cancel_url=site.shop + "/cancelled",
        **more,
    )


def overdue_invoice(site: Site) -> Any:
    subscription = site.world.subscribe(site.world.licensed())
    path = f"/subscriptions/{subscription.id}"
    site.world.control(f"{path}/fail-next-charge", outcome="card_declined")
    draft = site.world.control(f"{path}/end-period")["invoice"]
    site.world.control(f"/invoices/{draft['id']}/finalize")
    return site.world.api.v1.invoices.retrieve(draft["id"])


def portal(site: Site, customer: str) -> str:
    api = site.world.api.v1.billing_portal
    configuration = api.configurations.create(
        {
            "features": {
                "invoice_history": {"enabled": True},
                "payment_method_update": {"enabled": True},
                "customer_update": {"enabled": True, "allowed_updates": ["email", "name"]},
                "subscription_cancel": {
                    "enabled": True,
                    "cancellation_reason": {"enabled": True, "options": ["unused", "other"]},
                },
            }
        }
    )
    made = api.sessions.create(
        {"customer": customer, "configuration": configuration.id, "return_url": f"{site.shop}/subs"}
    )
    return made.url


def test_a_card_is_filled_in_by_a_click_and_the_payment_ends_at_the_shop(site, open_page):
    bought = session(site)
    page = open_page(bought.url)
    page.click("text=4242 4242 4242 4242")
    assert page.input_value("#card_number") == "4242 4242 4242 4242"
    page.click("text=Subscribe >> nth=-1")
    page.wait_for_url(f"{site.shop}/back**")
    assert page.inner_text("#seen") == f"back|{bought.id}"


def test_3d_secure_also_ends_at_the_shop(site, open_page):
    bought = session(site)
    page = open_page(bought.url)
    page.click("text=3-D Secure every time")
    page.click("button[type=submit]")
    page.click("text=Complete")
    page.wait_for_url(f"{site.shop}/back**")
    assert page.inner_text("#seen") == f"back|{bought.id}"


def test_checkout_works_without_javascript(site, open_page):
    page = open_page(session(site).url, java_script_enabled=False)
    page.click("text=4242 4242 4242 4242")
    page.click("button[type=submit]")
    page.wait_for_url(f"{site.shop}/back**")


def test_typing_groups_the_digits_and_the_date(site, open_page):
    page = open_page(session(site).url)
    page.type("#card_number", "4000002760003184")
    assert page.input_value("#card_number") == "4000 0027 6000 3184"
    page.type("#exp", "1240")
    assert page.input_value("#exp") == "12 / 40"


def test_a_decline_is_shown_and_another_card_goes_through(site, open_page):
    page = open_page(session(site).url)
    page.click("text=4000 0000 0000 0002")
    page.click("button[type=submit]")
    assert page.inner_text("#card_number-error") == "Your card was declined."
    page.click("text=4242 4242 4242 4242")
    page.click("button[type=submit]")
    page.wait_for_url(f"{site.shop}/back**")


def places(site: Site) -> dict[str, str]:
    """Every kind of page by name."""
    invoice = overdue_invoice(site)
    customer = str(invoice.customer)
    subscription = invoice.parent.subscription_details.subscription
    expired = session(site)
    site.world.control(f"/checkout/sessions/{expired.id}/expire")
    home = portal(site, customer)
    return {
        "checkout": session(site).url,
        "declined card form": f"{session(site).url}?card=visa",
        "expired": expired.url,
        "invoice": invoice.hosted_invoice_url,
        "portal": home,
        "portal cancel": f"{home}/subscriptions/{subscription}/cancel",
        "portal card": f"{home}/payment-method",
        "portal details": f"{home}/details",
        "sign in": f"{site.sandbox}/_sandbox/sign-in",
        "overview": f"{site.sandbox}/_sandbox/",
        "accounts": f"{site.sandbox}/_sandbox/ui/accounts",
        "account": f"{site.sandbox}/_sandbox/ui/accounts/{site.world.account}",
        "objects": f"{site.sandbox}/_sandbox/ui/objects",
        "object": f"{site.sandbox}/_sandbox/ui/objects/{subscription}",
        "events": f"{site.sandbox}/_sandbox/ui/events",
        "requests": f"{site.sandbox}/_sandbox/ui/requests",
    }


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_every_page_is_accessible_and_fits(site, chromium, scheme, width):
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(f"{site.sandbox}/_sandbox/sign-in")
    page.fill("#token", TOKEN)
    page.click("text=Sign in >> nth=-1")
    # What a page is made of does not change with its colours and its width.
    whole = scheme == "light"
    rules = None if whole else {"runOnly": ["color-contrast", "target-size"]}
    axe, found = Axe(), []
    for name, url in places(site).items():
        page.goto(url)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{name}: wider than the window")
        for violation in axe.run(page, options=rules).response["violations"]:
            targets = [node["target"] for node in violation["nodes"]]
            found.append(f"{name}: {violation['id']} {targets}")
    context.close()
    assert found == []
