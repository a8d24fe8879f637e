"""The control room: who may enter, what it shows, what its buttons do."""

import json
from urllib.parse import urlsplit

import pytest
import stripe
from bs4 import BeautifulSoup

from portal.sandbox.app import create_sandbox
from portal.sandbox.pages.jsonview import pretty
from portal.sandbox.settings import SandboxSettings
from tests.sandbox.conftest import TOKEN, World
from tests.sandbox.page_support import BASE, Visitor

PAGES = ["", "ui/accounts", "ui/objects", "ui/events", "ui/requests"]


@pytest.fixture
def stranger(world: World) -> Visitor:
    return Visitor(world.app)


@pytest.fixture
def operator(world: World) -> Visitor:
    visitor = Visitor(world.app)
    page = visitor.get("/_sandbox/sign-in")
    assert page.press("Sign in", token=TOKEN).location == "/_sandbox/"
    return visitor


class TestEntry:
    @pytest.mark.parametrize("path", PAGES)
    def test_every_page_asks_strangers_to_sign_in(self, stranger, path):
        assert stranger.get(f"/_sandbox/{path}").location == "/_sandbox/sign-in"

    def test_buttons_do_nothing_for_strangers(self, world, stranger):
        subscription = world.subscribe(world.licensed())
        address = f"/_sandbox/ui/objects/{subscription.id}/end-period"
        assert stranger.post(address, {}).location == "/_sandbox/sign-in"
        assert stranger.post("/_sandbox/ui/reset", {"sure": "yes"}).status == 303
        assert len(world.api.v1.invoices.list().data) == 1

    def test_a_wrong_token_is_refused(self, stranger):
        refused = stranger.get("/_sandbox/sign-in").press("Sign in", token="guess")
        assert refused.status == 403
        assert "This is not the token of this sandbox." in refused.text
        assert stranger.get("/_sandbox/").status == 303

    def test_the_cookie_is_its_own_and_kept_from_scripts_and_other_sites(self, stranger):
        answer = stranger.get("/_sandbox/sign-in").press("Sign in", token=TOKEN).answer
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("sandbox_room=")
        for part in ("HttpOnly", "SameSite=Strict", "Path=/_sandbox"):
            assert part in cookie

    def test_a_forged_cookie_does_not_open_the_door(self, world):
        client = world.app.test_client()
        client.set_cookie("sandbox_room", "in.forged.cookie", path="/_sandbox")
        assert client.get("/_sandbox/").status_code == 303

    def test_only_its_own_pages_may_press_the_buttons(self, world, operator):
        for origin in ("http://sandbox.test:8000", "https://evil.test", ""):
            refused = operator.post("/_sandbox/ui/reset", {"sure": "yes"}, origin=origin)
            assert refused.status == 403
            assert "This form was not sent by the control room." in refused.text
        assert world.look("/accounts")

    def test_other_machines_are_turned_away(self, world):
        client = world.app.test_client()
        for path in ("", "sign-in"):
            answer = client.get(
                f"/_sandbox/{path}", environ_overrides={"REMOTE_ADDR": "203.0.113.9"}
            )
            assert answer.status_code == 403

    def test_signing_out_closes_it_again(self, operator):
        assert operator.get("/_sandbox/").press("Sign out").status == 303
        assert operator.get("/_sandbox/").location == "/_sandbox/sign-in"


