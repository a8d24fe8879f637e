"""The events that Stripe sent, and what each changed."""

import json

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from portal import clock
from portal.admin import bp
from portal.billing.values import EVENT_TYPES
from portal.errors import PortalError
from portal.flows import replaying
from portal.models import Outcome
from portal.services import event_log, inbox, situations
from portal.web import queue
from portal.web.access import admin_only, me, only_reads
from portal.web.engines import engine_of


@bp.get("/events")
@admin_only
@only_reads
def events() -> str:
    """List the tenant's events; ``type``, ``outcome``, ``before`` and ``after`` narrow it."""
    kind, outcome = request.args.get("type", ""), request.args.get("outcome", "")
    before, after = (_number(name) for name in ("before", "after"))
    return render_template(
        "admin/events.html",
        seen=event_log.seen(me().tenant_id, kind=kind, outcome=outcome, before=before, after=after),
        types=sorted({*EVENT_TYPES, *filter(None, [kind[:100]])}),
        outcomes=[each.value for each in Outcome],
        kind=kind,
        outcome=outcome,
        kept_days=inbox.KEPT_FOR.days,
        refused=me().tenant.refused_events,
        refused_at=me().tenant.last_refused_event_at,
    )


def _number(name: str) -> int:
    """Return an event's number from the address; 0 if there is none that a database takes."""
    found = request.args.get(name, 0, type=int)
    return found if 0 < found < 2**63 else 0


@bp.get("/events/<event_id>")
@admin_only
def event(event_id: str) -> str:
    """Show one event with its body."""
    found = event_log.one(me().tenant_id, event_id)
    return render_template(
        "admin/event.html",
        event=found,
        created=clock.from_epoch(found.created),
        body=json.dumps(found.payload, indent=2, ensure_ascii=False),
        subscription=event_log.subscription_of(found),
        lines=[situations.happening(line) for line in event_log.lines_of(found)],
        kept_until=found.received_at + inbox.KEPT_FOR,
    )


@bp.get("/events/<event_id>/replay")
@admin_only
def try_replay(event_id: str) -> str:
    """Say what the event would change if it came now; nothing is kept of it."""
    found = event_log.one(me().tenant_id, event_id)
    number, replay, problem = found.inbox_id, None, ""
    try:
        replay = replaying.preview(engine_of, number)
    except PortalError as error:
        problem = error.message
    found = event_log.one(me().tenant_id, event_id)
    return render_template(
        "admin/event_replay.html", event=found, replay=replay, problem=problem,
        subscription=event_log.subscription_of(found),
    )  # fmt: skip


@bp.post("/events/<event_id>/replay")
@admin_only
def replay_event(event_id: str) -> Response:
    """Give the event its effect again."""
    found = event_log.one(me().tenant_id, event_id)
    try:
        done = replaying.replay(engine_of, found.inbox_id)
    except PortalError as error:
        flash(error.message, "danger")
    else:
        flash(f"Replayed: {done.detail}", "success" if done.changes else "info")
        queue.enqueue("wake")
    return redirect(url_for("admin.event", event_id=event_id), 303)
