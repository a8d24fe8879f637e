"""``flask doctor`` and Admin > Set-up > Check: each fault turns exactly its check red."""

import json
from dataclasses import replace
from datetime import timedelta

import flask_migrate
import pytest
from cryptography.fernet import Fernet

from portal import clock
from portal.cli.doctor import doctor
from portal.extensions import db
from portal.models import CheckoutAttempt, InboxEvent, SharedCustomer
from portal.vault import vault

ACCOUNT = "acct_memory_publisher"
SECRETS = ("sk_test_memory_1234", "whsec_memory_secret_0001")


class Shop:
    """A tenant that sells, with nothing wrong, and ways to break it."""

    def __init__(self, factories, engine, admin):
        self.factories, self.engine, self.admin = factories, engine, admin
        self.provider = engine.provider
        self.tenant = factories.tenant()
        self.policy = factories.fixed_policy()
        self.api = factories.api("Weather", self.policy)
        self.offer = factories.offer(self.api, self.policy, engine, ACCOUNT)
        admin.get("/admin/").submit("Register webhook")

    def hook(self, **changes):
        (name, hook), *_ = self.provider.webhooks.items()
        self.provider.webhooks[name] = replace(hook, **changes)

    def portal(self, **changes):
        portals = self.provider.account(ACCOUNT).portals
        (name, state), *_ = portals.items()
        portals[name] = replace(state, **changes)

    def change_tenant(self, **values):
        for name, value in values.items():
            setattr(self.tenant, name, value)
        self.factories.save(self.tenant)

    def parked(self, outcome, **more):
        self.factories.save(
            InboxEvent(
                tenant_id=self.tenant.tenant_id,
                event_id="evt_1",
                type="invoice.payment_failed",
                account=ACCOUNT,
                livemode=False,
                created=1,
                payload_zlib=InboxEvent.pack(b"{}"),
                outcome=outcome,
                **more,
            )
        )

    def lapsed_attempt(self):
        row = self.factories.subscription(
            api=self.api, policy=self.policy, billing="PENDING", connected_account=ACCOUNT
        )
        customer = self.factories.save(
            SharedCustomer(
                application_id=row.application_id,
                api_provider="p",
                tenant_id=row.tenant_id,
                connected_account=ACCOUNT,
                currency="usd",
            )
        )
        self.factories.save(
            CheckoutAttempt(
                am_subscription_id=row.subscription_id,
                workflow_reference="1",
                subscriber_id=row.application.owner_id,
                tenant_id=row.tenant_id,
                api_uuid=self.api.api_uuid,
                connected_account=ACCOUNT,
                customer_id=customer.id,
                mapping_id=self.offer.mapping_id,
                success_url="/",
                cancel_url="/",
                expires_at=clock.now() - timedelta(hours=1),
            )
        )


@pytest.fixture
def shop(app, factories, engine, browser):
    flask_migrate.stamp()
    factories.tenant()
    factories.user("admin", "admin")
    return Shop(factories, engine, browser.sign_in("admin"))


@pytest.fixture
def findings(app, shop):
    """Runs the command and returns its exit code and what each check said."""

    def run():
        result = app.test_cli_runner().invoke(doctor, ["--json"])
        for secret in SECRETS:
            assert secret not in result.output
        report = json.loads(result.output)["carbon.super"]
        return result.exit_code, {item["check"]: item for item in report["findings"]}

    return run


def test_nothing_is_wrong_with_a_shop_that_works(findings):
    code, found = findings()
    assert code == 0
    assert {item["state"] for item in found.values()} <= {"GOOD", "OPEN"}
    open_ones = {name for name, item in found.items() if item["state"] == "OPEN"}
    # SQLite has no clock of its own, and no event has arrived yet.
    assert open_ones == {"database-clock", "signatures"}


def _other_keys(shop):
    vault.configure([Fernet.generate_key().decode()])


def _no_schema(shop):
    with db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    db.session.rollback()


def _refused_signature(shop):
    shop.change_tenant(last_refused_event_at=clock.now(), refused_events=3)


def _gone_portal(shop):
    shop.provider.account(ACCOUNT).portals.clear()


def _second_account_nameless(shop):
    api = shop.factories.api("Tides", shop.policy)
    api.is_monetization_enabled = True
    shop.factories.save(api)


def _cannot_charge(shop):
    shop.provider.account(ACCOUNT).card_payments = False


def _other_zone(shop):
    shop.provider.account(ACCOUNT).timezone = "America/New_York"


