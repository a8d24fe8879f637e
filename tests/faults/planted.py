"""Faults that are planted into a subscription, and how `flask reconcile` ends each of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from portal.billing.engine import EngineStatus, MeterSpec
from portal.extensions import db
from portal.models import (
    Api,
    CheckoutAttempt,
    EnginePrice,
    InboxEvent,
    Offer,
    PlanChange,
    Refund,
    Workflow,
)
from portal.services.subscriptions import Move
from tests.faults.world import Life

START = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Fault:
    """Something that differs: how it comes about, what it is called, and whether it is repaired."""

    name: str
    plant: Callable[[Life], object]
    kinds: tuple[str, ...]
    repaired: bool = True
    paid: bool = True
    metered: bool = False


def _twin(life: Life, **changes: Any) -> None:
    """Let a second subscription live at the provider that looks like this one."""
    name = f"sub_twin_{life.number}"
    snapshot = replace(life.contract.snapshot, subscription_id=name, **changes)
    life.world.provider.contracts[name] = replace(life.contract, snapshot=snapshot)
    life.world.provider.bills[name] = []


def _there(life: Life, **changes: Any) -> None:
    contract = life.contract
    contract.snapshot = replace(contract.snapshot, **changes)


def _lost(life: Life) -> None:
    events = life.world.provider.fail_renewal(life.engine_id)
    life.world.provider.lost |= {event.event_id for event in events}


def _restored_before_payment(life: Life) -> None:
    life.world.provider.pay(life.open_page())
    life.set_attempt(status="EXPIRED", open_key=None)
    life.move(Move.LAPSE)


def _price(life: Life) -> Any:
    (price,) = life.held.prices.values()
    return price


def _change_price(life: Life, **changes: Any) -> None:
    price = _price(life)
    price.spec = replace(price.spec, **changes)


def _withdraw(life: Life) -> None:
    api_id = life.row.api_id
    db.session.query(Offer).filter_by(api_id=api_id).delete()
    db.session.commit()


def _product_left(life: Life) -> None:
    row = life.row
    (product,) = life.held.products.values()
    api_uuid = db.session.get_one(Api, row.api_id).api_uuid
    product.spec = replace(product.spec, metadata={"apim_api_uuid": api_uuid})
    _price(life).active = False
    _withdraw(life)


def _price_copy(life: Life, mark: str | None = None) -> None:
    price = _price(life)
    query = db.session.query(EnginePrice.uuid).filter_by(connected_account=life.account)
    marked = {"apim_mapping_uuid": mark or query.scalar()}
    copy = replace(price.spec, lookup_key="another", metadata=marked)
    life.held.prices[f"price_copy_{life.number}"] = replace(price, spec=copy)


def _meter_left(life: Life) -> None:
    spec = MeterSpec(event_name=f"apim_lost{life.number}", display_name="Lost")
    life.world.engine.ensure_meter(life.account, spec, key=spec.event_name)


def _no_attempt(life: Life) -> None:
    life.open_page()
    db.session.query(CheckoutAttempt).filter_by(am_subscription_id=life.number).delete()
    db.session.commit()


def _page_unknown_there(life: Life) -> None:
    del life.world.provider.pages[life.open_page()]


def _waits_since_last_week(life: Life) -> None:
    db.session.query(Workflow).filter_by(wf_reference=str(life.number)).update(
        {"wf_created_time": START - timedelta(days=7)}
    )
    db.session.commit()


def _event(life: Life, outcome: str) -> None:
    db.session.add(
        InboxEvent(
            tenant_id=life.world.tenant_id,
            event_id=f"evt_{outcome}_{life.number}",
            type="customer.subscription.updated",
            account=life.account,
            livemode=False,
            created=1,
            received_at=START,
            payload_zlib=InboxEvent.pack(b"{}"),
            outcome=outcome,
        )
    )
    db.session.commit()


def _refund(life: Life, status: str, **more: Any) -> None:
    db.session.add(
        Refund(
            tenant_id=life.world.tenant_id,
            am_subscription_id=life.number,
            engine_subscription_id=life.engine_id,
            connected_account=life.account,
            because="Paid twice.",
            status=status,
            created_at=START,
            **more,
        )
    )
    db.session.commit()


def _refund_gone(life: Life) -> None:
    _refund(life, "DONE", amount_minor=999, currency="usd", done_at=START)


def _asked_change(life: Life) -> None:
    row = life.row
    db.session.add(
        PlanChange(
            tenant_id=life.world.tenant_id,
            subscription_id=row.subscription_id,
            from_version_id=row.policy_version_id,
            to_version_id=row.policy_version_id,
            price=db.session.query(EnginePrice).filter_by(connected_account=life.account).one(),
            new_period=False,
            counted_from=START,
            asked_by="dana",
            asked_at=START,
            open_key=row.uuid,
        )
    )
    db.session.commit()


CATALOGUE = (
    Fault("a renewal failed and nobody told",
          lambda it: it.world.provider.fail_renewal(it.engine_id), ("status", "period")),
    Fault("a bank asked and nobody told",
          lambda it: it.world.provider.require_action(it.engine_id), ("status", "period")),
    Fault("a debt was paid and nobody told",
          lambda it: (it.world.hear(it.world.provider.fail_renewal(it.engine_id)),
                      it.world.provider.pay_invoice(it.engine_id)), ("status", "period")),
    Fault("it was renewed and nobody told",
          lambda it: it.world.provider.renew(it.engine_id), ("period",)),
    Fault("it ended at the provider and nobody told",
          lambda it: it.world.provider.end(it.engine_id), ("status",)),
    Fault("it was set unpaid in the dashboard",
          lambda it: _there(it, status=EngineStatus.UNPAID), ("status",)),
    Fault("it was cancelled for later and nobody told",
          lambda it: it.world.provider.cancel_at_period_end(it.engine_id), ("cancel_at",)),
    Fault("a cancellation stands here and not there",
          lambda it: it.set(cancel_at=START), ("cancel_at",)),
    Fault("a billing cycle was moved in the dashboard",
          lambda it: _there(it, period_end=START + timedelta(days=90)), ("period",)),
    Fault("it ended here and lives there", lambda it: it.move(Move.END), ("lives_after_end",)),
    Fault("somebody copied it in the dashboard", _twin, ("paid_without_service",)),
    Fault("one of an unknown name", lambda it: _twin(it, reference="another portal's"),
          ("subscription_unknown",), repaired=False),
    Fault("the provider has lost it",
          lambda it: it.world.provider.contracts.pop(it.engine_id),
          ("subscription_missing",), repaired=False),
    Fault("its price was changed in the dashboard", lambda it: _there(it, price_id="price_x"),
          ("price",), repaired=False),
    Fault("paid, and no event came", lambda it: it.world.provider.pay(it.open_page()),
          ("page_closed", "paid_without_service"), paid=False),
    Fault("paid before a backup was restored", _restored_before_payment,
          ("paid_without_service",), paid=False),
    Fault("its page expired and nobody told",
          lambda it: it.world.provider.expire(it.open_page()), ("page_closed",), paid=False),
    Fault("its page can be paid after the attempt was closed",
          lambda it: (it.open_page(), it.set_attempt(status="EXPIRED", open_key=None)),
          ("page_orphaned",), paid=False),
    Fault("its page has no attempt", _no_attempt, ("page_orphaned",), paid=False),
    Fault("the provider knows no such page", _page_unknown_there, ("page_missing",),
          repaired=False, paid=False),
    Fault("its price was archived in the dashboard",
          lambda it: setattr(_price(it), "active", False), ("price_archived",), repaired=False),
    Fault("its price asks for another amount", lambda it: _change_price(it, unit_minor=Decimal(1)),
          ("price_terms",), repaired=False),
    Fault("its price is for another interval", lambda it: _change_price(it, interval="year"),
          ("price_terms",), repaired=False),
    Fault("the provider has lost its price", lambda it: it.held.prices.clear(),
          ("price_missing",), repaired=False),
    Fault("a price is sold that is not for sale", _withdraw, ("price_not_withdrawn",)),
    Fault("a product is offered that sells nothing", _product_left, ("product_not_withdrawn",)),
    Fault("a price was made and its answer was lost", _price_copy, ("price_without_row",)),
    Fault("a price names a plan that is not here", lambda it: _price_copy(it, "unknown"),
          ("price_without_row",), repaired=False),
    Fault("a meter counts for no price", _meter_left, ("meter_without_row",), repaired=False),
    Fault("events could not be delivered", _lost, ("event_undelivered", "status", "period")),
    Fault("an event was given up", lambda it: _event(it, "dead"), ("event_without_effect",),
          repaired=False),
    Fault("an event waits for too long", lambda it: _event(it, "parked"),
          ("event_without_effect",), repaired=False),
    Fault("an ending was not finished", lambda it: it.move(Move.ASK_END), ("ending_unfinished",)),
    Fault("nobody closed what was never paid", _waits_since_last_week, ("unpaid_too_long",),
          paid=False),
    Fault("a refund is not there", _refund_gone, ("refund_differs",), repaired=False),
    Fault("a refund was refused", lambda it: _refund(it, "REFUSED"), ("refund_waiting",),
          repaired=False),
    Fault("a refund is due for hours", lambda it: _refund(it, "DUE"), ("refund_waiting", )),
    Fault("a change of plan was not finished", _asked_change, ("plan_change_unfinished",)),
    Fault("usage was refused", lambda it: it.batch("REFUSED"), ("usage_unacknowledged",),
          repaired=False),
    Fault("nobody knows whether usage arrived", lambda it: it.batch("UNKNOWN"),
          ("usage_unacknowledged",), repaired=False),
    Fault("usage is being sent for hours", lambda it: it.batch("SENDING"),
          ("usage_unacknowledged",), repaired=False),
    Fault("the meter has not counted what it acknowledged", lambda it: it.batch("ACKNOWLEDGED"),
          ("usage",), repaired=False, metered=True),
    Fault("the account refuses us", lambda it: it.world.provider.disconnect(it.account),
          ("not_compared",), repaired=False),
)  # fmt: skip
