"""`/_sandbox/`: the sandbox's own controls, as JSON for whoever holds the admin token.

The product never calls them: they stand for what Stripe's dashboard, time and banks do.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from portal.sandbox import accounts, copies, events, scheduler, serializers, webhooks
from portal.sandbox.errors import StripeError
from portal.sandbox.service import current
from portal.sandbox.store import Db, Record

Json = dict[str, Any]

control = Blueprint("control", __name__, url_prefix="/_sandbox")

_MOST = 500


def is_local(address: str | None) -> bool:
    """Tell whether a request comes from this machine."""
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def has_token(header: str) -> bool:
    """Tell whether an `Authorization` header carries the admin token."""
    scheme, _, token = header.partition(" ")
    expected = current().settings.admin_token
    return scheme.lower() == "bearer" and hmac.compare_digest(
        token.strip().encode(), expected.encode()
    )


@control.before_request
def guard() -> None:
    """Let only the holder of the token in, from this machine unless told otherwise."""
    if not current().settings.allow_remote and not is_local(request.remote_addr):
        abort(403, "The controls answer on this machine only.")
    if not has_token(request.headers.get("Authorization", "")):
        abort(401, "Send the admin token: Authorization: Bearer <token>.")


@control.errorhandler(HTTPException)
def refused(error: HTTPException) -> tuple[Response, int]:
    """Answer an error as JSON."""
    return jsonify(error={"message": error.description}), error.code or 500


@control.errorhandler(StripeError)
def refused_as_stripe(error: StripeError) -> tuple[Response, int]:
    """Answer an error of the engine as the API would."""
    return jsonify(error.body()), error.status


def sent() -> Json:
    """Return the JSON object that was sent; nothing is an empty one."""
    if not request.get_data(cache=True):
        return {}
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        abort(400, "Send a JSON object.")
    return body


def find(db: Db, kind: str, identifier: str) -> Record:
    """Return an object on any account, or answer 404."""
    record = db.find(kind, identifier)
    if record is None:
        abort(404, f"There is no {kind} {identifier}.")
    return record


def now() -> int:
    """Return the sandbox's present second."""
    return current().clock.now()


def shown(db: Db, record: Record) -> Json:
    """Return an object with the account that it lives on."""
    return {**serializers.render(db, record), "_account": record["_account"]}


def _account(db: Db, record: Record) -> Json:
    details = serializers.render(db, record)
    details["platform"] = record["_platform"]
    details["dunning"] = record["_dunning"]
    details["revoked"] = bool(record.get("_revoked"))
    return details


@control.post("/platforms")
def create_platform() -> tuple[Response, int]:
    """Create a platform: `{"name"}` → `{"account", "secret_key"}`."""
    name = str(sent().get("name") or "Platform")[:200]
    with current().store.write() as db:
        platform = accounts.create_platform(db, name, now=now())
    return jsonify(account=platform["id"], secret_key=platform["_secret_key"]), 201


@control.get("/accounts")
def list_accounts() -> Response:
    """List platforms and connected accounts; of keys only the last four characters."""
    with current().store.read() as db:
        data = [_account(db, record) for record in accounts.everyone(db)]
    return jsonify(data=data)


@control.post("/accounts")
def create_account() -> tuple[Response, int]:
    """Create an account connected to `platform` (its id) or `platform_key`."""
    details = sent()
    with current().store.write() as db:
        if details.get("platform_key"):
            platform = accounts.by_key(db, str(details["platform_key"]))
        else:
            platform = accounts.find(db, str(details.get("platform") or ""))
        if platform is None or platform["_platform"] != platform["id"]:
            abort(404, "There is no such platform: send platform or platform_key.")
        _check_dunning(details.get("dunning"))
        account = accounts.create_connected(db, platform["id"], details, now=now())
        return jsonify(_account(db, account)), 201


@control.post("/accounts/<identifier>")
def change_account(identifier: str) -> Response:
    """Change name, charges_enabled, card_payments, dunning, or `revoked` (access withdrawn)."""
    details = sent()
    _check_dunning(details.get("dunning"))
    with current().store.write() as db:
        account = accounts.find(db, identifier)
        if account is None:
            abort(404, f"There is no account {identifier}.")
        for name in ("name", "charges_enabled", "payouts_enabled", "details_submitted"):
            if name in details:
                account[name] = details[name]
        if "card_payments" in details:
            account["capabilities"]["card_payments"] = details["card_payments"]
        if "revoked" in details:
            account["_revoked"] = bool(details["revoked"])
        account["_dunning"] |= details.get("dunning") or {}
        accounts.save(db, account)
        events.emit(db, account, "account.updated", now=now())
        return jsonify(_account(db, account))


