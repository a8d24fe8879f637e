"""What the control room's buttons do: they stand for time, banks and the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import abort, request, url_for
from werkzeug.wrappers import Response as Answer

from portal.sandbox import accounts, scheduler, webhooks
from portal.sandbox.engine import advancing, checkout, clocks, invoices, subscriptions
from portal.sandbox.pages import records
from portal.sandbox.pages.room_entry import blueprint
from portal.sandbox.pages.web import see_other, time_of, writing
from portal.sandbox.service import current
from portal.sandbox.store import Db, Record

DONE = {
    "end-period": "The period has ended. If there is something to bill, its draft is below.",
    "decline-next": "The next automatic charge will be declined.",
    "authenticate-next": "The next automatic charge will ask for 3-D Secure.",
    "end-retries": "The retries have ended the way the account wants.",
    "finalize": "The draft is final, and its charge was tried.",
    "retry": "The charge was tried again.",
    "expire": "The session has expired.",
    "hour": "The clock is on its way: one hour.",
    "day": "The clock is on its way: one day.",
    "renewal": "The clock is on its way to the next renewal, and the hour of its draft.",
    "tick": "What was due is done, and waiting webhooks were sent.",
    "reset": "Everything is forgotten.",
    "resend": "The event is queued again.",
    "changed": "The account is changed.",
    "connected": "The account is connected, and can charge.",
}

_RUNNING = ("active", "trialing", "past_due", "unpaid", "paused")


@dataclass(frozen=True, slots=True)
class Action:
    """A button on an object's page: its address, its text, when it is there, what it does."""

    name: str
    label: str
    kind: str
    states: tuple[str, ...]
    run: Callable[[Db, Record], object]
    tone: str = ""


def _plan_failure(outcome: str) -> Callable[[Db, Record], object]:
    def run(db: Db, subscription: Record) -> object:
        subscription["_fail_next"] = outcome
        return db.save(subscription)

    return run


def _end_retries(db: Db, subscription: Record) -> object:
    ending = accounts.dunning(db, subscription["_account"])["end"]
    return subscriptions.mark_unpaid(db, subscription, ending, now=time_of(db, subscription))


def _finalize(db: Db, invoice: Record) -> object:
    at = time_of(db, invoice)
    invoices.finalize(db, invoice, now=at)
    if invoice["status"] == "open" and invoice["auto_advance"]:
        invoices.collect(db, invoice, now=at, automatic=True)
    return invoice


def _later(seconds: int) -> Callable[[Db, Record], object]:
    return lambda db, clock: advancing.advance(db, clock, clock["frozen_time"] + seconds)


def _to_renewal(db: Db, clock: Record) -> object:
    return advancing.advance(db, clock, advancing.next_renewal(db, clock))


_ACTIONS = (
    Action(
        "end-period", "End the period now", "subscription", _RUNNING,
        lambda db, record: subscriptions.end_period(db, record, now=time_of(db, record)),
    ),
    Action(
        "decline-next", "Decline the next charge", "subscription", _RUNNING,
        _plan_failure("card_declined"),
    ),
    Action(
        "authenticate-next", "Ask for 3-D Secure at the next charge", "subscription", _RUNNING,
        _plan_failure("requires_action"),
    ),
    Action(
        "end-retries", "End the retries now", "subscription", ("past_due", "unpaid"),
        _end_retries, "danger",
    ),
    Action("finalize", "Finalize and charge now", "invoice", ("draft",), _finalize),
    Action(
        "retry", "Try the charge again", "invoice", ("open",),
        lambda db, record: invoices.collect(db, record, now=time_of(db, record), automatic=True),
    ),
    Action(
        "expire", "Let it expire", "checkout.session", ("open",),
        lambda db, record: checkout.expire(db, record, now=time_of(db, record)), "danger",
    ),
    Action("hour", "+1 hour", clocks.KIND, ("ready",), _later(3600)),
    Action("day", "+1 day", clocks.KIND, ("ready",), _later(86400)),
    Action("renewal", "To the next renewal", clocks.KIND, ("ready",), _to_renewal),
)  # fmt: skip


def possible(record: Record) -> list[Action]:
    """Return the buttons of an object in its present state."""
    return [
        each
        for each in _ACTIONS
        if each.kind == record["object"] and record.get("status") in each.states
    ]


@blueprint.post("/ui/objects/<identifier>/<name>")
def act(identifier: str, name: str) -> Answer:
    """Press one of the object's buttons."""
    with writing() as db:
        kind = records.kind_of(db, identifier)
        record = db.find(kind, identifier) if kind else None
        if record is None:
            abort(404, f"There is no object {identifier}.")
        action = next((each for each in possible(record) if each.name == name), None)
        if action is None:
            abort(409, f"The {kind} is {record.get('status')} now: this can't be done any more.")
        action.run(db, record)
    return see_other(url_for("room.object_page", identifier=identifier, done=name))


@blueprint.post("/ui/events/<identifier>/resend")
def send_again(identifier: str) -> Answer:
    """Queue an event once more for one endpoint."""
    endpoint = request.form.get("endpoint", "")
    with writing() as db:
        known = [row["endpoint"] for row in records.deliveries(db, identifier) if row["alive"]]
        if endpoint not in known:
            abort(404, "This event was not queued for that endpoint, or the endpoint is deleted.")
        webhooks.resend(db, identifier, endpoint, now=current().clock.precise())
    return see_other(url_for("room.event_page", identifier=identifier, done="resend"))


@blueprint.post("/ui/tick")
def run_due() -> Answer:
    """Do all due work and send all due webhooks now."""
    sandbox = current()
    scheduler.run_due(sandbox.store, sandbox.clock.now())
    sandbox.courier.run_due()
    return see_other(url_for("room.overview", done="tick"))


@blueprint.post("/ui/reset")
def forget() -> Answer:
    """Forget everything, accounts and keys included; the box must be ticked."""
    if request.form.get("sure") != "yes":
        abort(400, "Tick the box first: all accounts, keys and objects are forgotten.")
    current().store.reset()
    return see_other(url_for("room.overview", done="reset"))
