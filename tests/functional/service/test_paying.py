"""From Complete Payment to an active subscription, whatever arrives first."""

import pytest
import time_machine

from portal import clock
from portal.errors import Conflict
from portal.extensions import db
from portal.flows import payments
from portal.models import (
    CheckoutAttempt,
    EngineSubscription,
    SharedCustomer,
    Subscription,
    Workflow,
)
from portal.services import checkouts, subscribing
from portal.web.unit_of_work import unit_of_work

pytestmark = pytest.mark.all_databases


def test_a_commercial_subscription_waits_for_its_payment(sale):
    assert sale.status == "ON_HOLD"
    assert sale.moves == ["SUBSCRIBE"]
    assert db.session.query(Workflow).one().wf_status == "CREATED"


def test_complete_payment_leads_to_the_payment_page(sale):
    sale.browser.get(
        f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}", follow=False, expect=303
    )

    attempt = db.session.query(CheckoutAttempt).one()
    assert sale.browser.location == attempt.checkout_url
    assert attempt.session_id in sale.engine.provider.pages


def test_pressing_twice_leads_to_the_same_page(sale):
    sale.open_page()
    first = sale.browser.location
    sale.open_page()

    assert sale.browser.location == first
    assert db.session.query(CheckoutAttempt).count() == 1
    assert len(sale.engine.provider.pages) == 1


def test_a_lost_answer_opens_no_second_page(sale):
    sale.engine.provider.lose_answers = 2
    path = f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}"
    sale.browser.get(path, expect=503)
    sale.browser.get(path, expect=503)

    sale.open_page()

    assert len(sale.engine.provider.pages) == 1
    assert db.session.query(SharedCustomer).one().shared_customer_id is not None


def test_nothing_is_half_written_while_the_provider_is_down(sale):
    sale.engine.provider.is_down = True
    page = sale.browser.get(f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}", expect=503)
    assert "does not answer" in page.text
    assert sale.status == "ON_HOLD"

    sale.engine.provider.is_down = False
    sale.pay()

    assert sale.status == "UNBLOCKED"


def test_the_webhook_activates(sale):
    sale.pay()

    assert sale.status == "UNBLOCKED"
    assert sale.moves == ["SUBSCRIBE", "PAY"]
    assert db.session.query(Workflow).one().wf_status == "APPROVED"
    assert db.session.query(EngineSubscription).one().connected_account == sale.account


def test_the_browser_activates_when_it_is_first(sale):
    session_id = sale.open_page()
    events = sale.engine.provider.pay(session_id)
    sale.browser.get(
        f"/api/am/stripe/complete-session?session_id={session_id}", follow=False, expect=303
    )
    assert sale.status == "UNBLOCKED"

    sale.deliver(*events)

    assert sale.moves == ["SUBSCRIBE", "PAY"]
    assert db.session.query(EngineSubscription).count() == 1


def test_coming_back_without_paying_changes_nothing(sale):
    session_id = sale.open_page()
    answer = sale.app.test_client().get(f"/api/am/stripe/complete-session?session_id={session_id}")

    assert answer.status_code == 402
    assert sale.status == "ON_HOLD"


def test_complete_session_answers_programs_as_documented(sale):
    client = sale.app.test_client()
    path = "/api/am/stripe/complete-session"
    assert client.get(path).status_code == 400
    assert client.get(f"{path}?session_id=cs_of_somebody").status_code == 404
    session_id = sale.open_page()
    sale.engine.provider.pay(session_id)

    assert client.get(f"{path}?session_id={session_id}").json == {"status": "completed"}
    assert client.get(f"{path}?session_id={session_id}").json == {"status": "already_completed"}


def test_a_payment_page_that_lapses_cancels_the_subscription(sale):
    sale.deliver(*sale.engine.provider.expire(sale.open_page()))

    assert sale.status == "REJECTED"
    assert db.session.query(Workflow).one().wf_status == "REJECTED"


def test_try_again_opens_a_new_page_that_can_be_paid(sale):
    sale.deliver(*sale.engine.provider.expire(sale.open_page()))
    urls = payments.ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/")
    user_id = sale.subscription.application.owner_id
    payments.try_again(sale.engine, sale.uuid, user_id, urls)
    assert sale.status == "ON_HOLD"

    sale.pay()

    assert sale.status == "UNBLOCKED"
    assert sale.moves == ["SUBSCRIBE", "LAPSE", "TRY_AGAIN", "PAY"]


def test_an_older_pages_expiry_changes_nothing(sale):
    lapsed = sale.engine.provider.expire(sale.open_page())
    sale.deliver(*lapsed)
    urls = payments.ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/")
    payments.try_again(sale.engine, sale.uuid, sale.subscription.application.owner_id, urls)

    again = sale.engine.provider.tell(
        "checkout.session.expired",
        sale.account,
        next(iter(sale.engine.provider.pages.values())).session,
    )
    sale.deliver(again)

    assert sale.status == "ON_HOLD"


@pytest.mark.parametrize(
    ("minutes", "status"), [(23 * 60 + 59, "ON_HOLD"), (24 * 60 + 1, "REJECTED")]
)
def test_an_expiry_that_never_arrived_is_found_after_24_hours(sale, minutes, status):
    sale.open_page()
    with time_machine.travel(clock.now().timestamp() + minutes * 60, tick=False):
        payments.sweep(sale.engine_for)

        assert sale.status == status


