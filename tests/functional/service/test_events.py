"""What the seven events do, in any order and however often they come."""

import itertools
import json

import pytest
import time_machine

from portal import clock
from portal.errors import NotConfigured
from portal.extensions import db
from portal.flows import refreshing
from portal.models import InboxEvent, Tenant
from portal.services import subscriptions
from portal.services.subscriptions import Cause, Move
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.conftest import WEBHOOK

pytestmark = pytest.mark.all_databases


@pytest.fixture
def paid(sale):
    """A sale that has been paid, with its engine's subscription id."""
    sale.engine_id = sale.pay()
    return sale


def later(seconds):
    return time_machine.travel(clock.now().timestamp() + seconds, tick=False)


def test_a_failed_renewal_blocks_and_its_payment_unblocks(paid):
    with later(60):
        paid.deliver(*paid.engine.provider.fail_renewal(paid.engine_id))
        assert paid.status == "BLOCKED"
        assert paid.subscription.pay_url
    with later(120):
        paid.deliver(*paid.engine.provider.pay_invoice(paid.engine_id))

        assert paid.status == "UNBLOCKED"
        assert paid.subscription.pay_url is None


def test_a_bank_that_asks_blocks_and_says_so(paid):
    with later(60):
        paid.deliver(*paid.engine.provider.require_action(paid.engine_id))

    assert paid.status == "BLOCKED"
    assert paid.subscription.needs_authentication


def test_that_the_bank_asks_is_known_whatever_arrives_first(paid):
    with later(60):
        asked, updated = paid.engine.provider.require_action(paid.engine_id)
        paid.deliver(updated, asked)

    assert paid.status == "BLOCKED"
    assert paid.subscription.needs_authentication
    assert paid.subscription.pay_url


def test_a_payment_does_not_lift_a_publishers_block(paid):
    with unit_of_work():
        subscriptions.make(paid.subscription, Move.BLOCK_ALL, Cause(because="Abuse.", actor="pat"))
    with later(60):
        paid.deliver(*paid.engine.provider.fail_renewal(paid.engine_id))
    with later(120):
        paid.deliver(*paid.engine.provider.pay_invoice(paid.engine_id))

    assert paid.status == "BLOCKED"


def test_an_ended_subscription_stays_ended_whatever_comes_late(paid):
    with later(60):
        failed = paid.engine.provider.fail_renewal(paid.engine_id)
    with later(120):
        paid.deliver(*paid.engine.provider.end(paid.engine_id))
        paid.deliver(*failed)

    assert paid.status == "ENDED"
    assert paid.subscription.live_key is None


def test_a_repeated_delivery_has_one_effect(paid):
    with later(60):
        events = paid.engine.provider.fail_renewal(paid.engine_id)
        for _ in range(3):
            paid.deliver(*events)

    assert paid.moves.count("FALL_BEHIND") == 1
    stored = db.session.query(InboxEvent).filter_by(event_id=events[0].event_id).one()
    assert stored.deliveries == 3


def test_every_order_of_a_failed_and_recovered_renewal_ends_as_at_the_engine(
    app, engine, factories, browser
):
    from tests.functional.service.conftest import start_sale

    # The order is a matter of the rules: servers of databases try every fifth one.
    step = 1 if db.engine.dialect.name == "sqlite" else 5
    for number, order in enumerate([*itertools.permutations(range(4))][::step]):
        plan = factories.fixed_policy()
        sale = start_sale(app, engine, factories, type(browser)(app), plan, f"dev{number}")
        engine_id = sale.pay()
        with later(60):
            events = engine.provider.fail_renewal(engine_id)
        with later(61):
            events += engine.provider.pay_invoice(engine_id)
        with later(120):
            sale.deliver(*(events[index] for index in order))
            refreshing.refresh_due(sale.engine_for)

        assert sale.status == "UNBLOCKED", order


def test_a_cancellation_in_the_customer_portal_shows_its_date_and_then_ends(paid):
    with later(60):
        paid.deliver(*paid.engine.provider.cancel_at_period_end(paid.engine_id))
        assert paid.subscription.cancel_at is not None
        assert paid.status == "UNBLOCKED"
    with later(120):
        paid.deliver(*paid.engine.provider.renew(paid.engine_id))

    assert paid.status == "ENDED"


def test_a_genuine_event_of_another_account_changes_nothing(paid):
    with later(60):
        snapshot = paid.engine.provider.contracts[paid.engine_id].snapshot
        forged = paid.engine.provider.tell(
            "customer.subscription.deleted", "acct_somebody_else", snapshot
        )
        paid.deliver(forged)

    assert paid.status == "UNBLOCKED"
    assert paid.outcomes[-1] == "ignored"


def test_a_genuine_payment_page_of_another_account_changes_nothing(sale):
    session_id = sale.open_page()
    page = sale.engine.provider.pages[session_id].session
    sale.engine.provider.pay(session_id)
    paid = sale.engine.provider.pages[session_id].session
    assert page.reference == sale.uuid
    sale.deliver(
        sale.engine.provider.tell("checkout.session.completed", "acct_somebody_else", paid)
    )

    assert sale.status == "ON_HOLD"


def test_a_live_event_at_a_test_tenant_changes_nothing(paid):
    with later(60):
        snapshot = paid.engine.provider.contracts[paid.engine_id].snapshot
        event = paid.engine.provider.tell(
            "customer.subscription.deleted", paid.account, snapshot, live=True
        )
        paid.deliver(event)

    assert paid.status == "UNBLOCKED"


def test_an_event_that_comes_before_its_subscription_is_known_is_tried_again(sale):
    session_id = sale.open_page()
    invoice_paid, completed = sale.engine.provider.pay(session_id)
    sale.deliver(invoice_paid)
    assert sale.outcomes == ["parked"]

    sale.deliver(completed)

    assert sale.outcomes[0] == "applied"
    assert sale.status == "UNBLOCKED"


