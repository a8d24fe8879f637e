"""From a free plan to a paid one and back, on one subscription; and prices that are out of date."""

from portal.cli.tour import acts
from portal.cli.tour.browser import Page
from portal.cli.tour.steps_plans import FIXED
from portal.cli.tour.steps_renewals import APPLICATION
from portal.cli.tour.walk import Walk, expect


def ask_for_a_paid_plan(walk: Walk) -> str:
    """Change from Free to Bronze: calls go on under Free until the payment page is paid."""
    place = _place(walk)
    page = _see(walk, "Bronze").says("9.99 USD")
    due = page.fact("Due on the payment page")
    page = walk.developer.press("Go to the payment page")
    expect(page.url.startswith(walk.demo.options.sandbox), f"It led to {page.url}.")
    status = acts.await_status(walk, place, "TIER_UPDATE_PENDING")
    acts.await_call(walk, _key(walk), 200)
    return f"{status}; due {due}"


def keep_the_free_plan(walk: Walk) -> str:
    """Press Keep the free plan: the payment page is closed, and nothing has changed."""
    walk.developer.open(_place(walk))
    walk.developer.press("Keep the free plan").says("The free plan stays.")
    acts.await_call(walk, _key(walk), 200)
    states = {item["status"] for item in acts.objects(walk, "checkout.session")}
    expect("open" not in states, "A payment page is still open.")
    return f"{acts.await_status(walk, _place(walk), 'UNBLOCKED')}; no payment page is open"


def pay_for_the_paid_plan(walk: Walk) -> str:
    """Ask for Bronze again and pay: the same subscription is sold at Bronze now."""
    place = _place(walk)
    _see(walk, "Bronze")
    walk.developer.press("Go to the payment page")
    walk.developer.press("Subscribe", acts.card_form())
    status = acts.await_status(walk, place, "UNBLOCKED")
    page = walk.developer.open(place).says("The paid plan begins")
    expect(page.fact("Plan") == "Bronze", f"The plan is {page.fact('Plan')}.")
    acts.await_call(walk, _key(walk), 200)
    return f"{status}; {page.fact('Plan')}, {page.fact('Price')}"


def go_back_to_the_free_plan(walk: Walk) -> str:
    """Change back to Free with the period: Bronze runs until then, and calls go on after it."""
    place = _place(walk)
    subscription = acts.engine_subscription(walk, place)
    _see(walk, "Free")
    words = "Nothing more is charged."
    walk.developer.until(lambda page: words in page.words, "the end of the period")
    page = walk.developer.press("Change with the period").says("The plan changes with the period")
    begins = page.fact("Free begins")
    acts.end_period(walk, subscription)
    walk.developer.open(place)
    page = walk.developer.until(lambda page: page.fact("Plan") == "Free", "the free plan")
    acts.await_call(walk, _key(walk), 200)
    states = {item["id"]: item["status"] for item in acts.objects(walk, "subscription")}
    expect(states[subscription] == "canceled", f"At Stripe it is {states[subscription]}.")
    return f"Free from {begins}; {page.fact('Status')}; {states[subscription]} at Stripe"


def sell_at_a_new_price(walk: Walk) -> str:
    """Edit a price: the API is out of date until its monetization is saved again."""
    walk.admin.open("/admin/plans")
    walk.admin.follow("Edit", within=FIXED)
    walk.admin.press("Save", {"fixed_price": "1.25"}).says("as version 2")
    walk.publisher.open("/publisher/").says("Out of date", FIXED)
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    walk.publisher.page.says("Out of date")
    page = walk.publisher.press("Save").says("1.25 USD per month").says_not("Out of date")
    return page.row(FIXED, "price_")


def end_what_runs(walk: Walk) -> str:
    """Take the API off sale and end all that runs: the last usage is billed first."""
    place = walk.recall("the usage subscription")
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    page = walk.publisher.press("Save", {"enabled": False})
    touched = page.fact("Subscriptions that are paid for")
    walk.publisher.press("Take it off sale", {"running": "NOW"})
    status = acts.await_status(walk, place, "Ended")
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Monetization")
    walk.publisher.until(lambda page: "still to be ended" not in page.words, "the last ending")
    states = [item["status"] for item in acts.objects(walk, "subscription")]
    expect(set(states) == {"canceled"}, f"At Stripe they are {states}.")
    return f"{touched} ended; {status}"


def _see(walk: Walk, plan: str) -> Page:
    walk.developer.open(_place(walk))
    walk.developer.follow("Change plan")
    return walk.developer.follow("See what it costs", within=plan)


def _place(walk: Walk) -> str:
    return str(walk.recall("the free subscription"))


def _key(walk: Walk) -> str:
    return str(walk.recall(f"the key of {APPLICATION}"))


STEPS = (
    ask_for_a_paid_plan,
    keep_the_free_plan,
    pay_for_the_paid_plan,
    go_back_to_the_free_plan,
    sell_at_a_new_price,
)
#: Last, since nobody pays for anything after it.
CLOSING = (end_what_runs,)