class TestReading:
    def test_the_overview_counts_and_links(self, world, operator):
        world.subscribe(world.licensed())
        page = operator.get("/_sandbox/")
        assert page.status == 200
        assert "checkout.session.completed" in page.text
        accounts = page.soup.select_one(".figures dd").get_text(strip=True)
        assert accounts == "2"

    def test_a_copy_goes_on_from_there(self, world, operator, tmp_path):
        bought = world.subscribe(world.licensed())
        answer = operator.get(operator.get("/_sandbox/").link("Download a copy")).answer
        assert answer.mimetype == "application/vnd.sqlite3"
        assert answer.headers["Content-Disposition"] == "attachment; filename=sandbox.sqlite3"
        path = tmp_path / "copy.sqlite3"
        path.write_bytes(answer.data)
        again = create_sandbox(SandboxSettings(database=str(path)), clock=world.clock)
        copied = World(again, world.clock, world.key, world.platform, world.account)
        assert copied.api.v1.subscriptions.retrieve(bought.id).to_dict() == bought.to_dict()
        again.extensions["sandbox"].store.close()

    @pytest.mark.parametrize("path", PAGES)
    def test_every_page_works_on_an_empty_sandbox(self, world, operator, path):
        world.control("/reset")
        page = operator.get(f"/_sandbox/{path}")
        assert page.status == 200
        assert page.soup.select_one("h1")

    def test_objects_are_listed_by_kind_and_shown_as_the_api_does(self, world, operator):
        subscription = world.subscribe(world.licensed())
        listing = operator.get(f"/_sandbox/ui/objects?kind=subscription&account={world.account}")
        page = operator.get(listing.link(subscription.id))
        assert f'"id": "{subscription.id}"' in page.soup.select_one("pre").get_text()
        linked = {str(each["href"]) for each in page.soup.select("pre a")}
        assert f"/_sandbox/ui/objects/{subscription.customer}" in linked
        assert "customer.subscription.created" in page.text
        for address in linked:
            assert operator.get(address).status == 200, address

    def test_an_event_is_shown_with_its_deliveries(self, world, operator, endpoint):
        world.subscribe(world.licensed())
        world.tick()
        listing = operator.get("/_sandbox/ui/events?type=checkout.session.completed")
        page = operator.get(listing.link("checkout.session.completed"))
        assert "http://portal.test/webhook" in page.text
        assert "delivered" in page.text
        assert '"type": "checkout.session.completed"' in page.soup.select_one("pre").get_text()

    def test_a_refused_request_can_be_found_by_its_id(self, world, operator):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            world.api.v1.customers.create({"bogus": "1"})  # type: ignore[typeddict-unknown-key]
        listing = operator.get("/_sandbox/ui/requests?failed=1")
        assert "Received unknown parameter: bogus" in listing.text
        page = operator.get(f"/_sandbox/ui/requests/{refused.value.request_id}")
        assert "POST /v1/customers" in page.text
        assert "400" in page.text

    def test_long_lists_are_read_page_by_page(self, world, operator):
        for number in range(60):
            world.api.v1.customers.create({"name": f"Customer {number}"})
        first = operator.get("/_sandbox/ui/objects?kind=customer")
        second = operator.get(first.link("Older"))
        seen = [
            each.get_text() for page in (first, second) for each in page.soup.select("tbody th a")
        ]
        assert len(seen) == len(set(seen)) == 60
        assert "Older" not in second.text

    def test_signing_secrets_are_not_shown(self, world, operator, endpoint):
        page = operator.get(f"/_sandbox/ui/objects/{endpoint.id}")
        assert str(endpoint.secret) not in page.answer.get_data(as_text=True)

    @pytest.mark.parametrize(
        "path", ["ui/objects/sub_x", "ui/events/evt_x", "ui/requests/req_x", "ui/accounts/acct_x"]
    )
    def test_what_is_not_there_is_404(self, operator, path):
        page = operator.get(f"/_sandbox/{path}")
        assert page.status == 404
        assert "There is nothing here" in page.text

    def test_json_is_escaped_and_its_ids_are_links(self, world):
        with world.app.test_request_context():
            html = pretty({"in_1": '<b> "in_2"', "invoice": "in_3", "n": 1, "x": None})
        assert "<b>" not in html
        soup = BeautifulSoup(html, "html.parser")
        assert [each["href"] for each in soup.select("a")] == ["/_sandbox/ui/objects/in_3"]
        assert json.loads(soup.get_text())["in_1"] == '<b> "in_2"'