def test_other_business_of_the_publisher_is_left_alone(sale):
    from dataclasses import replace

    session_id = sale.open_page()
    sale.engine.provider.pay(session_id)
    snapshot = next(iter(sale.engine.provider.contracts.values())).snapshot
    other = replace(snapshot, subscription_id="sub_of_a_shop", reference=None)
    sale.deliver(sale.engine.provider.tell("customer.subscription.updated", sale.account, other))

    assert sale.outcomes == ["ignored"]
    assert sale.status == "ON_HOLD"


def test_an_event_that_is_never_understood_is_given_up_where_an_administrator_sees_it(sale):
    session_id = sale.open_page()
    invoice_paid, _ = sale.engine.provider.pay(session_id)
    sale.deliver(invoice_paid)
    for step in range(1, 9):
        with later(600 * step):
            refreshing.retry_parked(sale.engine_for)

    assert sale.outcomes == ["dead"]


def test_an_event_waits_on_while_the_tenant_has_no_key(sale):
    def without_key(_tenant):
        raise NotConfigured("Enter the platform account's key under Configuration.")

    invoice_paid, _ = sale.engine.provider.pay(sale.open_page())
    sale.deliver(invoice_paid)
    with later(60):
        assert refreshing.retry_parked(without_key) == 1
        assert refreshing.retry_parked(without_key) == 0
    assert sale.outcomes == ["parked"]
    assert db.session.query(InboxEvent.attempts).scalar() == 2

    for step in range(2, 9):
        with later(600 * step):
            refreshing.retry_parked(without_key)
    assert sale.outcomes == ["dead"]
    assert "Enter the platform account's key" in db.session.query(InboxEvent.detail).scalar()


def test_an_event_type_that_nobody_asked_for_is_kept_and_ignored(paid):
    snapshot = paid.engine.provider.contracts[paid.engine_id].snapshot
    paid.deliver(paid.engine.provider.tell("customer.updated", paid.account, snapshot))

    assert paid.outcomes[-1] == "ignored"


@pytest.mark.parametrize("header", ["", "when=1;mac=00", "t=0,v1=junk", "x" * 5000])
def test_what_is_not_signed_stores_nothing_but_a_counter(app, factories, header):
    tenant = factories.tenant()
    answer = app.test_client().post(
        WEBHOOK, data=b'{"event": "evt_1"}', headers={"Stripe-Signature": header}
    )

    assert answer.status_code == 400
    assert answer.json == {"error": "Invalid signature"}
    assert db.session.query(InboxEvent).count() == 0
    db.session.refresh(tenant)
    assert tenant.refused_events == 1


def test_another_tenants_secret_does_not_open_this_one(app, engine, factories):
    other = factories.tenant("other.example")
    other.webhook_secrets = ["whsec_of_the_other_tenant"]
    factories.save(other)
    event = engine.provider.tell("customer.updated", "acct_1", None)
    answer = app.test_client().post(
        "/api/am/stripe/webhook?tenantDomain=other.example",
        data=event.payload,
        headers={"Stripe-Signature": event.header},
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/am/stripe/webhook?tenantDomain=nobody.example", 404),
        ("/api/am/stripe/webhook?tenantDomain=../x", 404),
    ],
)
def test_an_unknown_tenant_is_said_so(app, factories, path, status):
    factories.tenant()
    assert app.test_client().post(path, data=b"{}").status_code == status


def test_a_tenant_without_a_secret_refuses_everything(app, factories, engine):
    tenant = factories.tenant()
    tenant.webhook_secrets = []
    factories.save(tenant)
    event = engine.provider.tell("customer.updated", "acct_1", None)
    answer = app.test_client().post(
        WEBHOOK, data=event.payload, headers={"Stripe-Signature": event.header}
    )

    assert answer.status_code == 503


def test_a_body_over_a_megabyte_is_refused_unread(app, factories):
    factories.tenant()
    assert app.test_client().post(WEBHOOK, data=b"x" * (1024 * 1024 + 1)).status_code == 413


def test_two_secrets_are_valid_while_one_is_rotated(paid):
    tenant = db.session.query(Tenant).one()
    tenant.webhook_secrets = ["whsec_the_new_one", paid.engine.provider.webhook_secret]
    db.session.commit()
    with later(60):
        paid.deliver(*paid.engine.provider.fail_renewal(paid.engine_id))

    assert paid.status == "BLOCKED"


def test_the_payload_is_kept_as_it_came(paid):
    row = db.session.query(InboxEvent).order_by(InboxEvent.inbox_id.desc()).first()
    assert row.payload["event"] == row.event_id
    assert json.dumps(row.payload)


def test_an_events_outcome_says_what_changed(paid):
    with later(60):
        paid.deliver(paid.engine.provider.fail_renewal(paid.engine_id)[0])

    row = db.session.query(InboxEvent).order_by(InboxEvent.inbox_id.desc()).first()
    assert (row.status_before, row.status_after) == ("UNBLOCKED", "BLOCKED")


def test_an_event_that_tied_says_what_reading_the_present_state_gave(paid):
    with later(60):
        asked, updated = paid.engine.provider.require_action(paid.engine_id)
        paid.engine.provider.pay_invoice(paid.engine_id)
        paid.deliver(updated, asked)

    row = db.session.query(InboxEvent).filter_by(event_id=asked.event_id).one()
    assert (row.outcome, row.status_before, row.status_after) in (
        ("refreshed", "UNBLOCKED", "UNBLOCKED"),
        ("refreshed", "BLOCKED", "UNBLOCKED"),
    )
