"""The Customer Portal's page for a customer's own name and e-mail address."""

from __future__ import annotations

from flask import Response, make_response, render_template, request
from werkzeug.wrappers import Response as Answer

from portal.sandbox.engine import profiles
from portal.sandbox.engine.portal import PortalRefused, PortalSession
from portal.sandbox.pages.cardform import CardForm
from portal.sandbox.pages.portal import entered, frame, home
from portal.sandbox.pages.web import hosted, now
from portal.sandbox.store import Db


def _page(db: Db, ps: PortalSession, token: str, form: CardForm, status: int = 200) -> Response:
    fields = profiles.allowed(ps)
    if not fields:
        raise PortalRefused("This portal does not offer that. Ask the seller instead.")
    body = render_template(
        "hosted/portal_details.html", **frame(db, ps, token), form=form, fields=fields
    )
    return make_response(body, status)


@hosted.get("/p/session/<token>/details")
def portal_details_page(token: str) -> Response:
    """Show the fields that may be changed."""
    with entered(token) as (db, ps):
        form = CardForm(email=ps.customer["email"] or "", name=ps.customer["name"] or "")
        return _page(db, ps, token, form)


@hosted.post("/p/session/<token>/details")
def portal_details(token: str) -> Answer:
    """Change name and e-mail address; a wrong address changes nothing."""
    form = CardForm.read(request.form)
    with entered(token) as (db, ps):
        fields = profiles.allowed(ps)
        if "email" in fields:
            form.check_email()
        if "name" in fields:
            form.check_name()
        if form.errors or not fields:
            return _page(db, ps, token, form, 422)
        typed = {"email": form.email, "name": form.name or None}
        profiles.change(db, ps, {name: typed[name] for name in fields}, now=now())
        return home(token, "details")
