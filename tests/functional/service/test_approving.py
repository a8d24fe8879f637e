"""Payment, approval or both: what each needs, in any order, and what a rejection undoes."""

import pytest
from sqlalchemy.orm.attributes import set_committed_value

from portal import jobs
from portal.billing.values import Refunded
from portal.errors import Conflict, Invalid
from portal.extensions import db
from portal.flows import approving, payments
from portal.models import Need, Refund, RefundStatus, Subscription, Tenant, Workflow
from portal.services import access, refunds, situations, subscribing
from portal.web.unit_of_work import unit_of_work
from tests.functional.service.conftest import start_sale

pytestmark = pytest.mark.all_databases


@pytest.fixture
def admin(factories):
    return factories.user("olga", "admin").user_id


@pytest.fixture
def bought(app, engine, factories, browser):
    """Subscribe to a commercial plan where the tenant asks for this."""

    def start(need=Need.BOTH):
        factories.tenant().subscriptions_need = need
        db.session.commit()
        return start_sale(app, engine, factories, browser, factories.fixed_policy(name="Bronze"))

    return start


def approve(sale, admin):
    approving.approve(sale.subscription.subscription_id, admin)


def reject(sale, admin, reason="Unknown company."):
    approving.reject(sale.engine_for, sale.subscription.subscription_id, admin, reason)


def words(sale):
    return situations.of(sale.subscription).words


def refusal(sale):
    return access.explain(sale.subscription).slug


def paid_back(sale):
    return sum(sale.engine.provider.refunds.values())


def living(sale):
    found = sale.engine.provider.contracts.values()
    return [each for each in found if not each.snapshot.status.is_over]


def test_without_the_setting_a_payment_is_all_that_is_needed(bought):
    sale = bought(Need.PAYMENT)
    sale.pay()
    assert sale.status == "UNBLOCKED"
    assert sale.subscription.approval == "NOT_REQUIRED"


def test_paid_but_not_approved_it_is_on_hold_and_says_so(bought, admin):
    sale = bought()
    sale.pay()

    assert sale.status == "ON_HOLD"
    assert words(sale) == "Paid; waits for approval"
    assert refusal(sale) == "approval-pending"

    approve(sale, admin)

    assert sale.status == "UNBLOCKED"
    assert sale.moves == ["SUBSCRIBE", "PAY", "APPROVE"]


def test_approved_but_not_paid_it_is_on_hold_and_says_so(bought, admin):
    sale = bought()
    approve(sale, admin)

    assert sale.status == "ON_HOLD"
    assert words(sale).startswith("Approved, not paid yet.")
    assert refusal(sale) == "payment-pending"

    sale.pay()

    assert sale.status == "UNBLOCKED"


def test_neither_paid_nor_approved_it_says_both(bought):
    sale = bought()
    assert words(sale) == "Waits for payment; waits for approval too"
    answer = access.explain(sale.subscription)
    assert answer.slug == "payment-pending"
    assert [cause.slug for cause in answer.also] == ["approval-pending"]


def test_with_approval_alone_nothing_is_charged(bought, admin):
    sale = bought(Need.APPROVAL)
    assert sale.status == "ON_HOLD"
    assert words(sale) == "Waits for approval"
    sale.browser.get(f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}", expect=409)

    approve(sale, admin)

    assert sale.status == "UNBLOCKED"
    assert sale.engine.provider.pages == {}


def test_a_free_plan_waits_for_approval_too(factories, admin):
    policy = factories.policy()
    api = factories.api(None, policy)
    application = factories.application()
    factories.tenant().subscriptions_need = Need.BOTH
    db.session.commit()
    with unit_of_work():
        made = subscribing.subscribe(application.owner, application, api, policy)
    assert made.status == "ON_HOLD"

    approving.approve(made.subscription_id, admin)

    db.session.rollback()
    assert db.session.get(Subscription, made.subscription_id).status == "UNBLOCKED"


def test_a_change_of_the_setting_holds_for_new_subscriptions_only(bought):
    sale = bought()
    db.session.query(Tenant).one().subscriptions_need = Need.PAYMENT
    db.session.commit()
    sale.pay()
    assert sale.status == "ON_HOLD"


