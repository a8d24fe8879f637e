"""Changing what a subscription consists of, and what an invoice would be if it were changed."""

from __future__ import annotations

from portal.sandbox import events, serializers
from portal.sandbox.engine import invoices, lines, prorations
from portal.sandbox.engine.lines import Line
from portal.sandbox.engine.moments import max_period_end, next_due
from portal.sandbox.engine.prorations import Change
from portal.sandbox.engine.results import PayResult
from portal.sandbox.store import Db, Record

UPDATED = "customer.subscription.updated"


def change(db: Db, subscription: Record, wanted: Change, *, now: int) -> PayResult | None:
    """Change the items of a running subscription; return how an invoice at once was paid, if any.

    What is not billed at once waits for the next invoice of the subscription.
    """
    before = serializers.render(db, subscription)
    effect = prorations.apply(db, subscription, wanted, now=now)
    content = [*subscription.pop("_pending", []), *effect.lines]
    subscription["_due_at"] = next_due(subscription)
    invoice = None
    if effect.at_once and content:
        db.save(subscription)
        invoice = invoices.create(db, subscription, content, reason="subscription_update", now=now)
        subscription["latest_invoice"] = invoice["id"]
    else:
        subscription["_pending"] = content
    db.save(subscription)
    after = serializers.render(db, subscription)
    if previous := events.difference(before, after):
        events.emit(db, subscription, UPDATED, now=now, payload=after, previous=previous)
    if invoice is None:
        return None
    invoices.finalize(db, invoice, now=now)
    if invoice["status"] != "open":
        return PayResult("paid", invoice=invoice)
    return invoices.collect(db, invoice, now=now, automatic=True)


def renewal(db: Db, subscription: Record) -> list[Line]:
    """Return the lines of the invoice at the end of the present period, as they look now."""
    planned = subscription["cancel_at"]
    ending = planned is not None and planned <= max_period_end(subscription)
    content = [] if ending else lines.licensed(db, subscription, following=True)
    content += subscription.get("_pending", [])
    if subscription["status"] != "trialing":
        content += lines.metered(db, subscription)
    return content


def last(db: Db, subscription: Record, *, prorate: bool, now: int) -> list[Line]:
    """Return the lines of the invoice of a subscription that ends now."""
    if subscription["status"] == "trialing":
        return list(subscription.get("_pending", []))
    content = lines.metered(db, subscription, until=now)
    content += subscription.get("_pending", [])
    return content + (prorations.credits(db, subscription, now=now) if prorate else [])


def preview(
    db: Db,
    subscription: Record,
    *,
    now: int,
    wanted: Change | None = None,
    cancel_now: bool = False,
    prorate: bool = True,
) -> Record | None:
    """Return the invoice that would come next, not stored; None when there would be none.

    `subscription` is changed in memory only. With `wanted` it is the invoice after that change: at
    once, or at the end of the period; with `cancel_now` the last one.
    """
    if subscription["status"] in ("canceled", "incomplete_expired"):
        return None
    if cancel_now:
        content = last(db, subscription, prorate=prorate, now=now)
        return invoices.imagined(db, subscription, content, now=now)
    effect = prorations.apply(db, subscription, wanted, now=now) if wanted else None
    if effect is not None:
        subscription["_pending"] = [*subscription.get("_pending", []), *effect.lines]
    if effect is not None and effect.at_once and subscription["_pending"]:
        return invoices.imagined(db, subscription, subscription["_pending"], now=now)
    return invoices.imagined(db, subscription, renewal(db, subscription))
