"""The main job through the real SDK: from an account to a cancelled subscription."""

import json

import pytest
import stripe

from tests.sandbox.conftest import World


def test_a_connected_account_is_read_by_its_platform_only(world: World) -> None:
    account = world.platform_api.v1.accounts.retrieve(world.account)
    assert account.charges_enabled is True
    assert account.capabilities is not None
    assert account.capabilities.card_payments == "active"
    other = world.control("/platforms", name="Other")
    world.key = other["secret_key"]
    with pytest.raises(stripe.PermissionError) as refused:
        world.api.v1.products.list()
    assert refused.value.error is not None
    assert refused.value.error.code == "account_invalid"
    assert refused.value.request_id


def test_a_purchase_creates_subscription_and_paid_invoice_at_success_only(world: World) -> None:
    session = world.session(world.licensed(999))
    assert session.url == f"http://sandbox.test/c/pay/{session.id}"
    assert world.pay(session, number="4000000000000002")["kind"] == "declined"
    assert world.api.v1.checkout.sessions.retrieve(session.id).status == "open"
    assert world.api.v1.subscriptions.list({"status": "all"}).data == []

    assert world.pay(session)["kind"] == "paid"
    assert world.pay(session)["kind"] == "paid"
    paid = world.api.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
    assert (paid.status, paid.payment_status, paid.url) == ("complete", "paid", None)
    subscription = paid.subscription
    assert isinstance(subscription, stripe.Subscription)
    assert subscription.status == "active"
    assert subscription.metadata["ref"] == "s-1"
    invoice = world.api.v1.invoices.retrieve(str(paid.invoice))
    assert (invoice.status, invoice.total, invoice.amount_paid) == ("paid", 999, 999)
    assert invoice.parent is not None
    details = invoice.parent.subscription_details
    assert details is not None
    assert details.subscription == subscription.id
    assert details.metadata is not None
    assert details.metadata["ref"] == "s-1"
    assert len(world.api.v1.subscriptions.list().data) == 1


def test_the_events_of_a_purchase_come_in_stripes_usual_order(world: World) -> None:
    world.subscribe(world.licensed())
    types = world.event_types()
    expected = [
        "payment_method.attached",
        "invoice.created",
        "customer.subscription.created",
        "invoice.finalized",
        "payment_intent.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "checkout.session.completed",
    ]
    assert [type for type in types if type in expected] == expected


