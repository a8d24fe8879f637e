"""Subscriptions: start, renewal, scheduled and immediate cancellation."""

from __future__ import annotations

from typing import Any

from portal.sandbox import events, ids, serializers
from portal.sandbox.engine import changes, dunning, endings, invoices, lines, usage
from portal.sandbox.engine.moments import max_period_end, next_due, notice_owed
from portal.sandbox.store import Db, Record

UPDATED = "customer.subscription.updated"
_INCOMPLETE_SECONDS = 23 * 3600
_FLEXIBLE = {"flexible": {"proration_discounts": "included"}, "type": "flexible"}
_NEW: Record = {
    "object": "subscription",
    "status": "active",
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "default_payment_method": None,
    "ended_at": None,
    "latest_invoice": None,
    "trial_end": None,
    "trial_start": None,
}


def build(
    db: Db,
    account: str,
    customer: Record,
    items: list[dict[str, Any]],
    *,
    now: int,
    metadata: dict[str, str],
    **fields: Any,
) -> Record:
    """Store a new subscription that nobody has been told about; `items` hold price, quantity.

    Its first period begins now; with `trial_end` that period is a trial, and the billing anchor is
    its end. Report it with `announce` once its first invoice exists.
    """
    subscription: Record = {
        **_NEW,
        "id": ids.new("subscription"),
        "_account": account,
        "_clock": customer.get("_clock"),
        "billing_cycle_anchor": now,
        "billing_mode": {**_FLEXIBLE, "updated_at": now},
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "created": now,
        "customer": customer["id"],
        "metadata": dict(metadata),
        "start_date": now,
        **fields,
    }
    _begin_trial(subscription, now=now)
    subscription["items"] = [_item(db, subscription, item, now=now) for item in items]
    price = lines.price_of(db, subscription, subscription["items"][0])
    subscription["currency"] = price["currency"]
    subscription["_rhythm"] = "{interval} {interval_count}".format(**price["recurring"])
    subscription["_due_at"] = next_due(subscription)
    db.insert(subscription)
    if customer["currency"] is None:
        customer["currency"] = subscription["currency"]
        db.save(customer)
    return subscription


def _begin_trial(subscription: Record, *, now: int) -> None:
    end = subscription["trial_end"]
    if end is not None:
        subscription.update(status="trialing", trial_start=now, billing_cycle_anchor=end)


def _item(db: Db, subscription: Record, item: dict[str, Any], *, now: int) -> dict[str, Any]:
    price = db.need("price", subscription["_account"], item["price"])
    return {
        "id": ids.new("subscription_item"),
        "created": now,
        "current_period_start": now,
        "current_period_end": subscription["trial_end"]
        or lines.period_end(subscription, price, now),
        "metadata": dict(item.get("metadata") or {}),
        "price": price["id"],
        "quantity": item["quantity"],
    }


def announce(db: Db, subscription: Record, *, now: int) -> None:
    """Report a new subscription."""
    db.save(subscription)
    events.emit(db, subscription, "customer.subscription.created", now=now)
    if notice_owed(subscription) and subscription["_due_at"] <= now:
        _announce_end_of_trial(db, subscription, now=now)


def _announce_end_of_trial(db: Db, subscription: Record, *, now: int) -> None:
    # Three days ahead, or at once where the trial is shorter.
    subscription["_trial_noticed"] = True
    subscription["_due_at"] = next_due(subscription)
    db.save(subscription)
    events.emit(db, subscription, "customer.subscription.trial_will_end", now=now)


def first_invoice(db: Db, subscription: Record, *, now: int) -> Record | None:
    """Create the invoice for the first period; metered items alone have none (flexible billing)."""
    content = lines.licensed(db, subscription)
    if not content:
        return None
    invoice = invoices.create(db, subscription, content, reason="subscription_create", now=now)
    subscription["latest_invoice"] = invoice["id"]
    db.save(subscription)
    return invoice


def await_payment(subscription: Record, *, now: int) -> None:
    """Make a new subscription incomplete: it has 23 hours to be paid."""
    subscription.update(status="incomplete", _ends_incomplete=True)
    subscription["_due_at"] = now + _INCOMPLETE_SECONDS


def advance(db: Db, subscription: Record, *, now: int) -> None:
    """Do what is due: renew, end as planned, announce a trial's end, give up a first invoice."""
    status = subscription["status"]
    if status in ("canceled", "incomplete_expired"):
        return
    if status == "incomplete":
        _give_up(db, subscription, now=now)
        return
    if ends_now(subscription, now=now):
        _end_as_scheduled(db, subscription, now=now)
        return
    if now < max_period_end(subscription):
        if notice_owed(subscription):
            _announce_end_of_trial(db, subscription, now=now)
        return
    renew(db, subscription, now=now)


def ends_now(subscription: Record, *, now: int) -> bool:
    """Tell whether a scheduled cancellation has been reached."""
    planned = subscription["cancel_at"]
    return planned is not None and int(planned) <= now


def _give_up(db: Db, subscription: Record, *, now: int) -> None:
    with events.changing(db, subscription, UPDATED, now=now):
        subscription.update(status="incomplete_expired", ended_at=now, _due_at=None)
    invoice = db.need("invoice", subscription["_account"], subscription["latest_invoice"])
    if invoice["status"] == "open":
        invoices.void(db, invoice, now=now)


def _end_as_scheduled(db: Db, subscription: Record, *, now: int) -> None:
    end = min(now, max_period_end(subscription))
    content = lines.metered(db, subscription, until=end) if not _in_trial(subscription) else []
    content += subscription.pop("_pending", [])
    if content and subscription["status"] != "unpaid":
        invoice = invoices.create(db, subscription, content, reason="subscription_cycle", now=now)
        subscription["latest_invoice"] = invoice["id"]
    endings.terminate(db, subscription, now=now, reason="cancellation_requested")


