"""Hosted Checkout: what a customer sees and what pressing the button does."""

import re

import pytest
import stripe

from tests.sandbox.conftest import World
from tests.sandbox.page_support import ASKS_ALWAYS, DECLINED, GOOD, Visitor, card


@pytest.fixture
def visitor(world: World) -> Visitor:
    return Visitor(world.app)


def directives(header: str) -> dict[str, list[str]]:
    parts = [part.split() for part in header.split(";")]
    return {part[0]: part[1:] for part in parts}


def status_of(world: World, session: stripe.checkout.Session) -> tuple[str | None, str]:
    found = world.api.v1.checkout.sessions.retrieve(session.id)
    return found.status, found.payment_status


def test_the_page_says_what_is_bought_from_whom_and_for_how_much(world, visitor):
    session = world.session(world.licensed(999))
    page = visitor.get(session.url)
    assert page.status == 200
    assert "Publisher" in page.text
    assert "Subscribe to Rates API - Bronze" in page.text
    assert "$9.99 per month" in page.text
    assert "Total due today $9.99" in page.text
    assert "TEST No real money moves" in page.text
    assert page.soup.select_one("form button").get_text(strip=True) == "Subscribe"
    names = [each["name"] for each in page.soup.select("form input")]
    assert names == ["email", "card_number", "exp", "cvc", "name"]
    assert "4242 4242 4242 4242" in page.text
    assert "4000 0027 6000 3184" in page.text


def test_a_metered_price_is_shown_per_unit_with_nothing_due_today(world, visitor):
    page = visitor.get(world.session(world.metered("0.25")).url)
    assert "$0.0025 per unit, billed every month for what was used" in page.text
    assert "Total due today $0.00" in page.text


def test_a_yen_price_has_no_decimals(world, visitor):
    page = visitor.get(world.session(world.licensed(500, "jpy")).url)
    assert "¥500 per month" in page.text


def test_paying_goes_to_the_success_address_with_the_session_in_it(world, visitor):
    session = world.session(world.licensed())
    done = visitor.get(session.url).press("Subscribe", **card())
    assert done.status == 303
    assert done.location == f"https://portal.test/back?session_id={session.id}"
    assert status_of(world, session) == ("complete", "paid")


def test_only_the_literal_template_is_replaced(world, visitor):
    session = world.session(
        world.licensed(), success_url="https://portal.test/back?id=%7BCHECKOUT_SESSION_ID%7D"
    )
    done = visitor.get(session.url).press("Subscribe", **card())
    assert done.location == "https://portal.test/back?id=%7BCHECKOUT_SESSION_ID%7D"


def test_a_customers_own_address_is_fixed_and_a_strangers_is_asked_for(world, visitor):
    price = world.licensed()
    known = visitor.get(world.session(price).url).soup.select_one("#email")
    assert known["value"] == "dev@example.com"
    assert known.has_attr("readonly")

    session = world.api.v1.checkout.sessions.create(
        {
            "mode": "subscription",
            "line_items": [{"price": price.id, "quantity": 1}],
            "success_url": "https://portal.test/back",
        }
    )
    page = visitor.get(session.url)
    refused = page.press("Subscribe", **card(email="dana"))
    assert refused.status == 422
    assert refused.error("email") == "Enter an e-mail address, for example dana@example.com."
    assert page.press("Subscribe", **card(email="dana@example.com")).status == 303
    paid = world.api.v1.checkout.sessions.retrieve(session.id)
    assert world.api.v1.customers.retrieve(str(paid.customer)).email == "dana@example.com"


def test_a_fixed_address_can_not_be_replaced_by_the_form(world, visitor):
    session = world.session(world.licensed())
    visitor.get(session.url).press("Subscribe", **card(email="other@example.com"))
    paid = world.api.v1.checkout.sessions.retrieve(session.id)
    assert paid.customer_details is not None
    assert paid.customer_details.email == "dev@example.com"


def test_a_decline_keeps_the_session_open_and_a_second_card_pays(world, visitor):
    session = world.session(world.licensed())
    declined = visitor.get(session.url).press("Subscribe", **card(DECLINED))
    assert declined.status == 402
    assert declined.error("card_number") == "Your card was declined."
    assert declined.soup.select_one("#card_number")["value"] == "4000 0000 0000 0002"
    assert status_of(world, session) == ("open", "unpaid")
    assert world.api.v1.subscriptions.list({"status": "all"}).data == []
    assert declined.press("Subscribe", **card()).status == 303