class TestButtons:
    def page(self, operator, identifier):
        return operator.get(f"/_sandbox/ui/objects/{identifier}")

    def test_a_renewal_is_walked_through_with_buttons(self, world, operator):
        subscription = world.subscribe(world.licensed())
        page = self.page(operator, subscription.id)
        planned = page.press("Decline the next charge").follow()
        assert "The next automatic charge will be declined." in planned.text
        ended = planned.press("End the period now").follow()
        assert "The period has ended." in ended.text
        draft = world.api.v1.invoices.list({"status": "draft"}).data[0]
        final = self.page(operator, draft.id).press("Finalize and charge now").follow()
        assert "open" in final.text
        found = world.api.v1.subscriptions.retrieve(subscription.id)
        assert found.status == "past_due"
        assert operator.get(final.link("Open its page")).status == 200
        paid = final.press("Try the charge again").follow()
        assert paid.soup.select("form[action$=retry]") == []
        found = world.api.v1.subscriptions.retrieve(subscription.id)
        assert found.status == "active"

    def test_retries_can_be_ended_the_way_the_account_wants(self, world, operator):
        account = operator.get(f"/_sandbox/ui/accounts/{world.account}")
        assert account.press("Save", end="unpaid").follow().status == 200
        subscription = world.subscribe(world.licensed())
        self.page(operator, subscription.id).press("Ask for 3-D Secure")
        self.page(operator, subscription.id).press("End the period now")
        draft = world.api.v1.invoices.list({"status": "draft"}).data[0]
        self.page(operator, draft.id).press("Finalize")
        assert "invoice.payment_action_required" in world.event_types()
        self.page(operator, subscription.id).press("End the retries now")
        assert world.api.v1.subscriptions.retrieve(subscription.id).status == "unpaid"

    def test_a_session_can_be_let_expire(self, world, operator):
        session = world.session(world.licensed())
        page = self.page(operator, session.id)
        assert urlsplit(page.link("Open its page")).path == f"/c/pay/{session.id}"
        assert "The session has expired." in page.press("Let it expire").follow().text
        assert world.api.v1.checkout.sessions.retrieve(session.id).status == "expired"
        late = page.press("Let it expire")
        assert late.status == 409
        assert "this can't be done any more" in late.text

    def test_a_button_that_is_not_there_can_not_be_pressed(self, world, operator):
        subscription = world.subscribe(world.licensed())
        address = f"/_sandbox/ui/objects/{subscription.id}"
        assert operator.post(f"{address}/end-retries", {}).status == 409
        assert operator.post(f"{address}/nonsense", {}).status == 409
        assert operator.post("/_sandbox/ui/objects/sub_x/end-period", {}).status == 404

    def test_an_event_is_sent_again(self, world, operator, endpoint):
        world.subscribe(world.licensed())
        world.tick()
        before = len(world.sent)
        listing = operator.get("/_sandbox/ui/events?type=checkout.session.completed")
        page = operator.get(listing.link("checkout.session.completed"))
        assert "queued again" in page.press("Send again").follow().text
        done = operator.get("/_sandbox/").press("Do what is due").follow()
        assert "waiting webhooks were sent" in done.text
        assert len(world.sent) == before + 1
        assert world.sent[-1][2] in [body for _, _, body in world.sent[:before]]
        assert operator.post(f"{urlsplit(page.url).path}/resend", {"endpoint": "x"}).status == 404

    def test_a_platform_and_its_account_are_made_by_hand(self, world, operator):
        made = operator.get("/_sandbox/ui/accounts").press("Create and show its key", name="New")
        assert made.status == 201
        key = made.soup.select_one("dd code").get_text()
        assert key.startswith("sk_test_sandbox_")
        listing = operator.get("/_sandbox/ui/accounts")
        assert key not in listing.answer.get_data(as_text=True)
        forms = [each for each in listing.soup.select("form") if "Connect" in each.get_text()]
        platform = forms[-1].select_one("[name=platform]")["value"]
        answer = operator.post(
            "/_sandbox/ui/accounts",
            {
                "platform": str(platform),
                "name": "Kyoto Maps",
                "country": "jp",
                "default_currency": "JPY",
                "charges_enabled": "yes",
            },
        )
        page = answer.follow()
        assert "Kyoto Maps" in page.text
        assert '"default_currency": "jpy"' in page.soup.select_one("pre").get_text()

    def test_an_account_loses_access_and_gets_it_back(self, world, operator):
        address = f"/_sandbox/ui/accounts/{world.account}"
        revoked = {"end": "cancel", "revoked": "yes", "charges_enabled": "yes"}
        assert operator.post(address, revoked).status == 303
        with pytest.raises(stripe.PermissionError):
            world.api.v1.products.list()
        operator.get(address).press("Save")
        with pytest.raises(stripe.PermissionError):
            world.api.v1.products.list()
        operator.post(address, {"end": "cancel"})
        world.api.v1.products.list()
        account = world.platform_api.v1.accounts.retrieve(world.account)
        assert account.charges_enabled is False
        assert operator.post(address, {"end": "shrug"}).status == 400

    def test_forgetting_everything_needs_the_box_ticked(self, world, operator):
        assert operator.post("/_sandbox/ui/reset", {}).status == 400
        assert world.look("/accounts")
        page = operator.get("/_sandbox/").press("Reset", sure="yes").follow()
        assert "Everything is forgotten." in page.text
        assert world.look("/accounts") == []

    def test_the_pages_carry_a_strict_policy(self, operator):
        policy = operator.get("/_sandbox/").answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "form-action 'self'" in policy
        assert BASE not in policy
