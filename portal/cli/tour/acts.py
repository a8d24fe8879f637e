"""What people do again and again on the way: make applications, subscribe, pay, call."""

import json
import time
from typing import Any
from urllib.parse import urlsplit

import requests

from portal.cli.tour.browser import Browser, Page, Surprise
from portal.cli.tour.forms import Value
from portal.cli.tour.walk import Walk, eventually, expect

CARD = "4242 4242 4242 4242"
CARD_THAT_ASKS = "4000 0027 6000 3184"
RESOURCE = "/currency/currencies/JPY?locale=de"
SECONDS = 20


def sign_in(walk: Walk, browser: Browser, name: str) -> Page:
    """Sign in through the page."""
    browser.open("/account/sign-in")
    return browser.press("Sign in", {"username": name, "password": walk.password(name)})


def create_application(walk: Walk, name: str) -> str:
    """Create an application on its page and a production key; return the application's page."""
    browser = walk.developer
    browser.open("/devportal/applications/new")
    browser.press("Create application", {"name": name})
    place = urlsplit(browser.page.url).path
    page = browser.press("Generate production key")
    walk.keep(f"the key of {name}", shown_key(page))
    walk.keep(f"the application {name}", place)
    return place


def shown_key(page: Page) -> str:
    """Return the key that a page shows for the only time."""
    for field in page.root.all("input", "code"):
        text = field["value"] if field.tag == "input" else field.words
        if text.startswith("amp_") and not text.endswith("…"):
            return text
    raise Surprise(f"{page.path} shows no key: {page.glimpse}")


def api_page(walk: Walk, name: str) -> Page:
    """Find an API in the catalogue and open its page."""
    browser = walk.developer
    browser.open("/devportal/")
    for link in browser.page.links():
        if name in link.words and "/apis/" in link["href"]:
            return browser.open(link["href"])
    raise Surprise(f"The catalogue has no API {name!r}: {browser.page.glimpse}")


def subscribe(walk: Walk, application: str, api: str, plan: str) -> str:
    """Subscribe on the pages; return the address of the subscription's page."""
    browser = walk.developer
    api_page(walk, api)
    browser.follow("Subscribe")
    browser.press("Continue", {"application": application, "policy": plan})
    browser.page.says(application, plan)
    page = browser.press("Subscribe")
    expect("/subscriptions/" in page.url, f"Subscribe led to {page.path}: {page.glimpse}")
    return urlsplit(page.url).path


def status(walk: Walk, subscription: str) -> str:
    """Return the status that the subscription's page shows now."""
    return walk.developer.open(subscription).fact("Status")


def await_status(walk: Walk, subscription: str, wanted: str) -> str:
    """Load the subscription's page until it shows a status; return the whole fact."""
    browser = walk.developer
    browser.open(subscription)
    page = browser.until(lambda page: wanted in page.fact("Status").split(), wanted)
    return page.fact("Status")


def to_checkout(walk: Walk, subscription: str) -> Page:
    """Press Complete Payment and arrive on the sandbox's Checkout page."""
    browser = walk.developer
    browser.open(subscription)
    page = browser.press("Complete Payment")
    expect(page.url.startswith(walk.demo.options.sandbox), f"Complete Payment led to {page.url}.")
    return page


def card_form(number: str = CARD) -> dict[str, Value]:
    """Return what a payer types in."""
    return {"card_number": number, "exp": "12/34", "cvc": "123", "name": "Dana Developer"}


def pay(walk: Walk, subscription: str, number: str = CARD) -> Page:
    """Complete the first payment of a subscription; return the page that Stripe leads back to."""
    to_checkout(walk, subscription)
    page = walk.developer.press("Subscribe", card_form(number))
    expect(page.url.startswith(walk.demo.options.portal), f"Paying led to {page.url}.")
    return page


def call(walk: Walk, key: str, resource: str = RESOURCE, *, api: str = "") -> requests.Response:
    """Call the tour's API at the gateway, as a program would."""
    session = requests.Session()
    session.trust_env = False
    place = api or walk.recall("the gateway address")
    return session.get(place + resource, headers={"ApiKey": key}, timeout=SECONDS)


def await_call(walk: Walk, key: str, status_code: int, slug: str = "") -> requests.Response:
    """Call until the gateway answers as wanted: it may take a second to know."""
    last: list[requests.Response] = []

    def look() -> bool:
        last[:] = [call(walk, key)]
        return last[0].status_code == status_code and (not slug or slug in problem(last[0]))

    wanted = f"answer {status_code} {slug}".rstrip()
    eventually(look, wanted, seconds=5, seen=lambda: said(last[0]))
    return last[0]


def calls_through(walk: Walk, key: str, count: int) -> list[requests.Response]:
    """Return so many answers of 200; each process of the gateway may take a second to know."""
    return [await_call(walk, key, 200) for _ in range(count)]


def fetch(address: str) -> requests.Response:
    """Read something that is there for everybody."""
    session = requests.Session()
    session.trust_env = False
    return session.get(address, timeout=SECONDS)


def parsed(text: str) -> dict[str, Any]:
    """Return the JSON object that stands in a text."""
    found: dict[str, Any] = json.loads(text)
    return found


def problem(answer: requests.Response) -> str:
    """Return the problem type of a refused call; empty if it is none."""
    if not answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        return ""
    return str(answer.json().get("type", "")).rpartition("/")[2]


def said(answer: requests.Response) -> str:
    """Return an answer of the gateway in a few words."""
    return f"The gateway answered {answer.status_code} {problem(answer) or answer.text[:120]}."


def engine_subscription(walk: Walk, subscription: str) -> str:
    """Return the Stripe subscription behind a subscription, from the sandbox by our reference."""
    uuid = subscription.rpartition("/")[2]
    for item in walk.control.get("/objects", kind="subscription", account=walk.account):
        if item["metadata"].get("apim_subscription_uuid") == uuid:
            return str(item["id"])
    raise Surprise(f"The sandbox has no subscription for {uuid}.")


def end_period(walk: Walk, subscription: str) -> dict[str, Any]:
    """End a subscription's billing period in the sandbox; return the draft invoice, if any.

    Not in the second in which the period began: it would end ahead of the clock, and its event
    would be newer than those that follow.
    """

    def is_under_way() -> bool:
        record = next(item for item in objects(walk, "subscription") if item["id"] == subscription)
        return int(time.time()) > int(record["items"]["data"][0]["current_period_start"])

    eventually(is_under_way, "period that can end", seconds=5)
    ended = walk.control.post(f"/subscriptions/{subscription}/end-period")
    return dict(ended["invoice"] or {})


def objects(walk: Walk, kind: str) -> list[dict[str, Any]]:
    """Return the publisher's objects of one kind in the sandbox, newest first."""
    return walk.control.get("/objects", kind=kind, account=walk.account)
