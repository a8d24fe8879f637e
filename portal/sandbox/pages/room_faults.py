"""The control room's page of planned trouble."""

from __future__ import annotations

from typing import Any

from flask import Response, abort, make_response, render_template, request, url_for
from werkzeug.wrappers import Response as Answer

from portal.sandbox import faults
from portal.sandbox.limits import STRIPES
from portal.sandbox.pages.room_entry import blueprint
from portal.sandbox.pages.web import reading, see_other, writing
from portal.sandbox.service import current

#: Kind, what it does, and what may narrow it down on the page.
KINDS = {
    "error_before": "Request: 500, nothing was done",
    "error_after": "Request: 500, it was done",
    "reset_after": "Request: it was done, the connection is reset",
    "malformed": "Request: it was done, half an answer",
    "delay": "Request: slow",
    "rate_limit": "Request: 429",
    "lock_timeout": "Request: 409",
    "webhook_drop": "Webhook: never sent",
    "webhook_duplicate": "Webhook: sent twice",
    "webhook_delay": "Webhook: late",
    "webhook_reorder": "Webhook: overtaken by the next",
    "webhook_wrong_secret": "Webhook: a forged copy first",
    "webhook_stale": "Webhook: a stale copy first",
    "webhook_truncated": "Webhook: half of it first",
    "webhook_no_account": "Webhook: a copy without account first",
    "webhook_other_version": "Webhook: a copy of another version first",
    "webhook_unknown_type": "Webhook: a copy of an unknown type first",
    "meter_reject": "Usage: never counted",
    "meter_lag": "Usage: counted late",
    "charge": "Charge: fails",
}
_SUBJECT = {
    "api": "path",
    "webhook": "type",
    "meter": "event_name",
    "charge": "payment_method",
}
_DONE = {
    "planned": "The fault is planned.",
    "forgotten": "The fault is forgotten.",
    "limits": "The rate limits are switched.",
}


@blueprint.get("/ui/faults")
def faults_page() -> Response:
    """List what will go wrong, with a form for more."""
    with reading() as db:
        planned = faults.planned(db)
    body = render_template(
        "room/faults.html",
        planned=planned[::-1],
        kinds=KINDS,
        outcomes=sorted(faults.OUTCOMES),
        limit=current().limits.per_second,
        stripes=STRIPES,
        done=_DONE.get(request.args.get("done", "")),
    )
    return make_response(body)


@blueprint.post("/ui/faults")
def plan_fault() -> Answer:
    """Plan a fault."""
    form, kind = request.form, request.form.get("kind", "")
    wanted: dict[str, Any] = {"kind": kind}
    try:
        wanted["times"] = int(form.get("times") or 1)
        wanted["seconds"] = float(form.get("seconds") or 1)
        family = next((name for name, (kinds, _) in faults.FAMILIES.items() if kind in kinds), "")
        if family and form.get("subject", "").strip():
            wanted[_SUBJECT[family]] = form["subject"].strip()
        if family == "charge":
            wanted["outcome"] = form.get("outcome")
        fault, times = faults.read(wanted)
    except ValueError as error:
        abort(400, str(error))
    with writing() as db:
        faults.plan(db, fault, times)
    return see_other(url_for("room.faults_page", done="planned"))


@blueprint.post("/ui/faults/<identifier>/forget")
def forget_fault(identifier: str) -> Answer:
    """Forget one fault; one that is gone already stays gone."""
    with writing() as db:
        faults.forget(db, identifier)
    return see_other(url_for("room.faults_page", done="forgotten"))


@blueprint.post("/ui/limits")
def switch_limits() -> Answer:
    """Switch Stripe's rate limits on, or off."""
    limits = current().limits
    limits.per_second = STRIPES if request.form.get("on") == "yes" else 0
    return see_other(url_for("room.faults_page", done="limits"))
