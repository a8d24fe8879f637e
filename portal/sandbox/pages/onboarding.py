"""`/setup/{token}`: where a one-time onboarding link leads, as Stripe's hosted onboarding does."""

from __future__ import annotations

import re

from flask import Response, make_response, render_template, request
from werkzeug.wrappers import Response as Answer

from portal.sandbox import accounts
from portal.sandbox.engine import onboarding
from portal.sandbox.engine.onboarding import LinkRefused
from portal.sandbox.pages.cardform import CardForm
from portal.sandbox.pages.web import hosted, message, now, reading, writing
from portal.sandbox.store import Db, Record

_WEBSITE = re.compile(r"https?://[^\s/]+\.[^\s]+")


@hosted.errorhandler(LinkRefused)
def _refuse(refused: LinkRefused) -> Response:
    return message("This link no longer works", str(refused), status=410, tone="warn")


def _form(db: Db, account: Record, form: CardForm, website: str, status: int = 200) -> Response:
    platform = accounts.find(db, account["_platform"]) or {}
    body = render_template(
        "hosted/onboarding.html",
        account=account,
        platform=platform.get("name") or "the platform",
        form=form,
        website=website,
    )
    return make_response(body, status)


@hosted.get("/setup/<token>")
def onboarding_page(token: str) -> Answer:
    """Ask for what an account must tell before it can charge; looking uses nothing up."""
    with reading() as db:
        account = onboarding.open_link(db, token, now=now())
        form = CardForm(email=account["email"] or "", name=account["name"] or "")
        return _form(db, account, form, "")


@hosted.post("/setup/<token>")
def onboard(token: str) -> Answer:
    """Finish, or leave it unfinished; either way the link is used up."""
    form, website = CardForm.read(request.form), request.form.get("website", "").strip()
    complete = request.form.get("how") != "later"
    with writing() as db:
        account = onboarding.open_link(db, token, now=now())
        if complete and not _check(form, website):
            return _form(db, account, form, website, 422)
        given = {"name": form.name[:200], "email": form.email[:512]} if complete else {}
        onboarding.finish(db, account, complete=complete, now=now(), **given)
        body = render_template("hosted/onboarded.html", account=account, complete=complete)
        return make_response(body)


def _check(form: CardForm, website: str) -> bool:
    form.check_email()
    if not form.name:
        form.errors["name"] = "Enter the name that your customers know."
    form.check_name()
    if not _WEBSITE.fullmatch(website):
        form.errors["website"] = "Enter an address such as https://northwind.example."
    if request.form.get("agreed") != "yes":
        form.errors["agreed"] = "Tick the box to go on."
    return not form.errors
