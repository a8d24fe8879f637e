"""The control room's page of a webhook endpoint's signing secrets; in Stripe, the dashboard's."""

from __future__ import annotations

from flask import Response, abort, request
from werkzeug.wrappers import Response as Answer

from portal.sandbox import parcels, webhooks
from portal.sandbox.pages.room_entry import blueprint, page
from portal.sandbox.pages.web import now, reading, writing
from portal.sandbox.store import Db, Record

#: How long the old secret may sign too, in seconds; Stripe allows a day at most.
KEEP = {"0": "not at all", "3600": "for an hour", "43200": "for 12 hours", "86400": "for a day"}


def _endpoint(db: Db, identifier: str) -> Record:
    endpoint = db.find("webhook_endpoint", identifier)
    if endpoint is None:
        abort(404, f"There is no webhook endpoint {identifier}.")
    return endpoint


def _secrets(endpoint: Record, fresh: str | None = None, status: int = 200) -> Response:
    moment = now()
    active = set(parcels.active_secrets(endpoint, now=moment))
    secrets = [
        {"end": entry["secret"][-4:], "until": entry["until"]}
        for entry in endpoint["_secrets"]
        if entry["secret"] in active
    ]
    return page("secrets.html", status, endpoint=endpoint, secrets=secrets, keep=KEEP, fresh=fresh)


@blueprint.get("/ui/endpoints/<identifier>/secrets")
def secrets_page(identifier: str) -> Response:
    """Show which secrets sign, and a button for a new one."""
    with reading() as db:
        return _secrets(_endpoint(db, identifier))


@blueprint.post("/ui/endpoints/<identifier>/secrets")
def roll_secret(identifier: str) -> Answer:
    """Make a new secret and show it once; the old one signs too for as long as was chosen."""
    keep = request.form.get("keep", "")
    if keep not in KEEP:
        abort(400, "Choose how long the old secret is kept.")
    with writing() as db:
        endpoint = _endpoint(db, identifier)
        fresh = webhooks.roll(db, endpoint, now=now(), keep=int(keep))
        return _secrets(endpoint, fresh, 201)
