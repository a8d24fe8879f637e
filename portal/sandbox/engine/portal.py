"""The Customer Portal: what a customer may do with a session that the platform opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from portal.sandbox import events
from portal.sandbox.engine import cards, clocks, methods
from portal.sandbox.engine import invoices as billing
from portal.sandbox.engine import subscriptions as running
from portal.sandbox.engine.cards import Card
from portal.sandbox.engine.moments import max_period_end
from portal.sandbox.engine.results import PayResult
from portal.sandbox.store import Db, Record

OPEN_WITHIN = 300
IDLE = 3600
_HIDDEN = ("incomplete_expired", "canceled")


class PortalRefused(Exception):
    """The session has ended or doesn't allow this; the message says so for people."""


@dataclass(frozen=True, slots=True)
class PortalSession:
    """An opened session: one customer of one account."""

    record: Record
    customer: Record
    configuration: Record

    @property
    def account(self) -> str:
        """Return the account that the customer belongs to."""
        return str(self.record["_account"])

    @property
    def features(self) -> dict[str, Any]:
        """Return what the configuration allows."""
        return dict(self.configuration["features"])

    @property
    def flow(self) -> dict[str, Any] | None:
        """Return the deep link that the session was opened with."""
        flow: dict[str, Any] | None = self.record["flow"]
        return flow

    @property
    def return_url(self) -> str | None:
        """Return the address of the link back."""
        url: str | None = self.record["return_url"] or self.configuration["default_return_url"]
        return url


def open_session(db: Db, token: str, *, now: int) -> PortalSession:
    """Return the session behind a portal address and note that it was used.

    A session must be opened within 5 minutes and ends after an hour without use.

    :raise PortalRefused: when the address is unknown or the session has ended
    """
    record = db.by_token("billing_portal.session", token)
    if record is None:
        raise PortalRefused("This link is not valid. Go back and open the portal again.")
    used = record.get("_used_at")
    limit = used + IDLE if used is not None else record["created"] + OPEN_WITHIN
    if now > limit:
        raise PortalRefused("This session has expired. Go back and open the portal again.")
    account = record["_account"]
    if used != now:
        record["_used_at"] = now
        db.save(record)
    return PortalSession(
        record,
        db.need("customer", account, record["customer"]),
        db.need("billing_portal.configuration", account, record["configuration"]),
    )


def _allow(ps: PortalSession, feature: str) -> dict[str, Any]:
    settings: dict[str, Any] = ps.features[feature]
    if not settings["enabled"]:
        raise PortalRefused("This portal does not offer that. Ask the seller instead.")
    return settings


def subscriptions(db: Db, ps: PortalSession) -> list[Record]:
    """Return the customer's running subscriptions, newest first."""
    found = db.select("subscription", ps.account, ("customer = ?", ps.customer["id"]))
    return [record for record in reversed(found) if record["status"] not in _HIDDEN]


def _subscription(db: Db, ps: PortalSession, sub_id: str) -> Record:
    subscription = db.get("subscription", ps.account, sub_id)
    if subscription is None or subscription["customer"] != ps.customer["id"]:
        raise PortalRefused("There is no such subscription.")
    if subscription["status"] in _HIDDEN:
        raise PortalRefused("This subscription has already ended.")
    return subscription


def cancel(
    db: Db,
    ps: PortalSession,
    sub_id: str,
    *,
    reason: str | None = None,
    comment: str | None = None,
    now: int,
) -> Record:
    """Cancel a subscription in the configured way: now, or at the end of its period.

    `reason` is one of Stripe's feedback words (``too_expensive``, ``unused``, …).

    :raise PortalRefused: when the portal doesn't offer it or the subscription isn't the customer's
    """
    settings, now = _allow(ps, "subscription_cancel"), clocks.moment(db, ps.customer, now)
    subscription = _subscription(db, ps, sub_id)
    if settings["mode"] == "immediately":
        return running.cancel(db, subscription, now=now, comment=comment, feedback=reason or None)
    if subscription["cancel_at"] is not None or subscription["cancel_at_period_end"]:
        return subscription
    end = max_period_end(subscription)
    return running.schedule_cancel(
        db, subscription, now=now, at=end, comment=comment, feedback=reason or None
    )


