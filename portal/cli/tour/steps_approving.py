"""Approvals: new subscriptions that an administrator decides about, and an event once more."""

from portal.cli.tour import acts
from portal.cli.tour.walk import Walk, eventually, expect

WELCOME = "Tour Welcome"
UNWANTED = "Tour Unwanted"
PLAN = "Bronze"
REASON = "The tour rejects this one."


def ask_for_approval(walk: Walk) -> str:
    """Advanced configuration: a new subscription needs payment and approval."""
    return _needs(walk, "BOTH", "Payment and approval")


def _needs(walk: Walk, need: str, words: str) -> str:
    walk.admin.open("/admin/configuration")
    walk.admin.press("Save", {"subscriptions_need": need})
    return f"from now on: {words.lower()}"


def wait_for_both(walk: Walk) -> str:
    """Subscribe and pay: the subscription stays on hold until it is approved, and says so."""
    acts.create_application(walk, WELCOME)
    place = acts.subscribe(walk, WELCOME, walk.recall("the API's name"), PLAN)
    walk.keep("the subscription that is approved", place)
    status = walk.developer.page.fact("Status")
    expect("ON_HOLD" in status and "approval" in status, f"The status is {status}.")
    acts.pay(walk, place)

    def says_paid() -> bool:
        return "Paid; waits for approval" in acts.status(walk, place)

    eventually(says_paid, "a paid subscription that waits for approval")
    return acts.status(walk, place)


def approve(walk: Walk) -> str:
    """Admin > Approvals: approve it, and calls go through."""
    walk.admin.open("/admin/approvals").says(WELCOME, "Paid; waits for approval")
    walk.admin.press("Approve", within=WELCOME)
    status = acts.await_status(walk, walk.recall("the subscription that is approved"), "UNBLOCKED")
    acts.await_call(walk, walk.recall(f"the key of {WELCOME}"), 200)
    return status


def reject_what_is_paid(walk: Walk) -> str:
    """Reject a paid subscription: it ends at Stripe, and the payment goes back."""
    acts.create_application(walk, UNWANTED)
    place = acts.subscribe(walk, UNWANTED, walk.recall("the API's name"), PLAN)
    acts.pay(walk, place)
    eventually(
        lambda: "Paid; waits for approval" in acts.status(walk, place),
        "a paid subscription that waits for approval",
    )
    subscription = acts.engine_subscription(walk, place)
    before = len(acts.objects(walk, "refund"))
    walk.admin.open("/admin/approvals")
    walk.admin.follow("Reject", within=UNWANTED)
    walk.admin.press("Reject", {"reason": REASON})
    walk.developer.open(place).says(REASON)

    def paid_back() -> bool:
        states = {item["id"]: item["status"] for item in acts.objects(walk, "subscription")}
        return states[subscription] == "canceled" and len(acts.objects(walk, "refund")) > before

    eventually(paid_back, "refund at Stripe")
    refund = acts.objects(walk, "refund")[0]
    return f"canceled at Stripe, {refund['amount']} {refund['currency'].upper()} cents paid back"


def ask_for_payment_only(walk: Walk) -> str:
    """Advanced configuration: back to payment only."""
    return _needs(walk, "PAYMENT", "Payment")


def replay_an_event(walk: Walk) -> str:
    """Admin > Events: replay an event; first it says what would change, then it is done."""
    page = walk.admin.open("/admin/events?type=checkout.session.completed")
    walk.admin.open(next(item["href"] for item in page.links() if "/admin/events/" in item["href"]))
    walk.admin.follow("Replay…")
    walk.admin.page.says("Nothing has been changed yet")
    walk.admin.press("Replay it")
    return walk.admin.page.says("Replayed").fact("Outcome")


STEPS = (
    ask_for_approval,
    wait_for_both,
    approve,
    reject_what_is_paid,
    ask_for_payment_only,
    replay_an_event,
)
