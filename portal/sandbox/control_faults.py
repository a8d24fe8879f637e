"""The controls that make trouble: faults, rate limits, a publisher who leaves."""

from __future__ import annotations

from flask import Response, abort, jsonify

from portal.sandbox import accounts, events, faults, ids
from portal.sandbox.control import control, now, sent
from portal.sandbox.service import current
from portal.sandbox.store import Record

_FASTEST = 10_000


@control.post("/faults")
def plan_fault() -> tuple[Response, int]:
    """Plan a fault: `{"kind", "times", "seconds", …}`; docs/sandbox.md lists the kinds."""
    try:
        fault, times = faults.read(sent())
    except ValueError as error:
        abort(400, str(error))
    with current().store.write() as db:
        identifier = faults.plan(db, fault, times)
        found = [each for each in faults.planned(db) if each["id"] == identifier]
    return jsonify(found[0]), 201


@control.get("/faults")
def list_faults() -> Response:
    """List the planned faults, oldest first; `remaining` counts down to 0."""
    with current().store.read() as db:
        return jsonify(data=faults.planned(db))


@control.delete("/faults")
def forget_faults() -> Response:
    """Forget all faults."""
    with current().store.write() as db:
        return jsonify(forgotten=faults.forget(db))


@control.delete("/faults/<identifier>")
def forget_fault(identifier: str) -> Response:
    """Forget one fault."""
    with current().store.write() as db:
        if not faults.forget(db, identifier):
            abort(404, f"There is no fault {identifier}.")
    return jsonify(forgotten=1)


@control.post("/limits")
def limit() -> Response:
    """Switch rate limits: `{"per_second": 25}`, 0 for none. A restart forgets it."""
    wanted = sent().get("per_second")
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 0 <= wanted <= _FASTEST:
        abort(400, f"per_second is a whole number from 0 (no limit) to {_FASTEST}.")
    current().limits.per_second = wanted
    return jsonify(per_second=wanted)


@control.post("/accounts/<identifier>/deauthorize")
def deauthorize(identifier: str) -> Response:
    """Let a publisher withdraw the platform's access, as in their dashboard."""
    with current().store.write() as db:
        account = accounts.find(db, identifier)
        if account is None or not accounts.is_connected(db, identifier):
            abort(404, f"There is no connected account {identifier}.")
        if account.get("_revoked"):
            abort(400, f"The access to {identifier} is withdrawn already.")
        account["_revoked"] = True
        accounts.save(db, account)
        payload = _application(account)
        events.emit(db, account, "account.application.deauthorized", now=now(), payload=payload)
    return jsonify(id=identifier, revoked=True)


def _application(account: Record) -> dict[str, str]:
    # Stripe names its Connect application here; a platform of the sandbox has just this one.
    return {
        "id": "ca_" + account["_platform"].removeprefix(ids.prefix("account")),
        "object": "application",
        "name": "Sandbox",
    }
