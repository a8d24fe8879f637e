"""The control room's pages about accounts: platforms, who is connected, and how they get there."""

from __future__ import annotations

from flask import Response, abort, request, url_for
from werkzeug.wrappers import Response as Answer

from portal.sandbox import accounts, events, serializers
from portal.sandbox.engine import onboarding
from portal.sandbox.pages import records, room_actions
from portal.sandbox.pages.jsonview import pretty
from portal.sandbox.pages.room_entry import blueprint, page
from portal.sandbox.pages.web import now, reading, see_other, writing
from portal.sandbox.service import current
from portal.sandbox.store import Db, Record


@blueprint.get("/ui/accounts")
def accounts_page() -> Response:
    """List the platforms with the accounts connected to them."""
    with reading() as db:
        everyone = accounts.everyone(db)
        platforms = [
            {
                "platform": each,
                "key": f"…{each['_secret_key'][-4:]}",
                "connected": [
                    other
                    for other in everyone
                    if other["_platform"] == each["id"] and other["id"] != each["id"]
                ],
            }
            for each in everyone
            if each["_platform"] == each["id"]
        ]
        return page("accounts.html", platforms=platforms)


@blueprint.get("/ui/accounts/<identifier>")
def account_page(identifier: str) -> Response:
    """Show an account, its switches and what it holds."""
    with reading() as db:
        account = _find(db, identifier)
        return page(
            "account.html",
            account=account,
            connected=account["_platform"] != account["id"],
            link_waits=account.get("_onboarding", {}).get("until", 0) > now(),
            kinds=records.kinds(db, identifier),
            json=pretty(serializers.render(db, account)),
            done=room_actions.DONE.get(request.args.get("done", "")),
        )


def _find(db: Db, identifier: str) -> Record:
    account = accounts.find(db, identifier)
    if account is None:
        abort(404, f"There is no account {identifier}.")
    return account


@blueprint.post("/ui/platforms")
def make_platform() -> Response:
    """Create a platform and show its secret key once."""
    name = request.form.get("name", "").strip()[:200] or "Platform"
    with writing() as db:
        platform = accounts.create_platform(db, name, now=now())
    return page("made.html", 201, platform=platform)


@blueprint.post("/ui/accounts")
def make_account() -> Answer:
    """Connect an account to a platform: one that can charge, or one with a link to finish."""
    form = request.form
    finished = form.get("charges_enabled") == "yes"
    details = {
        "name": form.get("name", "").strip()[:200] or None,
        "country": form.get("country", "US").strip()[:2],
        "default_currency": form.get("default_currency", "usd").strip()[:3],
        "charges_enabled": finished,
        "details_submitted": finished,
    }
    with writing() as db:
        platform = accounts.find(db, form.get("platform", ""))
        if platform is None or platform["_platform"] != platform["id"]:
            abort(404, "There is no such platform.")
        account = accounts.create_connected(db, platform["id"], details, now=now())
        if not finished:
            return _link_page(account, onboarding.link(db, account, now=now()))
    done = "connected"
    return see_other(url_for("room.account_page", identifier=account["id"], done=done))


@blueprint.post("/ui/accounts/<identifier>/link")
def make_link(identifier: str) -> Answer:
    """Make a one-time onboarding link and show it; an earlier one stops working."""
    with writing() as db:
        account = _find(db, identifier)
        if account["_platform"] == account["id"]:
            abort(400, "A platform is not onboarded: only the accounts connected to it are.")
        return _link_page(account, onboarding.link(db, account, now=now()))


def _link_page(account: Record, token: str) -> Response:
    path = url_for("hosted.onboarding_page", token=token)
    link = current().settings.base_url + path
    return page("link.html", 201, account=account, link=link)


@blueprint.post("/ui/accounts/<identifier>")
def change_account(identifier: str) -> Answer:
    """Switch charges and access, and choose how retries end."""
    form = request.form
    ending = form.get("end", "")
    if ending not in ("cancel", "unpaid", "past_due"):
        abort(400, "Choose how the retries end: cancel, unpaid or past_due.")
    with writing() as db:
        account = _find(db, identifier)
        onboarding.switch(account, charges=form.get("charges_enabled") == "yes")
        account["details_submitted"] |= account["charges_enabled"]
        account["_revoked"] = form.get("revoked") == "yes"
        account["_dunning"]["end"] = ending
        accounts.save(db, account)
        events.emit(db, account, "account.updated", now=now())
    return see_other(url_for("room.account_page", identifier=identifier, done="changed"))
