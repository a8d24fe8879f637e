"""Renewals that fail, and how each is put right."""

from portal.cli.tour import acts
from portal.cli.tour.browser import Page
from portal.cli.tour.walk import Walk, expect

APPLICATION = "Tour Renewals"
#: Asks for confirmation when the payer is present, and not at renewals.
CARD_THAT_ASKS = "4000 0038 0000 0446"
OVERDUE = "payment-overdue"


def buy_bronze(walk: Walk) -> str:
    """Buy Bronze for another application: 9.99 USD are paid in advance."""
    acts.create_application(walk, APPLICATION)
    place = acts.subscribe(walk, APPLICATION, walk.recall("the API's name"), "Bronze")
    walk.keep("the Bronze subscription", place)
    acts.pay(walk, place)
    status = acts.await_status(walk, place, "UNBLOCKED")
    acts.await_call(walk, walk.recall(f"the key of {APPLICATION}"), 200)
    page = walk.developer.follow("View Invoice")
    return f"{status}; {page.row('9.99 USD', 'Paid')}"


def fail_a_renewal(walk: Walk) -> str:
    """Let the card be declined at the renewal: the subscription is BLOCKED."""
    return _fail(walk, "card_declined")


def be_refused_while_overdue(walk: Walk) -> str:
    """Call the API: refused, with the reason and what to do."""
    return _refused(walk, OVERDUE)


def pay_the_open_invoice(walk: Walk) -> str:
    """Pay the open invoice on Stripe's page: the subscription is UNBLOCKED again."""
    page = _to_invoice(walk, "Pay now")
    page = walk.developer.press(_button(page), acts.card_form())
    page.says("Paid")
    return f"{page.heading!r} paid; {_works_again(walk)}"


def ask_for_confirmation(walk: Walk) -> str:
    """Let the bank ask for confirmation at the renewal: BLOCKED, with that reason."""
    return _fail(walk, "requires_action")


def be_refused_until_confirmed(walk: Walk) -> str:
    """Call the API: refused because the bank wants the payment confirmed."""
    return _refused(walk, "authentication-needed")


def confirm_with_the_bank(walk: Walk) -> str:
    """Confirm the payment on Stripe's and the bank's pages: UNBLOCKED again."""
    page = _to_invoice(walk, "Authenticate payment")
    page = walk.developer.press(_button(page), acts.card_form(CARD_THAT_ASKS))
    page.says("Confirm with your bank")
    walk.developer.press("Complete").says("Paid")
    return f"confirmed at the bank; {_works_again(walk)}"


def fall_behind_again(walk: Walk) -> str:
    """Let a third renewal fail: past due, BLOCKED."""
    seen = _fail(walk, "card_declined")
    subscription = _subscription(walk)
    state = next(
        item["status"] for item in acts.objects(walk, "subscription") if item["id"] == subscription
    )
    expect(state == "past_due", f"The subscription is {state} at Stripe.")
    return f"{state} at Stripe; {seen}"


def use_another_card(walk: Walk) -> str:
    """Enter another card in the Customer Portal: what is owed is paid, UNBLOCKED again."""
    walk.developer.open(walk.recall("the Bronze subscription"))
    page = walk.developer.press("Customer Portal")
    page.says("is not paid")
    walk.developer.follow("Use another card")
    page = walk.developer.press("Save card", acts.card_form("5555 5555 5555 4444"))
    return f"{page.heading!r}; {_works_again(walk)}"


def block_as_publisher(walk: Walk) -> str:
    """Fail a renewal once more, and let the publisher Block All."""
    _fail(walk, "card_declined")
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Subscriptions")
    page = walk.publisher.press("Block All", within=APPLICATION)
    row = page.rows(APPLICATION, "Bronze")
    expect(bool(row) and "BLOCKED" in row[0], f"The list shows {row}.")
    return row[0]


def pay_while_blocked(walk: Walk) -> str:
    """Pay what is owed: the publisher's block stays."""
    page = _to_invoice(walk, "Pay now")
    walk.developer.press(_button(page), acts.card_form()).says("Paid")
    place = walk.recall("the Bronze subscription")
    walk.developer.open(place)
    walk.developer.until(lambda page: "Pay now" not in page.words, "no open invoice")
    status = acts.status(walk, place)
    expect("BLOCKED" in status.split(), f"The status became {status}.")
    return f"{status}; {_refused(walk, 'blocked-by-publisher')}"


def unblock_as_publisher(walk: Walk) -> str:
    """Let the publisher Unblock: calls pass again."""
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Subscriptions")
    walk.publisher.press("Unblock", within=APPLICATION)
    return _works_again(walk)


def block_production_only(walk: Walk) -> str:
    """Block Production Only: the production key is refused; then Unblock."""
    walk.publisher.open(walk.recall("the API"))
    walk.publisher.follow("Subscriptions")
    walk.publisher.press("Block Production Only", within=APPLICATION)
    status = acts.await_status(walk, walk.recall("the Bronze subscription"), "PROD_ONLY_BLOCKED")
    seen = _refused(walk, "production-blocked")
    walk.publisher.press("Unblock", within=APPLICATION)
    return f"{status}; {seen}; {_works_again(walk)}"


