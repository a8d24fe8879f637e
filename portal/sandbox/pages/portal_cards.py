"""The Customer Portal's buttons beside a saved card: pay with it from now on, or remove it."""

from __future__ import annotations

from flask import Response, make_response, render_template
from werkzeug.wrappers import Response as Answer

from portal.sandbox.engine import portal
from portal.sandbox.engine.portal import PortalRefused
from portal.sandbox.pages.portal import entered, frame, home
from portal.sandbox.pages.web import hosted, message, now


@hosted.post("/p/session/<token>/cards/<method>/default")
def portal_choose_card(token: str, method: str) -> Answer:
    """Make a saved card the default, and pay what is open with it."""
    with entered(token) as (db, ps):
        result = portal.choose_card(db, ps, method, now=now())
        if result.kind == "paid":
            return home(token, "chosen")
        return message(
            "An open invoice was not paid",
            f"The card is your default now. {result.message}",
            status=402,
            tone="warn",
        )


@hosted.get("/p/session/<token>/cards/<method>/remove")
def portal_remove_page(token: str, method: str) -> Response:
    """Ask before a card is forgotten."""
    with entered(token) as (db, ps):
        found = next((each for each in portal.cards_of(db, ps) if each["id"] == method), None)
        if found is None or not ps.features["payment_method_update"]["enabled"]:
            raise PortalRefused("This card is not saved, or it was removed already.")
        body = render_template("hosted/portal_remove.html", **frame(db, ps, token), card=found)
        return make_response(body)


@hosted.post("/p/session/<token>/cards/<method>/remove")
def portal_remove(token: str, method: str) -> Answer:
    """Forget a card that nothing is paid with."""
    with entered(token) as (db, ps):
        portal.remove_card(db, ps, method, now=now())
        return home(token, "removed")
