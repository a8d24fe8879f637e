"""Subscriptions and invoices through the API: what may be changed, and when."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import World


@pytest.fixture
def customer(world: World) -> str:
    made = world.api.v1.customers.create({"email": "dev@example.com"})
    method = world.api.v1.payment_methods.attach("pm_card_visa", {"customer": made.id})
    world.api.v1.customers.update(
        made.id, {"invoice_settings": {"default_payment_method": method.id}}
    )
    return made.id


def start(world: World, customer: str, **more: Any) -> stripe.Subscription:
    price = more.pop("price", None) or world.licensed()
    return world.api.v1.subscriptions.create(
        {"customer": customer, "items": [{"price": price.id}], **more}
    )


def broken_card(world: World, customer: str) -> str:
    method = world.api.v1.payment_methods.attach(
        "pm_card_chargeCustomerFail", {"customer": customer}
    )
    return method.id


def test_a_subscription_is_paid_from_the_card_on_file(world: World, customer: str) -> None:
    made = start(world, customer, metadata={"a": "1"})
    assert (made.status, made["items"].data[0].quantity) == ("active", 1)
    assert (made.billing_mode.type, made.collection_method) == ("flexible", "charge_automatically")
    invoice = world.api.v1.invoices.retrieve(str(made.latest_invoice))
    assert (invoice.status, invoice.billing_reason) == ("paid", "subscription_create")
    assert invoice.number is not None
    assert invoice.number.endswith("-0001")


def test_a_first_payment_that_fails_leaves_23_hours(world: World, customer: str) -> None:
    made = start(world, customer, default_payment_method=broken_card(world, customer))
    assert made.status == "incomplete"
    invoice_id = str(made.latest_invoice)
    assert world.api.v1.invoices.retrieve(invoice_id).status == "open"
    world.tick(23 * 3600 - 1)
    assert world.api.v1.subscriptions.retrieve(made.id).status == "incomplete"
    world.tick(1)
    assert world.api.v1.subscriptions.retrieve(made.id).status == "incomplete_expired"
    assert world.api.v1.invoices.retrieve(invoice_id).status == "void"
    types = world.event_types()
    assert "customer.subscription.deleted" not in types
    assert types[-3:] == [
        "customer.subscription.updated",
        "payment_intent.canceled",
        "invoice.voided",
    ]


def test_an_incomplete_subscription_is_active_once_paid(world: World, customer: str) -> None:
    made = start(world, customer, default_payment_method=broken_card(world, customer))
    good = world.api.v1.payment_methods.attach("pm_card_visa", {"customer": customer})
    paid = world.api.v1.invoices.pay(str(made.latest_invoice), {"payment_method": good.id})
    assert paid.status == "paid"
    assert world.api.v1.subscriptions.retrieve(made.id).status == "active"
    world.tick(24 * 3600)
    assert world.api.v1.subscriptions.retrieve(made.id).status == "active"


def test_error_if_incomplete_creates_nothing(world: World, customer: str) -> None:
    broken = broken_card(world, customer)
    with pytest.raises(stripe.CardError) as declined:
        start(
            world,
            customer,
            default_payment_method=broken,
            payment_behavior="error_if_incomplete",
        )
    assert declined.value.code == "card_declined"
    assert world.api.v1.subscriptions.list({"status": "all"}).data == []
    assert world.api.v1.invoices.list().data == []


def test_a_customer_without_card_can_not_be_billed(world: World) -> None:
    poor = world.api.v1.customers.create({"email": "dev@example.com"}).id
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        start(world, poor)


def test_metadata_of_invoices_is_a_copy_of_their_time(world: World, customer: str) -> None:
    made = start(world, customer, metadata={"step": "1"})
    world.api.v1.subscriptions.update(made.id, {"metadata": {"step": "2"}})
    world.clock.advance(10)
    second = world.control(f"/subscriptions/{made.id}/end-period")["invoice"]["id"]

    def step(invoice_id: str) -> str:
        invoice = world.api.v1.invoices.retrieve(invoice_id)
        assert invoice.parent is not None
        assert invoice.parent.subscription_details is not None
        assert invoice.parent.subscription_details.metadata is not None
        return invoice.parent.subscription_details.metadata["step"]

    assert (step(str(made.latest_invoice)), step(second)) == ("1", "2")


def test_listing_hides_what_was_cancelled(world: World, customer: str) -> None:
    price = world.licensed()
    first, second = start(world, customer, price=price), start(world, customer, price=price)
    world.api.v1.subscriptions.cancel(first.id)
    list_ = world.api.v1.subscriptions.list
    assert [each.id for each in list_().data] == [second.id]
    assert [each.id for each in list_({"status": "canceled"}).data] == [first.id]
    assert len(list_({"status": "all", "customer": customer, "price": price.id}).data) == 2
    assert list_({"price": world.licensed().id}).data == []
    items = world.api.v1.subscription_items.list({"subscription": second.id}).data
    assert [item.price.id for item in items] == [price.id]


@pytest.mark.parametrize(
    "change",
    [
        {"items": [{"price": "price_x"}]},
        {"trial_end": "now"},
        {"proration_behavior": "none"},
        {"cancel_at": 1_800_000_000},
        {"cancel_at_period_end": True, "cancel_at": "max_period_end"},
        {"default_payment_method": "pm_x"},
        {"cancellation_details": {"feedback": "unused"}},
    ],
)
def test_what_is_not_modelled_or_wrong_changes_nothing(
    world: World, customer: str, change: dict[str, Any]
) -> None:
    made = start(world, customer)
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.subscriptions.update(made.id, change)  # type: ignore[arg-type]
    now = world.api.v1.subscriptions.retrieve(made.id)
    assert now.to_dict() == made.to_dict()


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"items": [{"price": "P", "quantity": -1}]}, "items[0][quantity]"),
        ({"items": [{"price": "P"}, {"price": "P"}]}, "items"),
        ({"currency": "eur"}, "currency"),
    ],
)
def test_a_subscription_that_makes_no_sense_is_refused(
    world: World, customer: str, change: dict[str, Any], param: str
) -> None:
    price = world.licensed().id
    wanted = {"customer": customer, "items": [{"price": "P"}], **change}
    wanted["items"] = [{**each, "price": price} for each in wanted["items"]]
    with pytest.raises(stripe.InvalidRequestError) as refused:
        world.api.v1.subscriptions.create(wanted)  # type: ignore[arg-type]
    assert refused.value.param == param
    assert world.look("/objects?kind=subscription") == []


def test_the_words_about_a_planned_end_can_change(world: World, customer: str) -> None:
    made, update = start(world, customer), world.api.v1.subscriptions.update
    first: Any = {"feedback": "unused", "comment": "bye"}
    update(made.id, {"cancel_at_period_end": True, "cancellation_details": first})
    changed = update(made.id, {"cancellation_details": {"feedback": "other"}})
    assert changed.cancellation_details is not None
    assert changed.cancellation_details.to_dict() == {
        "comment": "bye",
        "feedback": "other",
        "reason": "cancellation_requested",
    }


def test_a_cancelled_subscription_stays_readable_and_can_not_change(
    world: World, customer: str
) -> None:
    made = start(world, customer)
    details: Any = {"comment": "enough", "feedback": "unused"}
    ended = world.api.v1.subscriptions.cancel(made.id, {"cancellation_details": details})
    assert ended.cancellation_details is not None
    assert ended.cancellation_details.to_dict() == {
        **details,
        "reason": "cancellation_requested",
    }
    assert world.api.v1.subscriptions.retrieve(made.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as gone:
        world.api.v1.subscriptions.update(made.id, {"metadata": {"a": "1"}})
    assert gone.value.http_status == 404
    with pytest.raises(stripe.InvalidRequestError) as nothing:
        world.api.v1.invoices.create_preview({"subscription": made.id})
    assert nothing.value.code == "invoice_upcoming_none"
    world.tick(400 * 86_400)
    assert len(world.api.v1.invoices.list({"subscription": made.id}).data) == 1


def test_a_preview_shows_the_next_fee_and_is_stored_nowhere(world: World, customer: str) -> None:
    made = start(world, customer)
    preview = world.api.v1.invoices.create_preview({"subscription": made.id})
    assert str(preview.id).startswith("upcoming_in_")
    assert (preview.total, preview.status) == (999, "draft")
    item = made["items"].data[0]
    assert preview.lines.data[0].period.start == item.current_period_end
    assert len(world.api.v1.invoices.list().data) == 1
    world.api.v1.subscriptions.update(made.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as nothing:
        world.api.v1.invoices.create_preview({"subscription": made.id})
    assert nothing.value.code == "invoice_upcoming_none"


def test_the_states_of_an_invoice_are_one_way(world: World, customer: str) -> None:
    made = start(world, customer)
    paid = str(made.latest_invoice)
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        world.api.v1.invoices.pay(paid)
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.invoices.void_invoice(paid)
    world.clock.advance(10)
    draft = world.control(f"/subscriptions/{made.id}/end-period")["invoice"]["id"]
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.invoices.void_invoice(draft)
    opened = world.api.v1.invoices.finalize_invoice(draft, {"auto_advance": False})
    assert (opened.status, opened.amount_remaining) == ("open", 999)
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.invoices.finalize_invoice(draft)
    outside = world.api.v1.invoices.pay(draft, {"paid_out_of_band": True})
    assert (outside.status, outside.amount_paid) == ("paid", 0)
    assert world.event_types()[-1] == "invoice.paid"


def test_small_amounts_wait_on_the_balance_until_they_can_be_charged(world: World) -> None:
    subscription = world.subscribe(world.metered("10"))
    customer = str(subscription.customer)
    totals = []
    for _ in range(3):
        world.clock.advance(60)
        world.api.v1.billing.meter_events.create(
            {
                "event_name": "calls",
                "payload": {"stripe_customer_id": customer, "value": "2"},
            }
        )
        world.clock.advance(60)
        draft = world.control(f"/subscriptions/{subscription.id}/end-period")["invoice"]
        final = world.control(f"/invoices/{draft['id']}/finalize")
        totals.append((final["total"], final["amount_due"], final["amount_paid"]))
    assert totals == [(20, 0, 0), (20, 0, 0), (20, 60, 60)]
    assert world.api.v1.customers.retrieve(customer).balance == 0


def test_deleting_a_customer_ends_its_subscriptions(world: World, customer: str) -> None:
    made = start(world, customer)
    assert world.api.v1.customers.delete(customer).deleted is True
    assert world.api.v1.subscriptions.retrieve(made.id).status == "canceled"
    assert world.api.v1.customers.retrieve(customer).deleted is True
    assert world.api.v1.customers.list().data == []
    with pytest.raises(stripe.InvalidRequestError):
        world.api.v1.customers.update(customer, {"name": "x"})


def test_a_month_without_webhook_success_holds_the_draft_back(world: World) -> None:
    world.platform_api.v1.webhook_endpoints.create(
        {"url": "http://a.test/", "connect": True, "enabled_events": ["invoice.created"]}
    )
    subscription = world.subscribe(world.licensed())
    world.tick()
    world.endpoint_status = 500
    end = subscription["items"].data[0].current_period_end
    world.tick(end - world.clock.now())
    world.tick(3600)
    draft = world.api.v1.invoices.list({"subscription": subscription.id}).data[0]
    assert draft.status == "draft"
    world.endpoint_status = 200
    world.tick(60)
    world.tick(120)
    assert world.api.v1.invoices.retrieve(str(draft.id)).status == "paid"


def test_portal_configurations_are_checked(world: World) -> None:
    create = world.api.v1.billing_portal.configurations.create
    for features in (
        {"subscription_update": {"enabled": True, "default_allowed_updates": ["price"],
                                 "products": []}},
        {"subscription_cancel": {"enabled": True, "mode": "whenever"}},
        {"customer_update": {"enabled": True}},
    ):  # fmt: skip
        with pytest.raises(stripe.InvalidRequestError):
            create({"features": features})  # type: ignore[typeddict-item]
    made = create({"features": {"invoice_history": {"enabled": True}}})
    assert (made.active, made.is_default) == (True, False)
    update = world.api.v1.billing_portal.configurations.update
    off = update(made.id, {"active": False, "metadata": {"a": "1"}})
    assert (off.active, off.features.invoice_history.enabled) == (False, True)
    customer = world.api.v1.customers.create({"email": "dev@example.com"}).id
    with pytest.raises(stripe.InvalidRequestError, match="inactive"):
        world.api.v1.billing_portal.sessions.create(
            {"customer": customer, "configuration": made.id}
        )


def test_a_portal_deep_link_names_its_subscription(world: World) -> None:
    subscription = world.subscribe(world.licensed())
    configuration = world.api.v1.billing_portal.configurations.create(
        {"features": {"subscription_cancel": {"enabled": True}}}
    )
    create = world.api.v1.billing_portal.sessions.create
    base: Any = {"customer": str(subscription.customer), "configuration": configuration.id}
    flow: Any = {
        "type": "subscription_cancel",
        "subscription_cancel": {"subscription": subscription.id},
    }
    session = create({**base, "flow_data": flow})
    assert session.flow is not None
    assert session.flow.subscription_cancel is not None
    assert session.flow.subscription_cancel.subscription == subscription.id
    other = world.subscribe(world.licensed())
    for wrong in (
        {"type": "subscription_cancel"},
        {"type": "payment_method_update"},
        {"type": "subscription_cancel", "subscription_cancel": {"subscription": other.id}},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            create({**base, "flow_data": wrong})
