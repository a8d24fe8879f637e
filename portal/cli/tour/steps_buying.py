"""Subscribing and paying for the first time."""

from portal.cli.tour import acts
from portal.cli.tour.steps_plans import DYNAMIC
from portal.cli.tour.walk import Walk, eventually, expect

APPLICATION = "Tour Caller"


def create_an_application(walk: Walk) -> str:
    """Create an application and a production key."""
    acts.create_application(walk, APPLICATION)
    key = walk.recall(f"the key of {APPLICATION}")
    page = walk.developer.reload()
    expect(key not in page.raw, "The key is shown a second time.")
    return f"{key[:12]}…, shown once"


def read_the_prices(walk: Walk) -> str:
    """Read the plans and their prices on the API's page."""
    page = acts.api_page(walk, walk.recall("the API's name"))
    page.says(DYNAMIC, "0.0025 USD", "9.99 USD")
    return f"{page.heading!r} with {DYNAMIC} at 0.0025 USD per request and Bronze at 9.99 USD"


def subscribe_to_the_usage_plan(walk: Walk) -> str:
    """Subscribe under the usage plan: the subscription waits on hold."""
    place = acts.subscribe(walk, APPLICATION, walk.recall("the API's name"), DYNAMIC)
    walk.keep("the usage subscription", place)
    page = walk.developer.page
    status = page.fact("Status")
    expect("ON_HOLD" in status, f"The status is {status}.")
    expect(walk.developer.has("Complete Payment"), "There is no Complete Payment.")
    return status


def be_refused_before_paying(walk: Walk) -> str:
    """Call the API before paying: the gateway refuses and says why."""
    walk.recall("the usage subscription")
    key = walk.recall(f"the key of {APPLICATION}")
    answer = acts.await_call(walk, key, 403, "payment-pending")
    body = answer.json()
    page = walk.developer.open(body["type"])
    return f"403 {body['code']} {body['title']!r}, explained at {page.path}"


def open_the_checkout(walk: Walk) -> str:
    """Press Complete Payment: Stripe's page says what is bought and until when."""
    page = acts.to_checkout(walk, walk.recall("the usage subscription"))
    again = acts.to_checkout(walk, walk.recall("the usage subscription"))
    expect(page.url == again.url, "Pressing again opened another payment page.")
    page.says("0.0025", "until")
    return f"{page.heading!r} at {page.path[:24]}…; pressed twice, the same page"


def be_declined_once(walk: Walk) -> str:
    """Pay with a card that is declined: the page says so and nothing else happens."""
    acts.to_checkout(walk, walk.recall("the usage subscription"))
    card = acts.card_form("4000 0000 0000 0002")
    page = walk.developer.press("Subscribe", card, expect=402).says("declined")
    status = acts.status(walk, walk.recall("the usage subscription"))
    expect("ON_HOLD" in status, f"The status became {status}.")
    return f"402 on {page.path[:16]}…, the subscription still waits"


def complete_the_payment(walk: Walk) -> str:
    """Pay with 4242 4242 4242 4242 and come back to the portal."""
    page = acts.pay(walk, walk.recall("the usage subscription"))
    place = walk.recall("the usage subscription")
    expect(page.path.startswith(place), f"Paying led to {page.path}.")
    return f"back on {page.heading!r}"


def see_it_unblocked(walk: Walk) -> str:
    """Wait on that page until the payment is confirmed."""
    return acts.await_status(walk, walk.recall("the usage subscription"), "UNBLOCKED")


def see_the_webhook(walk: Walk) -> str:
    """See that the sandbox delivered checkout.session.completed to the webhook."""

    def delivered() -> object:
        found = walk.control.get("/deliveries")
        return [
            item
            for item in found
            if item["type"] == "checkout.session.completed" and item["http_status"] == 200
        ]

    found = eventually(delivered, "delivery of checkout.session.completed")
    return f"answered {found[0]['http_status']} after {found[0]['attempts']} attempt(s)"


STEPS = (
    create_an_application,
    read_the_prices,
    subscribe_to_the_usage_plan,
    be_refused_before_paying,
    open_the_checkout,
    be_declined_once,
    complete_the_payment,
    see_it_unblocked,
    see_the_webhook,
)