def undo_cancel(db: Db, ps: PortalSession, sub_id: str, *, now: int) -> Record:
    """Take a scheduled cancellation back.

    :raise PortalRefused: when the portal doesn't offer it or the subscription isn't the customer's
    """
    _allow(ps, "subscription_cancel")
    now = clocks.moment(db, ps.customer, now)
    subscription = _subscription(db, ps, sub_id)
    if subscription["cancel_at"] is None and not subscription["cancel_at_period_end"]:
        return subscription
    return running.unschedule_cancel(db, subscription, now=now)


def add_card(
    db: Db, ps: PortalSession, card: Card, *, now: int, authenticated: bool | None = None
) -> PayResult:
    """Save a card, make it the default everywhere and pay the open invoices with it.

    :raise PortalRefused: when the portal doesn't offer it
    """
    _allow(ps, "payment_method_update")
    now = clocks.moment(db, ps.customer, now)
    verdict = methods.setup_verdict(card, authenticated=authenticated)
    if verdict == "authenticate":
        return PayResult("requires_action")
    if verdict is not None:
        code, decline_code, message = cards.DECLINES[verdict]
        return PayResult("declined", message, code, decline_code)
    method = methods.create(db, ps.account, card, now=now, authenticated=bool(authenticated))
    methods.attach(db, method, ps.customer, now=now)
    return _prefer(db, ps, method, authenticated, now=now)


def _prefer(
    db: Db, ps: PortalSession, method: Record, authenticated: bool | None, *, now: int
) -> PayResult:
    with events.changing(db, ps.customer, "customer.updated", now=now):
        ps.customer["invoice_settings"]["default_payment_method"] = method["id"]
    for subscription in subscriptions(db, ps):
        with events.changing(db, subscription, "customer.subscription.updated", now=now):
            subscription["default_payment_method"] = method["id"]
    return _retry_open(db, ps, method, authenticated, now=now)


def _saved(db: Db, ps: PortalSession, method_id: str) -> Record:
    _allow(ps, "payment_method_update")
    method = db.get("payment_method", ps.account, method_id)
    if method is None or method["customer"] != ps.customer["id"]:
        raise PortalRefused("This card is not saved, or it was removed already.")
    return method


def choose_card(db: Db, ps: PortalSession, method_id: str, *, now: int) -> PayResult:
    """Make a saved card the default everywhere and pay the open invoices with it.

    :raise PortalRefused: when the portal doesn't offer it or the card isn't the customer's
    """
    method, now = _saved(db, ps, method_id), clocks.moment(db, ps.customer, now)
    return _prefer(db, ps, method, None, now=now)


def removable(db: Db, ps: PortalSession, method: Record) -> bool:
    """Tell whether nothing is paid with a saved card."""
    pays = {ps.customer["invoice_settings"]["default_payment_method"]}
    pays |= {each["default_payment_method"] for each in subscriptions(db, ps)}
    return method["id"] not in pays


def remove_card(db: Db, ps: PortalSession, method_id: str, *, now: int) -> Record:
    """Forget a saved card for good.

    :raise PortalRefused: when something is paid with it, or as `choose_card`
    """
    method, now = _saved(db, ps, method_id), clocks.moment(db, ps.customer, now)
    if not removable(db, ps, method):
        raise PortalRefused("Your subscriptions are paid with this card. Choose another one first.")
    return methods.detach(db, method, now=now)


def _retry_open(
    db: Db, ps: PortalSession, method: Record, authenticated: bool | None, *, now: int
) -> PayResult:
    result = PayResult("paid", payment_method=method)
    for invoice in billing.open_ones(db, ps.account, customer=ps.customer["id"]):
        attempt = billing.collect(
            db, invoice, now=now, method=method, present=True, authenticated=authenticated
        )
        if attempt.kind != "paid":
            result = attempt
    return result


def cards_of(db: Db, ps: PortalSession) -> list[Record]:
    """Return the customer's saved cards, newest first."""
    return methods.of_customer(db, ps.account, ps.customer["id"])


def invoices(db: Db, ps: PortalSession) -> list[Record]:
    """Return the customer's finalized invoices, newest first."""
    found = db.select("invoice", ps.account, ("customer = ?", ps.customer["id"]))
    return [invoice for invoice in reversed(found) if invoice["status"] != "draft"]
