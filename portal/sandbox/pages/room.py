"""The control room's pages: overview, objects, events with their deliveries, requests."""

from __future__ import annotations

import json
from typing import Any

from flask import Response, abort, request

from portal.sandbox import accounts, copies, serializers
from portal.sandbox.pages import records, room_actions
from portal.sandbox.pages.jsonview import pretty
from portal.sandbox.pages.room_entry import blueprint, page
from portal.sandbox.pages.web import reading
from portal.sandbox.service import current
from portal.sandbox.store import Db, Record

__all__ = ["blueprint"]

_HIDDEN = ("secret", "client_secret")


def _before() -> int | None:
    return request.args.get("before", None, int)


def _wanted(name: str) -> str | None:
    return request.args.get(name, "").strip() or None


def _names(db: Db) -> dict[str, str]:
    return {each["id"]: each.get("name") or each["id"] for each in accounts.everyone(db)}


@blueprint.get("/")
def overview() -> Response:
    """Show the figures, what is due next and the controls of the whole sandbox."""
    sandbox = current()
    sandbox.log.flush()
    with reading() as db:
        return page(
            "overview.html",
            totals=records.totals(db),
            due=records.due_next(db),
            latest=records.events(db, type=None, account=None, subject=None, before=None).rows[:8],
            settings=sandbox.settings,
            done=room_actions.DONE.get(request.args.get("done", "")),
        )


@blueprint.get("/ui/copy")
def copy() -> Response:
    """Hand out a copy of the file; `flask sandbox --data` takes it."""
    return copies.download(current().store)


@blueprint.get("/ui/objects")
def objects_page() -> Response:
    """List objects, newest first, by kind, account and status."""
    kind, account, status = _wanted("kind"), _wanted("account"), _wanted("status")
    with reading() as db:
        found = records.objects(db, kind=kind, account=account, status=status, before=_before())
        return page(
            "objects.html",
            listing=found,
            kinds=records.kinds(db, account),
            names=_names(db),
            chosen={"kind": kind, "account": account, "status": status},
        )


def _look_up(db: Db, identifier: str) -> Record:
    kind = records.kind_of(db, identifier)
    record = db.find(kind, identifier) if kind else None
    if record is None:
        abort(404, f"There is no object {identifier}.")
    return record


def shown(db: Db, record: Record) -> dict[str, Any]:
    """Return an object as the API shows it, its secrets masked."""
    result = dict(serializers.render(db, record))
    for name in _HIDDEN:
        if result.get(name):
            result[name] = f"…{str(result[name])[-4:]}"
    return result


@blueprint.get("/ui/objects/<identifier>")
def object_page(identifier: str) -> Response:
    """Show an object, its controls and the events about it."""
    with reading() as db:
        record = _look_up(db, identifier)
        api = shown(db, record)
        about = records.events(db, type=None, account=None, subject=identifier, before=None)
        return page(
            "object.html",
            record=record,
            json=pretty(api),
            open_page=api.get("hosted_invoice_url")
            or (api.get("url") if record["object"].endswith(".session") else None),
            actions=room_actions.possible(record),
            events=about.rows,
            names=_names(db),
            done=room_actions.DONE.get(request.args.get("done", "")),
        )


@blueprint.get("/ui/events")
def events_page() -> Response:
    """List events, newest first, with how their deliveries stand."""
    type, account, subject = _wanted("type"), _wanted("account"), _wanted("object")
    with reading() as db:
        found = records.events(db, type=type, account=account, subject=subject, before=_before())
        return page(
            "events.html",
            listing=found,
            names=_names(db),
            chosen={"type": type, "account": account, "object": subject},
        )


@blueprint.get("/ui/events/<identifier>")
def event_page(identifier: str) -> Response:
    """Show an event as it was frozen, and every delivery of it."""
    with reading() as db:
        event = records.event(db, identifier)
        if event is None:
            abort(404, f"There is no event {identifier}.")
        return page(
            "event.html",
            event=event,
            json=pretty(event),
            deliveries=records.deliveries(db, identifier),
            done=room_actions.DONE.get(request.args.get("done", "")),
        )


@blueprint.get("/ui/requests")
def requests_page() -> Response:
    """List the API requests, newest first."""
    account, failed = _wanted("account"), bool(_wanted("failed"))
    current().log.flush()
    with reading() as db:
        found = records.requests(db, account=account, failed=failed, before=_before())
        return page(
            "requests.html",
            listing=found,
            names=_names(db),
            chosen={"account": account, "failed": "1" if failed else None},
        )


@blueprint.get("/ui/requests/<identifier>")
def request_page(identifier: str) -> Response:
    """Show one API request: what was sent and how it ended."""
    entry = current().log.find(identifier)
    if entry is None:
        abort(404, f"There is no request {identifier} in the log. It keeps the newest 5,000.")
    return page(
        "request.html",
        entry=entry,
        params=pretty(json.loads(entry["params"])) if entry["params"] else None,
    )