def _in_trial(subscription: Record) -> bool:
    return bool(subscription["status"] == "trialing")


def renew(db: Db, subscription: Record, *, now: int) -> Record | None:
    """Begin the next period and draft the invoice: usage of the old one, fees of the new one.

    While a subscription is unpaid its invoices stay drafts that nobody tries to collect. Usage
    during a trial is not billed.
    """
    before = serializers.render(db, subscription)
    content = [] if _in_trial(subscription) else lines.metered(db, subscription)
    content += subscription.pop("_pending", [])
    if _in_trial(subscription):
        subscription["status"] = "active"
    for item in subscription["items"]:
        start = item["current_period_end"]
        price = lines.price_of(db, subscription, item)
        item.pop("_from", None)
        item["current_period_start"] = start
        item["current_period_end"] = lines.period_end(subscription, price, start)
    subscription["_due_at"] = next_due(subscription)
    content += lines.licensed(db, subscription)
    invoice = _draft(db, subscription, content, now=now) if content else None
    db.save(subscription)
    after = serializers.render(db, subscription)
    previous = events.difference(before, after)
    events.emit(db, subscription, UPDATED, now=now, payload=after, previous=previous)
    return invoice


def _draft(db: Db, subscription: Record, content: list[dict[str, Any]], *, now: int) -> Record:
    collectable = subscription["status"] != "unpaid"
    invoice = invoices.create(
        db, subscription, content, reason="subscription_cycle", now=now, advance=collectable
    )
    subscription["latest_invoice"] = invoice["id"]
    return invoice


def end_period(db: Db, subscription: Record, *, now: int) -> Record | None:
    """End the present period now (a control of the sandbox): what was due at its end happens.

    The billing anchor moves with it. Returns the draft, if one was made.
    """
    end = max(now, subscription["items"][0]["current_period_start"] + 1)
    # Usage of this very second is of the period that ends: nobody can press in between.
    if usage.counted_at(db, subscription["_account"], subscription["customer"], now):
        end = max(end, now + 1)
    planned = subscription["cancel_at"]
    if planned is not None and planned <= max_period_end(subscription):
        subscription["cancel_at"] = min(planned, end)
    subscription["billing_cycle_anchor"] = end
    for item in subscription["items"]:
        item["current_period_end"] = end
    if _in_trial(subscription):
        subscription.update(trial_end=end, _trial_noticed=True)
    advance(db, subscription, now=end)
    latest = subscription["latest_invoice"]
    return db.get("invoice", subscription["_account"], latest) if latest else None


def cancel(
    db: Db,
    subscription: Record,
    *,
    now: int,
    reason: str = "cancellation_requested",
    invoice_now: bool = False,
    prorate: bool = False,
    comment: str | None = None,
    feedback: str | None = None,
) -> Record:
    """Cancel now. With `invoice_now` what is open is invoiced at once: usage, waiting prorations.

    With `prorate` as well, so is the credit for what was paid in advance.
    """
    content = changes.last(db, subscription, prorate=prorate, now=now) if invoice_now else []
    subscription.pop("_pending", None)
    if content:
        invoice = invoices.create(db, subscription, content, reason="subscription_update", now=now)
        subscription["latest_invoice"] = invoice["id"]
        db.save(subscription)
        invoices.finalize(db, invoice, now=now)
        if invoice["status"] == "open":
            invoices.collect(db, invoice, now=now, automatic=True)
        subscription = db.need("subscription", subscription["_account"], subscription["id"])
    if subscription["status"] == "canceled":
        return subscription
    return endings.terminate(
        db, subscription, now=now, reason=reason, comment=comment, feedback=feedback
    )


def schedule_cancel(
    db: Db,
    subscription: Record,
    *,
    now: int,
    at: int | None = None,
    comment: str | None = None,
    feedback: str | None = None,
) -> Record:
    """Cancel at the period's end (`at` None: by the boolean), or by `cancel_at`.

    The API and the dashboard set the boolean; the Customer Portal sets `cancel_at` on a flexible
    subscription and leaves the boolean false.
    """
    with events.changing(db, subscription, UPDATED, now=now):
        subscription["cancel_at_period_end"] = at is None
        subscription["cancel_at"] = max_period_end(subscription) if at is None else at
        subscription["canceled_at"] = now
        subscription["cancellation_details"] = {
            "comment": comment,
            "feedback": feedback,
            "reason": "cancellation_requested",
        }
        subscription["_due_at"] = _due(subscription)
    return subscription


def unschedule_cancel(db: Db, subscription: Record, *, now: int) -> Record:
    """Take a scheduled cancellation back."""
    with events.changing(db, subscription, UPDATED, now=now):
        subscription.update(cancel_at_period_end=False, cancel_at=None, canceled_at=None)
        subscription["cancellation_details"] = {"comment": None, "feedback": None, "reason": None}
        subscription["_due_at"] = _due(subscription)
    return subscription


def _due(subscription: Record) -> int:
    # One that waits for its first payment is given up in time, whatever else is planned.
    if subscription["status"] == "incomplete":
        return int(subscription["_due_at"])
    return next_due(subscription)


def mark_unpaid(db: Db, subscription: Record, behaviour: str, *, now: int) -> Record:
    """End the retries now (a control of the sandbox) as `behaviour` says."""
    endings.stop_collecting(db, subscription)
    dunning.end(db, subscription, behaviour, now=now)
    return subscription
