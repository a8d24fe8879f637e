"""The hosted invoice: reading it, paying it, taking it along."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe

from portal.sandbox.pages import pdf
from tests.sandbox.conftest import World
from tests.sandbox.page_support import ASKS_ALWAYS, DECLINED, Visitor, card


@pytest.fixture
def visitor(world: World) -> Visitor:
    return Visitor(world.app)


def renewal(
    world: World, outcome: str | None = "card_declined", **buying: Any
) -> tuple[stripe.Subscription, stripe.Invoice]:
    session = world.session(world.licensed())
    assert world.pay(session, **buying)["kind"] == "paid"
    paid = world.api.v1.checkout.sessions.retrieve(session.id)
    subscription = world.api.v1.subscriptions.retrieve(str(paid.subscription))
    if outcome is not None:
        world.control(f"/subscriptions/{subscription.id}/fail-next-charge", outcome=outcome)
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    world.control(f"/invoices/{draft['id']}/finalize")
    return subscription, world.api.v1.invoices.retrieve(draft["id"])


def states(world: World, subscription: stripe.Subscription, invoice: stripe.Invoice) -> tuple:
    return (
        world.api.v1.subscriptions.retrieve(subscription.id).status,
        world.api.v1.invoices.retrieve(invoice.id).status,
    )


def test_an_open_invoice_shows_its_lines_and_asks_for_payment(world, visitor):
    _, invoice = renewal(world)
    page = visitor.get(invoice.hosted_invoice_url)
    assert page.status == 200
    assert f"Invoice {invoice.number}" in page.text
    assert "$9.99 Open" in page.text
    assert "Rates API - Bronze 1 × $9.99" in page.text
    assert "dev@example.com" in page.text
    assert "Amount due $9.99" in page.text
    assert page.form("Pay $9.99")


def test_a_declined_renewal_recovers_with_another_card(world, visitor):
    subscription, invoice = renewal(world)
    assert states(world, subscription, invoice) == ("past_due", "open")
    page = visitor.get(invoice.hosted_invoice_url)
    declined = visitor.post(page.url, card(DECLINED))
    assert declined.status == 402
    assert declined.error("card_number") == "Your card was declined."
    assert states(world, subscription, invoice) == ("past_due", "open")
    paid = visitor.post(page.url, card("5555555555554444")).follow()
    assert "Paid on" in paid.text
    assert paid.soup.select("form") == []
    assert states(world, subscription, invoice) == ("active", "paid")
    types = world.event_types()
    after = types[types.index("invoice.payment_failed") :]
    for type in ("invoice.paid", "invoice.payment_succeeded"):
        assert after.count(type) == 1
    assert after.count("customer.subscription.updated") >= 2


def test_the_card_on_file_can_pay(world, visitor):
    subscription, invoice = renewal(world)
    page = visitor.get(invoice.hosted_invoice_url)
    assert "Visa •••• 4242 on file" in page.text
    assert page.press("with the card on file").status == 303
    assert states(world, subscription, invoice) == ("active", "paid")


def test_a_renewal_that_needs_the_bank_is_completed_here(world, visitor):
    subscription, invoice = renewal(world, None, number=ASKS_ALWAYS, authenticated=True)
    assert states(world, subscription, invoice) == ("past_due", "open")
    assert "invoice.payment_action_required" in world.event_types()
    bank = visitor.get(invoice.hosted_invoice_url).press("with the card on file").follow()
    assert "$9.99" in bank.text
    assert "3184" in bank.text
    failed = bank.press("Fail")
    assert failed.status == 402
    assert "unable to authenticate" in failed.text
    assert states(world, subscription, invoice) == ("past_due", "open")
    assert bank.press("Abandon").location == urlsplit(invoice.hosted_invoice_url).path
    assert bank.press("Complete").status == 303
    assert states(world, subscription, invoice) == ("active", "paid")


def test_paying_twice_takes_the_money_once(world, visitor):
    _, invoice = renewal(world)
    page = visitor.get(invoice.hosted_invoice_url)
    for _ in range(2):
        assert visitor.post(page.url, card()).status == 303
    payments = world.api.v1.invoice_payments.list({"invoice": invoice.id}).data
    assert [each.amount_paid for each in payments] == [999]


def test_a_void_invoice_can_not_be_paid(world, visitor):
    subscription, invoice = renewal(world)
    world.api.v1.invoices.void_invoice(invoice.id)
    page = visitor.get(invoice.hosted_invoice_url)
    assert "Void" in page.text
    assert page.soup.select("form") == []
    assert visitor.post(page.url, card()).status == 303
    assert states(world, subscription, invoice)[1] == "void"


def test_what_is_too_small_to_charge_is_carried_forward(world, visitor):
    subscription = world.subscribe(world.metered("0.25"))
    world.api.v1.billing.meter_events.create(
        {
            "event_name": "calls",
            "payload": {"stripe_customer_id": str(subscription.customer), "value": "25"},
        }
    )
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    world.control(f"/invoices/{draft['id']}/finalize")
    invoice = world.api.v1.invoices.retrieve(draft["id"])
    page = visitor.get(invoice.hosted_invoice_url)
    assert "25 × $0.0025" in page.text
    assert "Total $0.06" in page.text
    assert "Carried to the next invoice" in page.text
    assert "Amount due $0.00" in page.text


def test_addresses_that_name_no_invoice_are_404(world, visitor):
    subscription, invoice = renewal(world)
    token = urlsplit(invoice.hosted_invoice_url).path.rpartition("/")[2]
    wrong = [
        f"/i/{world.account}/test_x",
        f"/i/acct_other/{token}",
        f"/i/{world.account}/{token[:-1]}/pdf",
    ]
    for address in wrong:
        assert visitor.get(address).status == 404
    assert visitor.post(wrong[0], card()).status == 404
    draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    assert draft["status"] == "draft"
    assert draft["hosted_invoice_url"] is None


def texts(file: bytes) -> str:
    """The texts of a PDF whose content is not compressed."""
    found = re.findall(rb"\(((?:[^()\\]|\\.)*)\) Tj", file)
    return "\n".join(re.sub(rb"\\(.)", rb"\1", each).decode("cp1252") for each in found)


def offsets_are_right(file: bytes) -> bool:
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF", file)[1])
    entries = re.findall(rb"(\d{10}) 00000 n ", file[start:])
    return file[start:].startswith(b"xref") and all(
        file[int(offset) :].startswith(f"{number} 0 obj".encode())
        for number, offset in enumerate(entries, 1)
    )


def test_the_pdf_says_the_same_as_the_page(world, visitor):
    _, invoice = renewal(world)
    answer = visitor.get(invoice.invoice_pdf).answer
    assert answer.content_type == "application/pdf"
    assert f'filename="Invoice-{invoice.number}.pdf"' in answer.headers["Content-Disposition"]
    file = answer.get_data()
    assert file.startswith(b"%PDF-1.4")
    assert offsets_are_right(file)
    said = texts(file)
    for text in (invoice.number, "Publisher", "Rates API - Bronze", "dev@example.com", "$9.99"):
        assert text in said
    assert "TEST - made by the payment sandbox" in said


def sheet(**changed):
    parts = {
        "seller": "Publisher",
        "number": "A-1",
        "facts": [("Invoice", "A-1")],
        "billed_to": ["Dana"],
        "rows": [["API", "1 – 2", "1", "$1.00", "$1.00"]],
        "totals": [("Amount due", "$1.00")],
    }
    return pdf.Sheet(**{**parts, **changed})


def test_a_long_invoice_takes_more_pages_and_loses_no_line():
    rows = [[f"Line {number}", "1 – 2", "1", "$1.00", "$1.00"] for number in range(90)]
    file = pdf.invoice(sheet(rows=rows))
    assert offsets_are_right(file)
    said = texts(file)
    assert all(f"Line {number}\n" in said for number in range(90))
    pages = file.count(b"/Type /Page ")
    assert pages > 3
    assert f"Page {pages} of {pages}" in said


def test_special_characters_do_not_break_the_file():
    file = pdf.invoice(sheet(seller="A (B) \\ C\nD", billed_to=["Zoë €5 ¥", "東京"]))
    assert offsets_are_right(file)
    said = texts(file)
    assert "A (B) \\ C D" in said
    assert "Zoë €5 ¥" in said
    assert "??" in said


def test_text_that_is_too_wide_is_cut_with_an_ellipsis():
    short = pdf.shortened("W" * 100, 10, 200)
    assert short.endswith("…")
    assert pdf.width(short, 10) <= 200
    assert pdf.shortened("fits", 10, 200) == "fits"
