"""The events that Stripe sent, and what each changed."""

import json

from flask import render_template, request

from portal import clock
from portal.admin import bp
from portal.services import event_log
from portal.web.access import admin_only, me


@bp.get("/events")
@admin_only
def events() -> str:
    """List the tenant's events; ``type``, ``outcome`` and ``page`` in the address narrow it."""
    kind, outcome = request.args.get("type", ""), request.args.get("outcome", "")
    number = min(max(request.args.get("page", 1, type=int), 1), 1_000_000)
    tenant_id = me().tenant_id
    return render_template(
        "admin/events.html",
        page=event_log.page(tenant_id, kind=kind, outcome=outcome, number=number),
        choices=event_log.choices(tenant_id),
        kind=kind,
        outcome=outcome,
        refused=me().tenant.refused_events,
        refused_at=me().tenant.last_refused_event_at,
    )


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
    )