@pytest.mark.parametrize(
    ("typed", "field", "text"),
    [
        ({"card_number": "4111111111111111"}, "card_number", "Use a test card"),
        ({"card_number": ""}, "card_number", "Use a test card"),
        ({"exp": "13 / 40"}, "exp", "expiry date"),
        ({"exp": "01 / 20"}, "exp", "in the past"),
        ({"cvc": "x"}, "cvc", "security code"),
        ({"name": "n" * 257}, "name", "Shorten the name"),
    ],
)
def test_what_can_not_be_used_is_said_beside_its_field(world, visitor, typed, field, text):
    session = world.session(world.licensed())
    refused = visitor.get(session.url).press("Subscribe", **card(**typed))
    assert refused.status == 422
    assert text in refused.error(field)
    assert status_of(world, session) == ("open", "unpaid")


def test_a_number_that_is_no_test_card_is_never_shown_or_stored(world, visitor):
    session = world.session(world.licensed())
    refused = visitor.get(session.url).press("Subscribe", **card("5105105105105100"))
    body = refused.answer.get_data(as_text=True)
    assert "5105" not in body
    assert "12 / 40" not in body
    store = world.app.extensions["sandbox"].store
    with store.read() as db:
        rows = db.execute("SELECT count(*) FROM objects WHERE body LIKE '%5105105%'").fetchone()
    assert rows[0] == 0


@pytest.mark.parametrize("outcome", ["Complete", "Fail", "Abandon"])
def test_3d_secure_is_a_page_of_its_own_with_three_ways_on(world, visitor, outcome):
    session = world.session(world.licensed())
    bank = visitor.get(session.url).press("Subscribe", **card(ASKS_ALWAYS)).follow()
    assert bank.status == 200
    assert "Confirm with your bank" in bank.text
    assert "$9.99" in bank.text
    assert "3184" in bank.text
    after = bank.press(outcome)
    if outcome == "Complete":
        assert after.location == f"https://portal.test/back?session_id={session.id}"
        assert status_of(world, session) == ("complete", "paid")
        return
    assert status_of(world, session) == ("open", "unpaid")
    if outcome == "Fail":
        assert after.status == 402
        assert "unable to authenticate your payment method" in after.text
    else:
        assert after.location == f"/c/pay/{session.id}"
    assert visitor.get(session.url).press("Subscribe", **card()).status == 303


def test_a_3d_secure_step_is_good_for_its_own_session_only(world, visitor):
    price = world.licensed()
    mine, other = world.session(price), world.session(price)
    bank = visitor.get(mine.url).press("Subscribe", **card(ASKS_ALWAYS)).follow()
    moved = bank.url.replace(mine.id, other.id)
    assert visitor.get(moved).location == f"/c/pay/{other.id}"
    forged = visitor.post(moved, {"outcome": "complete"})
    assert forged.location == f"/c/pay/{other.id}"
    changed = visitor.post(bank.url + "x", {"outcome": "complete"})
    assert changed.location == f"/c/pay/{mine.id}"
    assert status_of(world, mine)[0] == status_of(world, other)[0] == "open"


def test_pressing_twice_pays_once(world, visitor):
    session = world.session(world.licensed())
    page = visitor.get(session.url)
    first, second = (page.press("Subscribe", **card()) for _ in range(2))
    assert first.location == second.location
    assert len(world.api.v1.subscriptions.list().data) == 1
    assert len(world.api.v1.invoices.list().data) == 1


def test_a_complete_session_says_so_and_leads_back(world, visitor):
    session = world.session(world.licensed())
    world.pay(session)
    page = visitor.get(f"/c/pay/{session.id}")
    assert page.status == 200
    assert "already complete" in page.text
    assert page.link("Return to Publisher").endswith(f"?session_id={session.id}")


def test_an_expired_session_takes_no_money(world, visitor):
    session = world.session(world.licensed(), cancel_url="https://portal.test/cancelled")
    page = visitor.get(session.url)
    world.control(f"/checkout/sessions/{session.id}/expire")
    for late in (visitor.get(session.url), page.press("Subscribe", **card())):
        assert late.status == 410
        assert "has expired" in late.text
        assert late.link("Return to Publisher") == "https://portal.test/cancelled"
    assert world.api.v1.subscriptions.list({"status": "all"}).data == []


def test_a_session_past_its_time_is_closed_before_the_sweep_finds_it(world, visitor):
    session = world.session(world.licensed())
    world.clock.advance(24 * 3600)
    assert visitor.get(session.url).status == 410
    assert visitor.post(session.url, card()).status == 410


def test_the_way_back_is_the_cancel_address(world, visitor):
    price = world.licensed()
    with_it = world.session(price, cancel_url="https://portal.test/cancelled")
    assert visitor.get(with_it.url).link("Cancel and go back") == "https://portal.test/cancelled"
    assert "Cancel and go back" not in visitor.get(world.session(price).url).text


def test_an_unknown_session_is_404(visitor):
    for answer in (visitor.get("/c/pay/cs_test_x"), visitor.post("/c/pay/cs_test_x", card())):
        assert answer.status == 404
        assert "does not exist" in answer.text