def _check_dunning(dunning: Any) -> None:
    if dunning is None:
        return
    days, end = dunning.get("days", []), dunning.get("end", "cancel")
    good = isinstance(days, list) and all(isinstance(day, int) and day > 0 for day in days)
    if not good or end not in ("cancel", "unpaid", "past_due"):
        abort(400, 'dunning is {"days": [3, 5, 7], "end": "cancel" | "unpaid" | "past_due"}.')


@control.post("/tick")
def tick() -> Response:
    """Do all due work and send all due webhooks now: `{"work", "webhooks"}` say how many."""
    sandbox = current()
    work = scheduler.run_due(sandbox.store, sandbox.clock.now())
    return jsonify(work=work, webhooks=sandbox.courier.run_due())


@control.get("/export")
def export() -> Response:
    """Return a copy of the file; `flask sandbox --data` takes it."""
    return copies.download(current().store)


@control.post("/reset")
def reset() -> Response:
    """Forget everything, accounts and keys included."""
    current().store.reset()
    return jsonify(reset=True)


def _limit() -> int:
    return max(1, min(request.args.get("limit", 100, int), _MOST))


@control.get("/objects")
def list_objects() -> Response:
    """List stored objects, newest first: `?kind=subscription&account=acct_…`."""
    kind, account = request.args.get("kind"), request.args.get("account")
    with current().store.read() as db:
        rows = db.execute(
            "SELECT body FROM objects WHERE (? IS NULL OR kind = ?) AND (? IS NULL OR account = ?)"
            " ORDER BY seq DESC LIMIT ?",
            kind, kind, account, account, _limit(),
        ).fetchall()  # fmt: skip
        data = [shown(db, json.loads(row[0])) for row in rows]
    return jsonify(data=data)


@control.get("/events")
def list_events() -> Response:
    """List events, newest first: `?account=acct_…&type=…&object=…`."""
    account, type = request.args.get("account"), request.args.get("type")
    subject = request.args.get("object")
    with current().store.read() as db:
        rows = db.execute(
            "SELECT body FROM events WHERE (? IS NULL OR account = ?) AND (? IS NULL OR type = ?)"
            " AND (? IS NULL OR object_id = ?) ORDER BY seq DESC LIMIT ?",
            account, account, type, type, subject, subject, _limit(),
        ).fetchall()  # fmt: skip
        data = [events.rendered(db, row[0]) for row in rows]
    return jsonify(data=data)


@control.get("/deliveries")
def list_deliveries() -> Response:
    """List webhook deliveries, newest first: `?event=evt_…&state=pending`."""
    event, state = request.args.get("event"), request.args.get("state")
    columns = (
        "id", "event", "type", "account", "endpoint", "state", "attempts", "due_at", "duplicate",
        "http_status", "error", "finished_at",
    )  # fmt: skip
    with current().store.read() as db:
        rows = db.execute(
            "SELECT d.id, d.event, e.type, e.account, d.endpoint, d.state, d.attempts, d.due_at,"
            " d.duplicate, d.http_status, d.error, d.finished_at"
            " FROM deliveries d JOIN events e ON e.id = d.event"
            " WHERE (? IS NULL OR d.event = ?) AND (? IS NULL OR d.state = ?)"
            " ORDER BY d.seq DESC LIMIT ?",
            event, event, state, state, _limit(),
        ).fetchall()  # fmt: skip
    return jsonify(data=[dict(zip(columns, row, strict=True)) for row in rows])


@control.get("/requests")
def list_requests() -> Response:
    """List API requests, newest first: `?account=acct_…`."""
    data = current().log.latest(_limit(), request.args.get("account"))
    return jsonify(data=data)


@control.post("/events/<identifier>/resend")
def resend(identifier: str) -> tuple[Response, int]:
    """Send an event again to `{"endpoint"}`, or to all that it was queued for."""
    wanted = sent().get("endpoint")
    with current().store.write() as db:
        rows = db.execute(
            "SELECT DISTINCT endpoint FROM deliveries WHERE event = ?", identifier
        ).fetchall()
        targets = [row[0] for row in rows if wanted in (None, row[0])]
        if not targets:
            abort(404, f"No endpoint was sent the event {identifier}.")
        at = current().clock.precise()
        queued = [webhooks.resend(db, identifier, target, now=at) for target in targets]
    return jsonify(deliveries=queued), 202


@control.post("/webhook_endpoints/<identifier>/roll")
def roll(identifier: str) -> Response:
    """Give an endpoint a new secret; the old one stays valid `{"keep"}` seconds longer."""
    keep = sent().get("keep", 0)
    if not isinstance(keep, int) or not 0 <= keep <= 86400:
        abort(400, "keep is a number of seconds up to a day.")
    with current().store.write() as db:
        endpoint = find(db, "webhook_endpoint", identifier)
        secret = webhooks.roll(db, endpoint, now=now(), keep=keep)
    return jsonify(id=identifier, secret=secret)