#: fault -> check that turns red, how it is done, words of the remedy
FAULTS = {
    "tables of another version": ("database-version", _no_schema, "flask db upgrade"),
    "another encryption key": ("secrets-readable", _other_keys, "ENCRYPTION_KEYS"),
    "no platform key": (
        "key-stored",
        lambda shop: shop.change_tenant(platform_key=None),
        "Advanced configuration",
    ),
    "a live key for a stand-in": (
        "key-kind",
        lambda shop: shop.change_tenant(platform_key="sk_live_1234567890"),
        "another key",
    ),
    "nobody answers": (
        "provider-answers",
        lambda shop: setattr(shop.provider, "is_down", True),
        "STRIPE_API_BASE",
    ),
    "a key that was revoked": (
        "key-works",
        lambda shop: shop.provider.refused_keys.add("sk_test_memory_1234"),
        "Copy the secret key again",
    ),
    "a clock that is wrong": (
        "clock",
        lambda shop: setattr(shop.provider, "skew", timedelta(minutes=3)),
        "NTP",
    ),
    "no signing secret": (
        "webhook-secret",
        lambda shop: shop.change_tenant(webhook_secrets=[]),
        "Register webhook",
    ),
    "no webhook at Stripe": (
        "webhook-registered",
        lambda shop: shop.provider.webhooks.clear(),
        "Register webhook",
    ),
    "a webhook of another address": (
        "webhook-registered",
        lambda shop: shop.hook(url="https://old.example/api/am/stripe/webhook"),
        "Register webhook",
    ),
    "a webhook that is off": (
        "webhook-enabled",
        lambda shop: shop.hook(is_enabled=False),
        "Workbench > Webhooks",
    ),
    "a webhook of the platform only": (
        "webhook-scope",
        lambda shop: shop.hook(hears_connected=False),
        "connected accounts",
    ),
    "a webhook that misses events": (
        "webhook-events",
        lambda shop: shop.hook(event_types=frozenset({"checkout.session.completed"})),
        "Add these events",
    ),
    "a webhook of another version": (
        "webhook-version",
        lambda shop: shop.hook(api_version="2024-06-20"),
        "never changes",
    ),
    "another webhook's secret": ("signatures", _refused_signature, "Copy it from Stripe"),
    "an event given up": ("events-dead", lambda shop: shop.parked("dead"), "replay"),
    "an API without an account": ("accounts-named", _second_account_nameless, "acct_"),
    "an account that was disconnected": (
        "accounts-connected",
        lambda shop: shop.provider.disconnect(ACCOUNT),
        "Connect the account",
    ),
    "an account that cannot charge": ("accounts-charge", _cannot_charge, "Stripe dashboard"),
    "an account in another time zone": ("accounts-timezone", _other_zone, "Account details"),
    "a right that is missing": (
        "key-rights",
        lambda shop: shop.provider.missing_rights.append("Invoices"),
        "Tick these rights",
    ),
    "no right to see webhooks": (
        "key-rights",
        lambda shop: shop.provider.missing_rights.append("Webhook Endpoints"),
        "Tick these rights",
    ),
    "a Customer Portal that is gone": ("portal-there", _gone_portal, "Press Save"),
    "a Customer Portal without cancelling": (
        "portal-features",
        lambda shop: shop.portal(cancels=False),
        "Customer portal",
    ),
    "a Customer Portal that leads elsewhere": (
        "portal-return",
        lambda shop: shop.portal(return_url="https://old.example/"),
        "Press Save",
    ),
    "no worker": ("background-work", lambda shop: shop.lapsed_attempt(), "flask worker"),
    "a worker that leaves events": (
        "background-work",
        lambda shop: shop.parked("parked", next_try_at=clock.now() - timedelta(hours=1)),
        "flask worker",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_turns_exactly_its_check_red(name, shop, findings):
    check, break_it, remedy = FAULTS[name]
    break_it(shop)
    code, found = findings()
    assert code == 1
    assert {name for name, item in found.items() if item["state"] == "FAULT"} == {check}
    assert remedy in found[check]["message"] + " " + found[check]["remedy"]
    assert found[check]["remedy"]


def test_what_a_person_has_to_look_at_is_said_and_is_no_fault(shop, findings):
    shop.provider.account(ACCOUNT).timezone = None
    shop.change_tenant(checkout_success_url="https://shop.example/?s={CHECKOUT_SESSION_ID}")
    shop.admin.get("/admin/").submit("Register webhook")
    code, found = findings()
    assert code == 0
    reminders = {name for name, item in found.items() if item["state"] == "REMINDER"}
    assert reminders == {"accounts-timezone", "checkout-return", "webhook-doubled"}


def test_the_page_shows_what_the_command_says(shop):
    shop.provider.account(ACCOUNT).card_payments = False
    page = shop.admin.get("/admin/check")
    assert "1 thing is wrong" in page.text
    rows = {row.th.get_text(strip=True): row for row in page.soup.select("table tbody tr")}
    assert "Wrong" in rows["Card payments"].get_text()
    assert ACCOUNT in rows["Card payments"].get_text()
    assert "Good" in rows["Webhook events"].get_text()
    for secret in SECRETS:
        assert secret not in page.response.get_data(as_text=True)


def test_the_terminal_says_what_to_do(app, shop):
    shop.hook(is_enabled=False)
    result = app.test_cli_runner().invoke(doctor, ["--tenant", "carbon.super"])
    assert result.exit_code == 1
    assert "✗ Webhook on: Stripe has switched the webhook off." in result.output
    assert "1 thing is wrong." in result.output
    assert app.test_cli_runner().invoke(doctor, ["--tenant", "nobody"]).exit_code == 1


def test_looking_changes_nothing(app, shop, findings):
    before = list(shop.provider.calls)
    findings()
    asked = shop.provider.calls[len(before) :]
    assert asked == ["test_key", "webhooks", "check_account", "portal_state", "missing_rights"]
    assert not db.session.new
    assert not db.session.dirty


@pytest.mark.all_databases
def test_the_databases_own_clock_is_read(shop, findings):
    _, found = findings()
    expected = "OPEN" if db.engine.dialect.name == "sqlite" else "GOOD"
    assert found["database-clock"]["state"] == expected


def test_with_a_live_key_people_come_over_tls(app, shop):
    from portal.flows import examining
    from portal.web.addresses import surroundings_of

    shop.change_tenant(platform_key="sk_live_1234567890")
    with app.test_request_context():
        around = replace(
            surroundings_of(shop.tenant), api_base="https://api.stripe.com", is_real_provider=True
        )
    report = examining.look_at(shop.tenant, lambda _tenant: shop.engine, around)
    assert [finding.name for finding in report.faults] == ["public-address"]