def test_forms_may_end_at_the_sellers_addresses_and_nowhere_else(world, visitor):
    session = world.session(
        world.licensed(),
        success_url="https://portal.test:8443/back",
        cancel_url="https://shop.test/no",
    )
    page = visitor.get(session.url)
    policy = directives(page.answer.headers["Content-Security-Policy"])
    assert policy["form-action"] == ["'self'", "https://portal.test:8443", "https://shop.test"]
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'"]
    assert policy["frame-ancestors"] == ["'none'"]
    bank = page.press("Subscribe", **card(ASKS_ALWAYS)).follow()
    assert "https://portal.test:8443" in bank.answer.headers["Content-Security-Policy"]


def test_a_hostile_success_address_can_not_write_the_policy(world, visitor):
    session = world.session(world.licensed())
    store = world.app.extensions["sandbox"].store
    with store.write() as db:
        record = db.find("checkout.session", session.id)
        record["success_url"] = "https://a.test;script-src */x"
        record["cancel_url"] = "javascript:alert(1)"
        db.save(record)
    page = visitor.get(session.url)
    policy = directives(page.answer.headers["Content-Security-Policy"])
    assert policy["script-src"] == ["'self'"]
    assert policy["form-action"] == ["'self'"]
    assert "javascript:" not in page.answer.get_data(as_text=True)


def test_the_page_needs_no_inline_script_or_style(world, visitor):
    body = visitor.get(world.session(world.licensed()).url).answer.get_data(as_text=True)
    assert not re.search(r"\son\w+=|style=|javascript:", body)
    assert re.findall(r"<script(?![^>]*\bsrc=)", body) == []


def test_a_test_card_can_be_filled_in_without_javascript(world, visitor):
    session = world.session(world.licensed())
    page = visitor.get(session.url)
    filled = visitor.get(f"{session.url}{page.link('4242 4242 4242 4242')}")
    values = {each["name"]: each["value"] for each in filled.soup.select("form input")}
    assert values["card_number"] == "4242 4242 4242 4242"
    assert re.fullmatch(r"12 / \d\d", values["exp"])
    assert filled.press("Subscribe").status == 303
    assert visitor.get(f"{session.url}?card=nonsense").status == 200


def test_text_of_the_seller_is_shown_as_text(world, visitor):
    product = world.api.v1.products.create({"name": "<script>alert(1)</script>"})
    price = world.api.v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "unit_amount": 100,
            "recurring": {"interval": "month"},
        }
    )
    page = visitor.get(world.session(price).url)
    assert "<script>alert" not in page.answer.get_data(as_text=True)
    assert "<script>alert(1)</script>" in page.soup.select_one("h1").get_text()


def test_a_huge_form_is_refused(world, visitor):
    session = world.session(world.licensed())
    assert visitor.post(session.url, card(name="n" * 100_000)).status == 413
    assert status_of(world, session)[0] == "open"


def test_every_file_of_the_pages_is_there(world, visitor):
    page = visitor.get(world.session(world.licensed()).url)
    addresses = [each.get("href") or each["src"] for each in page.soup.select("link, script")]
    assert len(addresses) == 3
    for address in [*addresses, "/_assets/inter.woff2", "/_assets/room.css"]:
        assert visitor.get(address).status == 200, address


def test_a_saved_card_keeps_no_number(world, visitor):
    session = world.session(world.licensed())
    visitor.get(session.url).press("Subscribe", **card())
    store = world.app.extensions["sandbox"].store
    with store.read() as db:
        rows = db.execute("SELECT count(*) FROM objects WHERE body LIKE ?", f"%{GOOD}%").fetchone()
    assert rows[0] == 0


def test_files_are_kept_by_browsers_and_pages_are_not(world, visitor):
    page = visitor.get(world.session(world.licensed()).url)
    assert page.answer.headers["Cache-Control"] == "no-store"
    style = visitor.get(page.soup.select_one("link[rel=stylesheet]")["href"])
    assert "immutable" in style.answer.headers["Cache-Control"]


def test_the_bare_address_says_what_this_is(visitor):
    page = visitor.get("/")
    assert "stands in for Stripe" in page.text
    assert page.link("Control room") == "/_sandbox/"


def test_an_address_without_a_page_is_answered_kindly(visitor):
    page = visitor.get("/nowhere")
    assert page.status == 404
    assert "There is nothing here" in page.text
    assert "default-src 'none'" in page.answer.headers["Content-Security-Policy"]
    assert visitor.post("/i/acct_x/test_x/pdf", {}).status == 405


def test_the_api_still_answers_in_its_own_words(world, visitor):
    answer = visitor.get("/v1/nowhere", headers={"Authorization": f"Bearer {world.key}"}).answer
    assert answer.status_code == 404
    assert answer.get_json()["error"]["message"].startswith("Unrecognized request URL")