def test_a_rejection_after_payment_cancels_and_pays_back(bought, admin):
    sale = bought()
    sale.pay()

    reject(sale, admin)

    assert sale.status == "ENDED"
    assert living(sale) == []
    assert paid_back(sale) == 999
    assert sale.moves == ["SUBSCRIBE", "PAY", "REJECT", "REFUNDED", "END"]
    assert "not approved" in words(sale)
    history = [line.detail for line in situations.history(sale.subscription)]
    assert any("9.99 USD were paid back" in detail for detail in history)
    assert any("Unknown company." in detail for detail in history)
    assert db.session.query(Workflow).filter_by(wf_status="REJECTED").count() == 1
    # What the provider tells about it afterwards changes nothing.
    sale.deliver(*sale.engine.provider.events[-1:])
    jobs.sweep()
    assert paid_back(sale) == 999


def test_a_refund_that_was_read_while_it_was_due_is_written_down_once(bought, admin):
    sale = bought()
    sale.pay()
    reject(sale, admin)
    before = sale.moves
    with unit_of_work():
        refund = db.session.query(Refund).one()
        set_committed_value(refund, "status", RefundStatus.DUE)
        refunds.done(refund, Refunded(amount_minor=999, currency="usd"))
    assert sale.moves == before


def test_a_rejection_before_payment_closes_the_page(bought, admin):
    sale = bought()
    session_id = sale.open_page()

    reject(sale, admin)

    assert sale.status == "REJECTED"
    assert words(sale) == "Not approved"
    assert sale.engine.provider.pages[session_id].session.state == "expired"
    assert not sale.subscription.can_try_again
    assert refusal(sale) == "approval-rejected"
    sale.browser.get(f"/api/am/stripe/checkout-url?subscriptionId={sale.uuid}")
    assert len(sale.engine.provider.pages) == 1


def test_a_payment_that_wins_against_a_rejection_goes_back(bought, admin):
    sale = bought()
    events = sale.engine.provider.pay(sale.open_page())

    reject(sale, admin)
    sale.deliver(*events)
    jobs.sweep()

    assert living(sale) == []
    assert paid_back(sale) == 999
    assert sale.status == "ENDED"


def test_a_rejection_while_the_provider_is_away_is_finished_by_the_worker(bought, admin):
    sale = bought()
    sale.pay()
    sale.engine.provider.is_down = True
    reject(sale, admin)
    assert sale.status == "REJECTED"
    assert db.session.query(Refund).one().status == "DUE"

    sale.engine.provider.is_down = False
    jobs.sweep()

    assert sale.status == "ENDED"
    assert paid_back(sale) == 999


def test_a_page_that_could_not_be_closed_is_closed_by_the_worker(bought, admin):
    sale = bought()
    session_id = sale.open_page()
    sale.engine.provider.is_down = True
    reject(sale, admin)
    sale.engine.provider.is_down = False

    jobs.sweep()

    assert sale.engine.provider.pages[session_id].session.state == "expired"


def test_after_a_rejection_the_application_may_ask_again(bought, admin):
    sale = bought()
    sale.pay()
    reject(sale, admin)
    ended = sale.subscription
    with unit_of_work():
        policy = ended.policy_version.policy
        again = subscribing.subscribe(ended.application.owner, ended.application, ended.api, policy)
    assert again.status == "ON_HOLD"


def test_a_decision_is_made_once(bought, admin):
    sale = bought()
    approve(sale, admin)
    with pytest.raises(Conflict, match="already been approved"):
        reject(sale, admin)
    assert sale.moves == ["SUBSCRIBE", "APPROVE"]


def test_a_rejection_says_why(bought, admin):
    sale = bought()
    for reason in ("  ", "x" * 501):
        with pytest.raises(Invalid):
            reject(sale, admin, reason)
    assert sale.moves == ["SUBSCRIBE"]


def test_after_an_unsubscription_there_is_nothing_to_decide(bought, admin):
    sale = bought()
    payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")
    with pytest.raises(Conflict, match="ended"):
        approve(sale, admin)


def test_unsubscribing_from_what_was_rejected_removes_it(bought, admin):
    sale = bought()
    reject(sale, admin)
    payments.end(sale.engine_for, sale.uuid, actor="dana", because="Unsubscribed.")
    assert sale.status == "ENDED"


def test_a_rejected_subscription_cannot_be_tried_again(bought, admin):
    sale = bought()
    sale.open_page()
    reject(sale, admin)
    with pytest.raises(Conflict):
        payments.try_again(
            sale.engine,
            sale.uuid,
            sale.subscription.application.owner_id,
            payments.ReturnUrls(success="http://x/{CHECKOUT_SESSION_ID}", cancel="http://x/"),
        )
