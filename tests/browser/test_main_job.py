"""The main job on the real pages: subscribe, pay, invoke, invoice."""

import itertools
import os
import re

import pytest

from tests.browser.conftest import Newcomer
from tests.browser.walking import API, Person

pytestmark = pytest.mark.browser
#: Names of applications, each subscribed once.
NAMES = (f"Rover {number}" for number in itertools.count(1))
PLAN = "Pay-as-you-go"
CALLS = 25
#: Each width and each way of working once. The large setting tries all pairs: MAIN_JOB=all.
SIGHTS = [
    pytest.param(width, scripts, id=f"{width}-{'with' if scripts else 'without'}-scripts")
    for width, scripts in itertools.product((1280, 390), (True, False))
    if scripts == (width == 1280) or os.environ.get("MAIN_JOB") == "all"
]


def publishers_invoice(publisher: Person, application: str) -> str:
    publisher.signs_in()
    publisher.opens("/publisher/", "APIs")
    publisher.follows(API, re.compile(API))
    publisher.follows("Subscriptions")
    row = publisher.page.get_by_role("row", name=re.compile(rf"\b{application}\b"))
    row.get_by_role("link", name=re.compile("^View Invoice")).click()
    publisher.arrives(re.compile("^Invoice"))
    return publisher.page.get_by_role("main").inner_text()


def is_wider_than_the_window(person: Person) -> bool:
    # Without scripts nothing can be asked of the page but its size.
    box = person.page.locator("body").bounding_box()
    size = person.page.viewport_size
    assert box
    assert size
    return box["width"] > size["width"]


@pytest.mark.parametrize(("width", "scripts"), SIGHTS)
def test_a_developer_subscribes_pays_calls_and_sees_the_invoice(
    newcomer: Newcomer, width: int, scripts: bool
) -> None:
    developer = newcomer("developer", width=width, scripts=scripts)
    wide: list[str] = []
    developer.shows = lambda name, page: (
        wide.append(name) if is_wider_than_the_window(developer) else None
    )
    application = next(NAMES)
    developer.signs_in()
    key = developer.makes_application(application)

    subscription = developer.subscribes(application, PLAN)
    assert developer.calls(key, 1) == [403]

    developer.pays()
    assert developer.calls(key, CALLS) == [200] * CALLS

    admin = newcomer("admin", width=width, scripts=scripts)
    admin.signs_in()
    admin.publishes_usage()

    words = developer.reads_invoice(subscription)
    assert f"{CALLS} × 0.0025 USD" in words
    assert "0.06 USD" in words

    publisher = newcomer("publisher", width=width, scripts=scripts)
    seen = publishers_invoice(publisher, application)
    assert f"{CALLS} × 0.0025 USD" in seen
    assert "0.06 USD" in seen

    developer.opens_customer_portal(subscription)
    developer.sees(API)

    assert wide == []
    for person in (developer, admin, publisher):
        assert person.watch.complaints == []


def test_a_card_that_is_declined_says_so_and_another_one_pays(newcomer: Newcomer) -> None:
    developer = newcomer("developer")
    application = next(NAMES)
    developer.signs_in()
    developer.makes_application(application)
    developer.subscribes(application, "Bronze")
    developer.follows("Complete Payment", re.compile("^Subscribe to"))
    developer.page.get_by_role("link", name=re.compile("4000 0000 0000 0002")).click()
    developer.presses("Subscribe")
    developer.sees("declined")

    developer.page.get_by_role("link", name=re.compile("4242 4242 4242 4242")).click()
    developer.presses("Subscribe")

    developer.sees("UNBLOCKED")
    scripts = [words for words in developer.watch.complaints if "Policy" in words]
    assert scripts == []


def test_a_payment_that_is_left_can_be_taken_up_again(newcomer: Newcomer) -> None:
    developer = newcomer("developer")
    application = next(NAMES)
    developer.signs_in()
    developer.makes_application(application)
    subscription = developer.subscribes(application, "Bronze")
    developer.follows("Complete Payment", re.compile("^Subscribe to"))
    first = developer.page.url

    developer.page.get_by_role("link", name="Cancel and go back").click()
    developer.sees("ON_HOLD")
    developer.sees("can be paid until")
    assert developer.page.url.startswith(subscription)
    developer.follows("Complete Payment", re.compile("^Subscribe to"))

    assert developer.page.url == first
    assert developer.watch.complaints == []


def test_what_the_policy_stops_would_be_noticed(newcomer: Newcomer) -> None:
    visitor = newcomer("developer")
    visitor.opens("/account/sign-in", "Sign in")
    assert visitor.watch.complaints == []

    visitor.page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'https://elsewhere.example/'}))"
    )
    visitor.page.wait_for_timeout(300)

    assert [words for words in visitor.watch.complaints if "Content Security Policy" in words]