def give_grace(walk: Walk) -> str:
    """Let the administrator give seven days of grace, with reminders three and one day before."""
    return _configure(walk, "7")


def fail_within_grace(walk: Walk) -> str:
    """Let a renewal fail: calls go on, and the page says until when."""
    _decline(walk, "card_declined")
    walk.developer.open(walk.recall("the Bronze subscription"))
    walk.developer.until(lambda page: "Access until" in page.words, "a date")
    acts.await_call(walk, walk.recall(f"the key of {APPLICATION}"), 200)
    return f"{acts.status(walk, walk.recall('the Bronze subscription'))}; calls go on"


def read_the_notice(walk: Walk) -> str:
    """Read the notice in the developer portal, and its letter in the local mailbox."""
    words = "a payment failed, access until"
    walk.developer.open("/devportal/notices").says(words)
    walk.admin.open("/admin/mailbox")
    return walk.admin.await_row(words)


def pay_within_grace(walk: Walk) -> str:
    """Pay the open invoice within the grace: the notice is settled."""
    page = _to_invoice(walk, "Pay now")
    walk.developer.press(_button(page), acts.card_form()).says("Paid")
    walk.developer.open("/devportal/notices")
    news = walk.developer.await_row("paid, access goes on")
    return f"{news[:60]}…; {_configure(walk, '0')}"


def list_the_invoices(walk: Walk) -> str:
    """List all invoices as the developer: the estimate first, then what is paid."""
    page = walk.developer.open("/devportal/invoices").says("Next invoices", "Estimate", "PDF")
    return page.row("Paid", "9.99 USD")


def see_the_revenue(walk: Walk) -> str:
    """See the revenue as the publisher; the paid figure opens its invoices."""
    walk.publisher.open("/publisher/revenue?by=plan")
    page = walk.publisher.page.says("Bronze", "Net")
    row = page.row("Bronze", "USD")
    page = walk.publisher.open("/publisher/revenue/invoices?figure=paid").says("Paid")
    expect(len(page.rows("9.99 USD", "Paid")) > 1, "The figure opens no invoices.")
    return row


def _configure(walk: Walk, days: str) -> str:
    walk.admin.open("/admin/configuration")
    page = walk.admin.press("Save", {"Days of grace": days, "Reminders": "3, 1"})
    page.says("The configuration is saved")
    field = next(item for item in page.root.all("input") if item["name"] == "grace_days")
    expect(field["value"] == days, f"The days of grace are {field['value']}.")
    return f"{days} days of grace"


def _subscription(walk: Walk) -> str:
    return acts.engine_subscription(walk, walk.recall("the Bronze subscription"))


def _fail(walk: Walk, outcome: str) -> str:
    _decline(walk, outcome)
    return acts.await_status(walk, walk.recall("the Bronze subscription"), "BLOCKED")


def _decline(walk: Walk, outcome: str) -> None:
    subscription = _subscription(walk)
    walk.control.post(f"/subscriptions/{subscription}/fail-next-charge", {"outcome": outcome})
    draft = acts.end_period(walk, subscription)
    invoice = walk.control.post(f"/invoices/{draft['id']}/finalize")
    expect(invoice["status"] == "open", f"The invoice is {invoice['status']}.")


def _refused(walk: Walk, slug: str) -> str:
    key = walk.recall(f"the key of {APPLICATION}")
    answer = acts.await_call(walk, key, 403, slug)
    return f"403 {answer.json()['code']} {answer.json()['title']!r}"


def _to_invoice(walk: Walk, words: str) -> Page:
    walk.developer.open(walk.recall("the Bronze subscription"))
    walk.developer.until(lambda page: walk.developer.has(words), f"the button {words}")
    page = walk.developer.press(words)
    expect(page.url.startswith(walk.demo.options.sandbox), f"{words} led to {page.url}.")
    return page


def _button(page: Page) -> str:
    for button in page.root.all("button"):
        if button.words.startswith("Pay ") and "card on file" not in button.words:
            return button.words
    return "Pay"


def _works_again(walk: Walk) -> str:
    status = acts.await_status(walk, walk.recall("the Bronze subscription"), "UNBLOCKED")
    acts.await_call(walk, walk.recall(f"the key of {APPLICATION}"), 200)
    return status


STEPS = (
    buy_bronze,
    fail_a_renewal,
    be_refused_while_overdue,
    pay_the_open_invoice,
    ask_for_confirmation,
    be_refused_until_confirmed,
    confirm_with_the_bank,
    fall_behind_again,
    use_another_card,
    give_grace,
    fail_within_grace,
    read_the_notice,
    pay_within_grace,
    list_the_invoices,
    see_the_revenue,
    block_as_publisher,
    pay_while_blocked,
    unblock_as_publisher,
    block_production_only,
)
