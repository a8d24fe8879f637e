"""Ways in which a subscription ends, and a payment that never came."""

from portal.cli.tour import acts
from portal.cli.tour.steps_plans import DYNAMIC, FIXED
from portal.cli.tour.steps_publishing import CONTEXT
from portal.cli.tour.steps_renewals import APPLICATION as RENEWALS
from portal.cli.tour.walk import Walk, expect

LATE = "Tour Latecomer"


def cancel_in_the_customer_portal(walk: Walk) -> str:
    """Cancel Bronze in the Customer Portal: it works until the period's end."""
    place = walk.recall("the Bronze subscription")
    walk.developer.open(place)
    walk.developer.press("Customer Portal")
    walk.developer.follow("Cancel subscription")
    walk.developer.press("Cancel subscription")
    walk.developer.open(place)
    page = walk.developer.until(lambda page: "Ends on" in page.words, "an end")
    acts.await_call(walk, walk.recall(f"the key of {RENEWALS}"), 200)
    return f"{page.fact('Status')}, ends on {page.fact('Ends on')}"


def reach_the_end(walk: Walk) -> str:
    """Let the period end: the subscription has ended and calls are refused."""
    place = walk.recall("the Bronze subscription")
    subscription = acts.engine_subscription(walk, place)
    acts.end_period(walk, subscription)
    status = acts.await_status(walk, place, "Ended")
    answer = acts.await_call(walk, walk.recall(f"the key of {RENEWALS}"), 403)
    walk.developer.open(walk.recall(f"the application {RENEWALS}") + "/subscriptions")
    expect(bool(walk.developer.page.rows("Bronze", "Ended")), walk.developer.page.glimpse)
    return f"{status}; 403 {acts.problem(answer)}; listed under Ended"


def subscribe_again_after_the_end(walk: Walk) -> str:
    """Subscribe the same application again, to the free plan: it works at once."""
    place = acts.subscribe(walk, RENEWALS, walk.recall("the API's name"), "Free")
    walk.keep("the free subscription", place)
    status = acts.await_status(walk, place, "UNBLOCKED")
    acts.await_call(walk, walk.recall(f"the key of {RENEWALS}"), 200)
    return status


def abandon_the_checkout(walk: Walk) -> str:
    """Open a checkout and never pay: when it expires, the subscription is REJECTED."""
    acts.create_application(walk, LATE)
    place = acts.subscribe(walk, LATE, walk.recall("the API's name"), FIXED)
    walk.keep("the late subscription", place)
    session = acts.to_checkout(walk, place).path.rpartition("/")[2]
    walk.control.post(f"/checkout/sessions/{session}/expire")
    status = acts.await_status(walk, place, "REJECTED")
    answer = acts.await_call(walk, walk.recall(f"the key of {LATE}"), 403, "checkout-lapsed")
    return f"{status}; 403 {answer.json()['title']!r}"


def try_again(walk: Walk) -> str:
    """Press Try again and pay this time: UNBLOCKED."""
    place = walk.recall("the late subscription")
    walk.developer.open(place)
    page = walk.developer.press("Try again")
    if not page.url.startswith(walk.demo.options.sandbox):
        acts.to_checkout(walk, place)
    walk.developer.press("Subscribe", acts.card_form())
    return acts.await_status(walk, place, "UNBLOCKED")


def change_the_plan(walk: Walk) -> str:
    """Change to the plan that pays for calls, after its preview: Stripe's price follows."""
    place = walk.recall("the late subscription")
    subscription = acts.engine_subscription(walk, place)
    before = _sold(walk, subscription)
    walk.developer.open(place)
    walk.developer.follow("Change plan")
    walk.developer.follow("See what it costs", within=DYNAMIC)
    due = walk.developer.page.fact("Due now")
    credit = walk.developer.page.fact("Credit")
    page = walk.developer.press("Change plan").says(f"The plan is {DYNAMIC} now.")
    after = _sold(walk, subscription)
    expect(before != after, f"At Stripe it is still sold at {before}.")
    acts.await_call(walk, walk.recall(f"the key of {LATE}"), 200)
    return f"{page.fact('Plan')}; due {due}, credit {credit}; {before} became {after}"


def _sold(walk: Walk, subscription: str) -> str:
    found = next(each for each in acts.objects(walk, "subscription") if each["id"] == subscription)
    return str(found["items"]["data"][0]["price"]["id"])


def end_with_the_period_and_think_again(walk: Walk) -> str:
    """See the last invoice, let it end with its period, and take that back."""
    place = walk.recall("the late subscription")
    walk.developer.open(place)
    walk.developer.follow("Unsubscribe").says("The last invoice")
    page = walk.developer.press("End with the period").says("Ends on")
    ends = page.fact("Ends on")
    walk.developer.press("Keep the subscription").says("The subscription goes on.")
    walk.developer.page.says_not("Ends on")
    acts.await_call(walk, walk.recall(f"the key of {LATE}"), 200)
    return f"it would have ended on {ends}; kept"


def unsubscribe(walk: Walk) -> str:
    """Press Unsubscribe: ended here, and cancelled at Stripe."""
    place = walk.recall("the late subscription")
    subscription = acts.engine_subscription(walk, place)
    walk.developer.open(place)
    walk.developer.follow("Unsubscribe")
    walk.developer.press("Unsubscribe")
    status = acts.await_status(walk, place, "Ended")
    states = {item["id"]: item["status"] for item in acts.objects(walk, "subscription")}
    expect(states[subscription] == "canceled", f"At Stripe it is {states[subscription]}.")
    return f"{status}; {states[subscription]} at Stripe"


def disable_monetization(walk: Walk) -> str:
    """Disable monetization: it says whom that touches, and what runs goes on as was chosen."""
    product = walk.recall("the product")
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    page = walk.publisher.press("Save", {"enabled": False}).says("Nothing has been changed yet")
    touched = page.fact("Subscriptions that are paid for")
    walk.publisher.press("Take it off sale", {"running": "GO_ON"})
    prices = [item for item in acts.objects(walk, "price") if item["product"] == product]
    active = [item["nickname"] for item in prices if item["active"]]
    expect(not active, f"Still active at Stripe: {', '.join(active)}.")
    found = {item["id"]: item["active"] for item in acts.objects(walk, "product")}
    expect(not found[product], "The product is still active at Stripe.")
    acts.api_page(walk, walk.recall("the API's name")).says("Not for sale yet")
    acts.await_call(walk, walk.recall("the key of Tour Caller"), 200)
    return f"{len(prices)} prices and the product are archived; {touched} may still call"


def enable_monetization_again(walk: Walk) -> str:
    """Enable monetization again: the same prices come back to life."""
    product = walk.recall("the product")
    before = {item["id"] for item in acts.objects(walk, "price")}
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    walk.publisher.press("Save", {"enabled": True})
    prices = [item for item in acts.objects(walk, "price") if item["product"] == product]
    expect(all(item["active"] for item in prices), "Some prices are still archived.")
    expect({item["id"] for item in acts.objects(walk, "price")} == before, "There are new prices.")
    return f"{len(prices)} prices are active, none is new (context {CONTEXT})"


STEPS = (
    cancel_in_the_customer_portal,
    reach_the_end,
    subscribe_again_after_the_end,
    abandon_the_checkout,
    try_again,
    change_the_plan,
    end_with_the_period_and_think_again,
    unsubscribe,
    disable_monetization,
    enable_monetization_again,
)