def test_an_attempt_that_was_never_opened_lapses_too(sale):
    attempt_only(sale)
    with time_machine.travel(clock.now().timestamp() + 24 * 3600 + 60, tick=False):
        payments.sweep(sale.engine_for)

        assert sale.status == "REJECTED"


def test_an_attempt_that_stripe_would_not_open_any_more_makes_room_for_a_new_one(sale):
    attempt_only(sale)
    with time_machine.travel(clock.now().timestamp() + 23 * 3600 + 2400, tick=False):
        sale.browser.sign_in("dana")
        sale.pay()

    assert sale.status == "UNBLOCKED"
    attempts = db.session.query(CheckoutAttempt).order_by(CheckoutAttempt.attempt_id)
    assert [row.status for row in attempts] == ["EXPIRED", "COMPLETED"]


def attempt_only(sale):
    urls = payments.ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/")
    with unit_of_work():
        subscription = sale.subscription
        checkouts.attempt_for(subscription, subscription.application.owner, urls)


def test_a_subscription_that_lost_its_attempt_lapses_after_a_day_too(sale):
    attempt_only(sale)
    attempt = db.session.query(CheckoutAttempt).one()
    attempt.status, attempt.open_key = "EXPIRED", None
    db.session.commit()
    payments.sweep(sale.engine_for)
    assert sale.status == "ON_HOLD"

    with time_machine.travel(clock.now().timestamp() + 24 * 3600 + 60, tick=False):
        payments.sweep(sale.engine_for)

    assert sale.status == "REJECTED"


def test_a_rename_after_a_lost_answer_does_not_stop_the_payment(sale):
    sale.engine.provider.lose_answers = 1
    path = f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}"
    sale.browser.get(path, expect=503)
    application = sale.subscription.application
    application.name = "Another name"
    db.session.commit()

    sale.pay()

    assert sale.status == "UNBLOCKED"


def test_one_denied_account_holds_up_no_other(app, engine, factories, browser):
    from portal.flows import refreshing
    from tests.functional.service.conftest import start_sale

    sales = [
        start_sale(app, engine, factories, type(browser)(app), factories.fixed_policy(), name)
        for name in ("anna", "bert", "carl")
    ]
    for one in sales:
        one.pay()
    first, second, third = sales
    denied = [one.subscription.subscription_id for one in (first, second)]
    rows = db.session.query(Subscription)
    rows.update({"refresh_due": True})
    rows.filter(Subscription.subscription_id.in_(denied)).update(
        {"connected_account": "acct_denied"}
    )
    records = db.session.query(EngineSubscription)
    records.filter(EngineSubscription.am_subscription_id.in_(denied)).update(
        {"connected_account": "acct_denied"}
    )
    db.session.commit()
    engine.provider.disconnect("acct_denied")

    for _ in range(2):
        refreshing.refresh_due(third.engine_for, limit=2)

    assert not third.subscription.refresh_due
    assert first.subscription.refresh_due


def test_the_worker_reads_the_billing_period_after_activation(sale):
    engine_id = sale.pay()

    snapshot = sale.engine.provider.contracts[engine_id].snapshot
    assert sale.subscription.period_end == snapshot.period_end
    assert not sale.subscription.refresh_due


def test_the_same_application_may_subscribe_again_after_the_end(sale):
    sale.pay()
    payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")
    ended = sale.subscription
    with unit_of_work():
        policy = ended.policy_version.policy
        subscribing.subscribe(ended.application.owner, ended.application, ended.api, policy)

    assert db.session.query(Subscription).count() == 2


def test_there_is_never_a_second_living_subscription(sale):
    first = sale.subscription
    policy, owner = first.policy_version.policy, first.application.owner
    with pytest.raises(Conflict, match="already subscribed"):
        subscribing.subscribe(owner, first.application, first.api, policy)


def test_another_persons_subscription_is_not_found(sale, factories):
    factories.user("mallory", "subscriber")
    other = type(sale.browser)(sale.app).sign_in("mallory")

    other.get(f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}", expect=404)
    other.get(
        f"/api/am/stripe/portal-url?subscriptionId={sale.uuid}&tenantDomain=carbon.super",
        expect=404,
    )


def test_a_visitor_signs_in_and_comes_back(sale):
    path = f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}"
    visitor = type(sale.browser)(sale.app).get(path)
    assert visitor.soup.h1.get_text() == "Sign in"

    visitor.submit(
        "Sign in", {"username": "dana", "password": "open sesame"}, follow=False, expect=303
    )

    assert visitor.location == path


def test_the_customer_portal_opens_for_the_payer(sale):
    sale.pay()
    sale.browser.get(
        f"/api/am/stripe/portal-url?subscriptionId={sale.uuid}&tenantDomain=carbon.super",
        follow=False,
        expect=303,
    )
    assert sale.browser.location.startswith("https://")


def test_a_tenant_in_the_address_must_be_the_subscriptions_own(sale):
    sale.pay()
    sale.browser.get(
        f"/api/am/stripe/portal-url?subscriptionId={sale.uuid}&tenantDomain=other.example",
        expect=404,
    )