def test_webhooks_are_signed_and_name_the_account(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    world.subscribe(world.licensed())
    assert world.tick()["webhooks"] == 2
    for url, headers, body in world.sent:
        assert url == endpoint.url
        assert endpoint.secret is not None
        event = stripe.Webhook.construct_event(
            body, headers["Stripe-Signature"], endpoint.secret, tolerance=None
        )
        assert event.account == world.account
        assert event.api_version == "2026-04-22.dahlia"
    types = [json.loads(body)["type"] for _, _, body in world.sent]
    assert types == ["invoice.payment_succeeded", "checkout.session.completed"]


def test_metered_usage_is_previewed_and_invoiced_in_arrears(world: World) -> None:
    price = world.metered("0.25")
    subscription = world.subscribe(price)
    assert subscription.latest_invoice is None
    world.clock.advance(60)
    world.api.v1.billing.meter_events.create(
        {
            "event_name": "calls",
            "payload": {"stripe_customer_id": str(subscription.customer), "value": "25"},
            "identifier": "batch-1",
        }
    )
    world.clock.advance(60)
    preview = world.api.v1.invoices.create_preview({"subscription": subscription.id})
    assert preview.total == 6
    line = preview.lines.data[0]
    assert (line.quantity, line.amount) == (25, 6)
    assert line.description == "25 × Rates API - Pay-as-you-go (at $0.0025 / month)"

    ended = world.control(f"/subscriptions/{subscription.id}/end-period")
    draft = world.api.v1.invoices.retrieve(ended["invoice"]["id"])
    assert (draft.status, draft.total, draft.hosted_invoice_url) == ("draft", 6, None)
    final = world.control(f"/invoices/{draft.id}/finalize")
    # 6 cents are below the minimum charge: the invoice is paid and the customer owes the amount.
    assert (final["status"], final["total"], final["amount_due"]) == ("paid", 6, 0)
    customer = world.api.v1.customers.retrieve(str(subscription.customer))
    assert customer.balance == 6
    empty = world.api.v1.invoices.create_preview({"subscription": subscription.id})
    assert empty.lines.data[0].quantity == 0


def test_a_renewal_that_fails_is_past_due_until_the_customer_pays(
    world: World, endpoint: stripe.WebhookEndpoint
) -> None:
    subscription = world.subscribe(world.licensed())
    world.clock.advance(60)
    world.control(f"/subscriptions/{subscription.id}/fail-next-charge", outcome="card_declined")
    ended = world.control(f"/subscriptions/{subscription.id}/end-period")
    assert ended["subscription"]["status"] == "active"
    failed = world.control(f"/invoices/{ended['invoice']['id']}/finalize")
    assert (failed["status"], failed["attempt_count"]) == ("open", 1)
    assert failed["next_payment_attempt"] is not None
    now = world.api.v1.subscriptions.retrieve(subscription.id)
    assert now.status == "past_due"
    assert world.event_types()[-2:] == ["invoice.payment_failed", "customer.subscription.updated"]

    paid = world.control(f"/invoices/{failed['id']}/retry")
    assert paid["kind"] == "paid"
    assert world.api.v1.subscriptions.retrieve(subscription.id).status == "active"
    last = world.look(f"/events?account={world.account}&type=customer.subscription.updated")[0]
    assert last["data"]["previous_attributes"] == {"status": "past_due"}


def test_a_renewal_that_needs_the_bank_says_so(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    world.clock.advance(60)
    path = f"/subscriptions/{subscription.id}/fail-next-charge"
    world.control(path, outcome="requires_action")
    invoice = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
    world.control(f"/invoices/{invoice['id']}/finalize")
    assert world.event_types()[-3:] == [
        "invoice.payment_action_required",
        "invoice.payment_failed",
        "customer.subscription.updated",
    ]
    payments = world.api.v1.invoice_payments.list({"invoice": invoice["id"]}).data
    intent = world.api.v1.payment_intents.retrieve(str(payments[0].payment.payment_intent))
    assert intent.status == "requires_action"


def test_renewals_happen_by_themselves_at_the_end_of_the_month(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    end = subscription["items"].data[0].current_period_end
    world.tick(end - world.clock.now())
    invoice = world.api.v1.invoices.list({"subscription": subscription.id}).data[0]
    assert (invoice.status, invoice.billing_reason) == ("draft", "subscription_cycle")
    assert invoice.automatically_finalizes_at == end + 3600
    world.tick(3600)
    paid = world.api.v1.invoices.retrieve(str(invoice.id))
    assert (paid.status, paid.amount_paid) == ("paid", 999)


@pytest.mark.parametrize("ending", ["cancel", "unpaid", "past_due"])
def test_exhausted_retries_end_as_the_account_wants(world: World, ending: str) -> None:
    world.control(f"/accounts/{world.account}", dunning={"days": [1, 1], "end": ending})
    customer = world.api.v1.customers.create({"email": "dev@example.com"})
    session = world.session(world.licensed(), customer=customer.id)
    world.pay(session)
    subscription = world.api.v1.subscriptions.list({"customer": customer.id}).data[0]
    method = world.api.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": customer.id}
    )
    world.api.v1.subscriptions.update(subscription.id, {"default_payment_method": method.id})
    end = subscription["items"].data[0].current_period_end
    world.tick(end - world.clock.now() + 3600)
    for _ in range(2):
        assert world.api.v1.subscriptions.retrieve(subscription.id).status == "past_due"
        world.tick(86_400)
    final = world.api.v1.subscriptions.retrieve(subscription.id)
    assert final.status == {"cancel": "canceled"}.get(ending, ending)
    invoice = world.api.v1.invoices.retrieve(str(final.latest_invoice))
    assert (invoice.status, invoice.attempt_count) == ("open", 3)
    assert invoice.next_payment_attempt is None
    if ending == "cancel":
        assert final.cancellation_details is not None
        assert final.cancellation_details.reason == "payment_failed"


def test_an_abandoned_session_expires_with_an_event(world: World) -> None:
    session = world.session(world.licensed())
    world.tick(86_400)
    assert world.api.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert world.event_types()[-1] == "checkout.session.expired"
    with pytest.raises(stripe.InvalidRequestError, match=r'status in \["open"\]'):
        world.api.v1.checkout.sessions.expire(session.id)


def test_cancel_now_invoices_open_usage_when_asked(world: World) -> None:
    subscription = world.subscribe(world.metered("100"))
    world.clock.advance(60)
    world.api.v1.billing.meter_events.create(
        {
            "event_name": "calls",
            "payload": {"stripe_customer_id": str(subscription.customer), "value": "3"},
        }
    )
    world.clock.advance(60)
    ended = world.api.v1.subscriptions.cancel(subscription.id, {"invoice_now": True})
    assert ended.status == "canceled"
    assert ended.ended_at == world.clock.now()
    invoice = world.api.v1.invoices.retrieve(str(ended.latest_invoice))
    assert (invoice.status, invoice.total) == ("paid", 300)
    assert world.event_types()[-1] == "customer.subscription.deleted"
    with pytest.raises(stripe.InvalidRequestError) as again:
        world.api.v1.subscriptions.cancel(subscription.id)
    assert (again.value.http_status, again.value.code) == (404, "resource_missing")


def test_cancel_at_period_end_can_be_undone_and_ends_at_the_end(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    end = subscription["items"].data[0].current_period_end
    planned = world.api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert (planned.cancel_at_period_end, planned.cancel_at) == (True, end)
    undone = world.api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert (undone.cancel_at_period_end, undone.cancel_at) == (False, None)
    world.api.v1.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    world.tick(end - world.clock.now())
    assert world.api.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert len(world.api.v1.invoices.list({"subscription": subscription.id}).data) == 1


def test_a_portal_session_needs_a_configuration(world: World) -> None:
    customer = world.api.v1.customers.create({"email": "dev@example.com"})
    with pytest.raises(stripe.InvalidRequestError, match="No configuration provided"):
        world.api.v1.billing_portal.sessions.create({"customer": customer.id})
    configuration = world.api.v1.billing_portal.configurations.create(
        {
            "features": {
                "invoice_history": {"enabled": True},
                "payment_method_update": {"enabled": True},
                "subscription_cancel": {"enabled": True, "mode": "at_period_end"},
            },
            "default_return_url": "https://portal.test/subs",
        }
    )
    session = world.api.v1.billing_portal.sessions.create(
        {"customer": customer.id, "configuration": configuration.id}
    )
    assert session.url.startswith("http://sandbox.test/p/session/test_")
    assert session.return_url == "https://portal.test/subs"


def test_archiving_keeps_running_subscriptions(world: World) -> None:
    price = world.licensed()
    subscription = world.subscribe(price)
    world.api.v1.prices.update(price.id, {"active": False})
    world.api.v1.products.update(str(price.product), {"active": False})
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        world.session(price)
    assert world.api.v1.subscriptions.retrieve(subscription.id).status == "active"
    assert world.api.v1.prices.list({"active": True}).data == []
